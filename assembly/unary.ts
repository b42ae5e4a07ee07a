/**
 * Elementwise functions of one array. y may be x. NaN goes through all of them but
 * `leaky_step`, which is a derivative and takes it for "not above zero".
 *
 * `map` is inlined into every export with a constant operation, so each export is its own loop.
 * Cost: bound by memory, but for the transcendental five (see transcend.ts).
 */
import { bytes, indicator, load_part, store_part } from './simd';
import { exp_f32, log_f32, normal_f32, sigmoid_f32, tanh_f32 } from './transcend';

const enum Op {
  RELU,
  SIGMOID,
  TANH,
  NORMAL,
  EXP,
  LOG,
  ABS,
  SIGN,
  SQRT,
  RECIPROCAL,
  SQUARE,
  LEAKY_RELU,
  LEAKY_STEP,
  AFFINE,
  CLAMP,
}

@inline
function apply(op: Op, v: v128, p: v128, q: v128): v128 {
  const zero = f32x4.splat(0);
  if (op == Op.RELU) return f32x4.max(v, zero);
  if (op == Op.SIGMOID) return sigmoid_f32(v);
  if (op == Op.TANH) return tanh_f32(v);
  if (op == Op.NORMAL) return normal_f32(v);
  if (op == Op.EXP) return exp_f32(v);
  if (op == Op.LOG) return log_f32(v);
  if (op == Op.ABS) return f32x4.abs(v);
  if (op == Op.SIGN) {
    const unit = f32x4.sub(indicator(f32x4.gt(v, zero)), indicator(f32x4.lt(v, zero)));
    return v128.bitselect(unit, v, f32x4.eq(v, v));
  }
  if (op == Op.SQRT) return f32x4.sqrt(v);
  if (op == Op.RECIPROCAL) return f32x4.div(f32x4.splat(1), v);
  if (op == Op.SQUARE) return f32x4.mul(v, v);
  if (op == Op.LEAKY_RELU) {
    // A NaN takes the product, which is NaN.
    return v128.bitselect(v, f32x4.mul(v, p), f32x4.gt(v, zero));
  }
  if (op == Op.LEAKY_STEP) return v128.bitselect(f32x4.splat(1), p, f32x4.gt(v, zero));
  if (op == Op.AFFINE) return f32x4.add(f32x4.mul(p, v), q);
  return f32x4.min(f32x4.max(v, p), q);
}

@inline
function map(op: Op, p: f32, q: f32, x: usize, y: usize, r0: i32, r1: i32): void {
  const pv = f32x4.splat(p);
  const qv = f32x4.splat(q);
  const end = bytes(r1);
  let i = bytes(r0);
  for (; i + 16 <= end; i += 16) v128.store(y + i, apply(op, v128.load(x + i), pv, qv));
  if (i < end) {
    const rest = <i32>((end - i) >> 2);
    store_part(y + i, apply(op, load_part(x + i, rest), pv, qv), rest);
  }
}

export function relu(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.RELU, 0, 0, x, y, r0, r1);
}

export function sigmoid(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.SIGMOID, 0, 0, x, y, r0, r1);
}

export function tanh(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.TANH, 0, 0, x, y, r0, r1);
}

/** The standard normal distribution function. */
export function normal_cdf(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.NORMAL, 0, 0, x, y, r0, r1);
}

export function exp(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.EXP, 0, 0, x, y, r0, r1);
}

export function log(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.LOG, 0, 0, x, y, r0, r1);
}

function abs_(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.ABS, 0, 0, x, y, r0, r1);
}

/** -1, 0 or 1. */
export function sign(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.SIGN, 0, 0, x, y, r0, r1);
}

function sqrt_(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.SQRT, 0, 0, x, y, r0, r1);
}

/** y = x > 0 ? g : +0. */
export function relu_grad(n: i32, x: usize, g: usize, y: usize, r0: i32, r1: i32): void {
  const zero = f32x4.splat(0);
  const end = bytes(r1);
  let i = bytes(r0);
  for (; i + 16 <= end; i += 16) {
    v128.store(y + i, v128.and(v128.load(g + i), f32x4.gt(v128.load(x + i), zero)));
  }
  if (i < end) {
    const rest = <i32>((end - i) >> 2);
    store_part(y + i, v128.and(load_part(g + i, rest), f32x4.gt(load_part(x + i, rest), zero)), rest);
  }
}

export function reciprocal(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.RECIPROCAL, 0, 0, x, y, r0, r1);
}

export function square(n: i32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.SQUARE, 0, 0, x, y, r0, r1);
}

export function leaky_relu(n: i32, slope: f32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.LEAKY_RELU, slope, 0, x, y, r0, r1);
}

/** x > 0 ? 1 : slope. */
export function leaky_step(n: i32, slope: f32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.LEAKY_STEP, slope, 0, x, y, r0, r1);
}

/** y = alpha x + beta, never fused. */
export function affine(
  n: i32, alpha: f32, beta: f32, x: usize, y: usize, r0: i32, r1: i32,
): void {
  map(Op.AFFINE, alpha, beta, x, y, r0, r1);
}

export function clamp(n: i32, lo: f32, hi: f32, x: usize, y: usize, r0: i32, r1: i32): void {
  map(Op.CLAMP, lo, hi, x, y, r0, r1);
}

// The plain names are compiler built-ins inside this file.
export { abs_ as abs, sqrt_ as sqrt };
