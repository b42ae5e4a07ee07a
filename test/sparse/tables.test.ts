/** Encoded sparse passes against direct convolutions in f64, forward and transposed. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { load } from '../../src/runtime/engine';
import type { Ptr } from '../../src/runtime/kernels';
import {
  copyCall,
  encode,
  mergeCalls,
  productCall,
  splitCalls,
  viewOfImages,
  viewOfPlanes,
} from '../../src/sparse/calls';
import {
  forwardPass,
  intoSplitOutput,
  marginsOf,
  type Order,
  overSplitInput,
  type Planes,
  phasesOf,
  planesOf,
  TILE,
  transposedPasses,
} from '../../src/sparse/tables';
import { type ConvShape, convShape, convSize, geometryOf } from '../../src/tensor/convolution';
import { filled, input, step } from '../../src/tensor/tensor';
import { sampler } from '../helpers/random';

const engine = await load({ threads: 1, binary: 'simd' });

const sizesOf = (
  input: readonly [number, number, number],
  oc: number,
  kernel: readonly [number, number],
  stride: readonly [number, number],
  [pt, pl]: readonly [number, number],
  dilation: readonly [number, number],
): ConvShape =>
  convShape(input, [oc, input[0], ...kernel], { stride, pad: [pt, pl, pt, pl], dilation });

/** Calls back with the flat indices of every product. */
function each(n: number, sizes: ConvShape, visit: (x: number, w: number, y: number) => void): void {
  const [, c, h, w, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow] = geometryOf(sizes, 1);
  for (let b = 0; b < n; b++)
    for (let o = 0; o < oc; o++)
      for (let y = 0; y < oh; y++)
        for (let x = 0; x < ow; x++)
          for (let i = 0; i < c; i++)
            for (let ky = 0; ky < kh; ky++)
              for (let kx = 0; kx < kw; kx++) {
                const [iy, ix] = [y * sh - pt + ky * dh, x * sw - pl + kx * dw];
                if (iy < 0 || ix < 0 || iy >= h || ix >= w) continue;
                visit(
                  ((b * c + i) * h + iy) * w + ix,
                  ((o * c + i) * kh + ky) * kw + kx,
                  ((b * oc + o) * oh + y) * ow + x,
                );
              }
}

interface Sample {
  readonly sizes: ConvShape;
  readonly n: number;
  readonly weight: Float32Array;
  readonly from: Float32Array;
}

/** The product by the kernels: images to planes, the passes, planes to images. */
function run({ sizes, n, weight, from }: Sample, transposed: boolean, order: Order): Float32Array {
  const [, c, h, w, oc, , , sh, sw, , , , , oh, ow] = geometryOf(sizes, 1);
  const [a, b] = [[c, h, w] as const, [oc, oh, ow] as const];
  const [inShape, outShape] = transposed ? [b, a] : [a, b];
  const whole = transposed ? transposedPasses(sizes) : [forwardPass(sizes)];
  const lanesFill = n % TILE === 0;
  const isSplit = sh * sw > 1 && !lanesFill;
  const split = transposed ? intoSplitOutput(whole) : whole.map(overSplitInput);
  const passes = isSplit ? split : whole;
  const phases = [Math.min(sh, h), Math.min(sw, w)] as const;
  const sourceShape = isSplit && !transposed ? phasesOf(a, [sh, sw]) : inShape;
  const targetShape = isSplit && transposed ? phasesOf(a, phases) : outShape;
  return step(engine, () => {
    const keep = (bytes: number): Ptr => filled(engine, [Math.ceil(bytes / 4)], 0).ptr;
    const margins = marginsOf(passes, sourceShape);
    const lines = (planes: Planes): number => planes.line / n;
    const first = planesOf(sourceShape, n, margins);
    const pitch = lines(planesOf(targetShape, n, undefined, lines(first)));
    const target = planesOf(targetShape, n, undefined, pitch, order);
    const source = planesOf(sourceShape, n, margins, pitch, order);
    const [x, y] = [keep(4 * source.size), keep(4 * target.size)];
    const images = viewOfImages(input(engine, from, [from.length]).ptr, inShape);
    const calls =
      isSplit && !transposed
        ? splitCalls(engine, n, a, [sh, sw], images, viewOfPlanes(x, source))
        : [copyCall(engine, n, inShape, images, viewOfPlanes(x, source))];
    const w0 = input(engine, weight, [weight.length]);
    for (const pass of passes) {
      const encoded = encode({
        ...{ engine, keep, weight: w0, conv: sizes, pass, source, target, transposed },
      });
      calls.push(productCall(engine, encoded, { x, y }));
    }
    const out = n * outShape[0] * outShape[1] * outShape[2];
    const result = keep(4 * out);
    const to = viewOfImages(result, outShape);
    if (isSplit && transposed)
      calls.push(...mergeCalls(engine, n, a, phases, viewOfPlanes(y, target), to));
    else calls.push(copyCall(engine, n, outShape, viewOfPlanes(y, target), to));
    for (const call of calls) engine.start(call);
    return engine.memory.f32(result, out).slice();
  });
}

function expected({ sizes, n, weight, from }: Sample, transposed: boolean): Float64Array {
  const [, c, h, w, oc, , , , , , , , , oh, ow] = geometryOf(sizes, 1);
  const want = new Float64Array(n * (transposed ? c * h * w : oc * oh * ow));
  each(n, sizes, (x, v, y) => {
    if (transposed) want[x]! += from[y]! * weight[v]!;
    else want[y]! += from[x]! * weight[v]!;
  });
  return want;
}

function check(sizes: ConvShape, n: number, density: number, seed: number): void {
  const random = sampler(seed);
  const draw = (count: number, lo: number, hi: number): Float32Array =>
    Float32Array.from(random.array([count], lo, hi).data);
  const [, c, h, w, oc, kh, kw, , , , , , , oh, ow] = geometryOf(sizes, 1);
  const count = oc * c * kh * kw;
  const chosen = draw(count, 0, 1);
  const weight = draw(count, -1, 1).map((v, i) => (chosen[i]! < density ? v : 0));
  for (const transposed of [false, true]) {
    const from = draw(n * (transposed ? oc * oh * ow : c * h * w), -1, 1);
    const sample = { sizes, n, weight, from };
    const want = expected(sample, transposed);
    const orders =
      n % TILE === 0 ? (['planes', 'lines', 'positions'] as const) : (['planes'] as const);
    for (const order of orders) {
      const got = run(sample, transposed, order);
      const worst = want.reduce((most, v, i) => Math.max(most, Math.abs(v - got[i]!)), 0);
      expect(worst, JSON.stringify({ sizes, n, density, transposed, order })).toBeLessThan(1e-5);
    }
  }
}

const LANES = [1, 2, 3, 8, 16, 32];

describe('sparse passes', () => {
  it.each([
    ['1 x 1', [2, 5, 4], 3, [1, 1], [1, 1], [0, 0], [1, 1]],
    ['3 x 3', [2, 7, 7], 5, [3, 3], [1, 1], [1, 1], [1, 1]],
    ['2 x 2 planes', [3, 2, 2], 4, [3, 3], [1, 1], [1, 1], [1, 1]],
    ['4 x 4 by 2', [2, 10, 10], 3, [4, 4], [2, 2], [1, 1], [1, 1]],
    ['strides 2 and 3', [1, 9, 8], 2, [3, 2], [2, 3], [1, 0], [1, 1]],
    ['dilation', [2, 9, 11], 2, [3, 3], [1, 2], [2, 2], [2, 3]],
    ['strides over kernels', [2, 7, 5], 2, [1, 1], [3, 3], [0, 0], [1, 1]],
    ['wide lines', [1, 3, 40], 2, [3, 3], [1, 1], [1, 1], [1, 1]],
    ['large margins', [1, 4, 4], 2, [5, 5], [1, 1], [4, 4], [1, 1]],
    ['dense', [37, 1, 1], 9, [1, 1], [1, 1], [0, 0], [1, 1]],
  ] as const)('%s', (_, shape, oc, k, s, p, d) => {
    for (const n of LANES)
      for (const density of [0, 0.3, 1]) check(sizesOf(shape, oc, k, s, p, d), n, density, n);
  });

  it('of any geometry', () => {
    const pair = (min: number, max: number) =>
      fc.tuple(fc.integer({ min, max }), fc.integer({ min, max }));
    const geometry = fc.tuple(
      fc.tuple(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 19 }),
      ),
      ...([
        fc.integer({ min: 1, max: 4 }),
        pair(1, 4),
        pair(1, 3),
        pair(0, 2),
        pair(1, 2),
      ] as const),
    );
    fc.assert(
      fc.property(
        geometry,
        fc.constantFrom(...LANES),
        fc.nat(1000),
        ([shape, ...rest], n, seed) => {
          const [, kernel, stride, [pt, pl], dilation] = rest;
          const options = { stride, pad: [pt, pl, pt, pl], dilation } as const;
          const size = convSize([shape[1], shape[2]], kernel, options);
          fc.pre(size.every((n) => n > 0));
          check(sizesOf(shape, ...rest), n, 0.4, seed);
        },
      ),
      { numRuns: 150 },
    );
  });
});
