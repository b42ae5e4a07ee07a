/** Operations on each element, derivative beside each; shapes are those of the input. */
import type { KernelName } from '../../runtime/engine';
import { record } from '../tape';
import { empty, type Tensor } from '../tensor';
import { affine, equal, mul } from './core';

type Unary = Extract<
  KernelName,
  | ('relu' | 'sigmoid' | 'tanh' | 'normal_cdf' | 'exp' | 'log')
  | ('abs' | 'sign' | 'sqrt' | 'reciprocal' | 'square')
>;

/** An operation of one kernel; `derivative(x, y)` multiplies the gradient (absent: it is 0 everywhere). */
function unary(kernel: Unary, derivative?: (x: Tensor, y: Tensor) => Tensor) {
  return (x: Tensor): Tensor => {
    const y = empty(x.engine, x.shape);
    x.engine.run(kernel, x.size, x.ptr, y.ptr);
    return record(y, [x], [derivative ? (g) => mul(g, derivative(x, y)) : null]);
  };
}

/** -1, 0 or 1; its derivative is 0 wherever it has one. */
export const sign = unary('sign');
/** max(x, 0); the gradient at 0 is 0. */
export function relu(x: Tensor): Tensor {
  const y = empty(x.engine, x.shape);
  x.engine.run('relu', x.size, x.ptr, y.ptr);
  return record(y, [x], [(g) => gated(g, x)]);
}

/** g where x > 0, else 0. */
function gated(g: Tensor, x: Tensor): Tensor {
  const y = empty(x.engine, x.shape);
  x.engine.run('relu_grad', x.size, x.ptr, g.ptr, y.ptr);
  return record(y, [g], [(h) => gated(h, x)]);
}

/** |x|; the gradient at 0 is 0. */
export const abs = unary('abs', (x) => sign(x));
/** e^x. */
export const exp = unary('exp', (_, y) => y);
/** The natural logarithm. */
export const log = unary('log', (x) => reciprocal(x));
/** x^2. */
export const square = unary('square', (x) => affine(x, 2, 0));
/** The square root. */
export const sqrt = unary('sqrt', (_, y) => affine(reciprocal(y), 0.5, 0));
/** 1 / x. */
export const reciprocal = unary('reciprocal', (_, y) => affine(square(y), -1, 0));
/** The hyperbolic tangent; never decreases. */
export const tanh = unary('tanh', (_, y) => affine(square(y), -1, 1));
/** 1 / (1 + e^-x); never decreases. */
export const sigmoid = unary('sigmoid', (_, y) => mul(y, affine(y, -1, 1)));

/** The standard normal distribution function; its derivative is the density. */
export const normalCdf = unary('normal_cdf', (x) =>
  affine(exp(affine(square(x), -0.5, 0)), 1 / Math.sqrt(2 * Math.PI), 0),
);

/** x where x > 0, else slope * x. */
export function leakyRelu(x: Tensor, slope: number): Tensor {
  const y = empty(x.engine, x.shape);
  x.engine.run('leaky_relu', x.size, slope, x.ptr, y.ptr);
  return record(y, [x], [(g) => mul(g, leakyStep(x, slope))]);
}

/** 1 where x > 0, else `slope`. */
export function leakyStep(x: Tensor, slope: number): Tensor {
  const y = empty(x.engine, x.shape);
  x.engine.run('leaky_step', x.size, slope, x.ptr, y.ptr);
  return y;
}

/** x limited to [lo, hi]; the gradient goes through where x lies inside, ends included. */
export function clamp(x: Tensor, lo: number, hi: number): Tensor {
  const y = empty(x.engine, x.shape);
  x.engine.run('clamp', x.size, lo, hi, x.ptr, y.ptr);
  return record(y, [x], [(g) => mul(g, equal(x, y))]);
}
