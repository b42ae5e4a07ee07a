/**
 * What the domains take for granted of pointwise layers: f is `scalar` up to the stated error, never
 * decreases as computed or stays within its `range`, and the two lines of `relax` bound it.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PointwiseLayer } from '../../src/nn/layer';
import { layers } from '../../src/nn/layers/registry';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { binaries } from '../helpers/engine';
import { sampler } from '../helpers/random';

/** Option sets to try; the defaults come first everywhere. */
const OPTIONS: Readonly<Record<string, readonly object[]>> = {
  'leaky-relu': [{}, { slope: 0 }, { slope: 0.3 }, { slope: 1 }],
  clip: [
    {},
    { lo: 0.1, hi: 0.3 },
    { lo: 0 },
    { hi: 0.5 },
    { lo: 0, hi: 6 },
    { lo: -1, hi: 1 },
    { lo: 2, hi: 2 },
  ],
  gelu: [{}, { approximate: 'tanh' }],
};
const POINTWISE = Object.entries(layers).flatMap(([kind, layer]) =>
  layer.role !== 'pointwise'
    ? []
    : (OPTIONS[kind] ?? [{}]).map((options) => {
        const o = parseOptions(layer.options, options, kind) as never;
        return [`${kind} ${JSON.stringify(o)}`, layer, o] as const;
      }),
);

const MONOTONE = POINTWISE.filter(([, layer]) => !layer.range);
const RANGED = POINTWISE.filter(([, layer]) => layer.range);

const F32 = new Float32Array(1);
const I32 = new Int32Array(F32.buffer);
/** The float32 `steps` places above x >= 0 in the order of floats. */
const above = (x: number, steps: number): number => {
  F32[0] = x;
  I32[0]! += steps;
  return F32[0]!;
};

/** Runs of neighbouring floats about the places where formulas change, of both signs, in order. */
function neighbours(): Float32Array {
  const starts = [
    0, 1e-30, 1e-7, 0.0299, 0.34, 0.69, 1, 3, 8.5, 16.5, 17.3, 55, 87, 88.7, 103, 109.9, 1e4,
  ];
  const positive = starts.flatMap((x) => Array.from({ length: 4000 }, (_, i) => above(x, i)));
  return Float32Array.from([...positive.map((x) => -x), ...positive]).sort();
}

/** Everywhere: from denormal to huge, evenly over the exponents. */
function everywhere(): Float32Array {
  const sizes = Array.from({ length: 20_000 }, (_, i) => 10 ** (-44 + (82 * i) / 20_000));
  const fine = Array.from({ length: 20_000 }, (_, i) => 120 * (i / 20_000));
  const positive = [0, 2 ** -149, 2 ** -126, 3.4e38, ...sizes, ...fine];
  return Float32Array.from([...positive.map((x) => -x), ...positive]).sort();
}

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 1 });
  });
  afterAll(() => engine.close());
  const run = (layer: PointwiseLayer, o: never, x: Float32Array): Float32Array =>
    step(engine, () => layer.f(input(engine, x, [x.length]), o).read());

  it.each(POINTWISE)('%s is its scalar form up to the stated error', (_, layer, o) => {
    const x = everywhere();
    const y = run(layer, o, x);
    const bad = x.findIndex((v, i) => {
      const exact = layer.scalar(v, o);
      // Beside these: half of the smallest denormal, where the result is one.
      const own = layer.error * Math.abs(exact) + (layer.inputError ?? 0) * Math.abs(v);
      return !(Math.abs(y[i]! - exact) <= own * 2 ** -24 + 2 ** -150);
    });
    expect(bad < 0 ? 'all' : `f(${x[bad]}) = ${y[bad]}`).toBe('all');
    expect(layer.error).toBeLessThan(100);
  });

  it.each(MONOTONE)('%s never decreases', (_, layer, o) => {
    for (const x of [neighbours(), everywhere()]) {
      const y = run(layer, o, x);
      const bad = y.findIndex((v, i) => i > 0 && !(v >= y[i - 1]!));
      expect(bad < 0 ? 'none' : `f(${x[bad]}) < f(${x[bad - 1]})`).toBe('none');
    }
  });

  it.each(RANGED)('%s stays within its range, to the stated error', (_, layer, o) => {
    const x = [...neighbours(), ...everywhere()].filter((v) => Math.abs(v) < 1e30);
    const count = 2000;
    const random = sampler(3);
    const pick = (): number => x[random.whole(x.length)]!;
    const boxes = Array.from({ length: count }, () => [pick(), pick()].sort((a, b) => a - b));
    const ends = [0, 1].map((k) => Float32Array.from(boxes, (box) => box[k]!));
    const [lo, hi] = step(engine, () =>
      layer.range!(input(engine, ends[0]!, [count]), input(engine, ends[1]!, [count]), o).map((t) =>
        t.read(),
      ),
    );
    boxes.forEach(([a, b], i) => {
      const inner = Array.from({ length: 64 }, (_, k) => a! + ((b! - a!) * k) / 64);
      const points = [...inner.map((p) => Math.min(p, b!)), b!];
      const reach = Math.max(Math.abs(a!), Math.abs(b!));
      for (const y of points.map((p) => layer.scalar(p, o))) {
        const slack = (layer.error * Math.abs(y) + (layer.inputError ?? 0) * reach) * 2 ** -24;
        expect(lo![i]!).toBeLessThanOrEqual(y + slack + 2 ** -149);
        expect(hi![i]!).toBeGreaterThanOrEqual(y - slack - 2 ** -149);
      }
    });
  });

  it.each(POINTWISE)('%s lets NaN through', (_, layer, o) => {
    expect([...run(layer, o, Float32Array.of(Number.NaN, 1))][0]).toBeNaN();
  });
});

/** lo < hi of every size and width: around 0, far out, and nearly touching. */
const boxes = fc
  .tuple(
    fc.double({ min: -1, max: 1, noNaN: true }),
    fc.integer({ min: -30, max: 12 }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.integer({ min: -30, max: 12 }),
  )
  .map(([centre, p, width, q]): [number, number] => {
    const [c, r] = [centre * 10 ** p, width * 10 ** q];
    return [c - r, c + r];
  });

describe('relax', () => {
  it.each(POINTWISE)('%s lies between its two lines', (_, layer, o) => {
    fc.assert(
      fc.property(boxes, ([lo, hi]) => {
        const [a, b, c, d] = layer.relax(lo, hi, o);
        const points = Array.from({ length: 65 }, (_, i) =>
          i === 64 ? hi : lo + ((hi - lo) * i) / 64,
        );
        const bad = points.find((x) => {
          const y = layer.scalar(x, o);
          // A line's own rounding, from the sizes of its terms over the interval.
          const far = Math.max(Math.abs(lo), Math.abs(hi));
          const slack = (slope: number, at: number) =>
            8 * 2 ** -52 * (Math.abs(slope) * far + Math.abs(at) + Math.abs(y)) + 1e-300;
          return !(a * x + b <= y + slack(a, b) && c * x + d >= y - slack(c, d));
        });
        expect(bad).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
  });

  it.each(POINTWISE)('%s is tight at a point', (_, layer, o) => {
    for (const x of [-3, -0.5, 0.5, 3]) {
      const [a, b, c, d] = layer.relax(x - 1e-9, x + 1e-9, o);
      expect(a * x + b).toBeCloseTo(layer.scalar(x, o), 7);
      expect(c * x + d).toBeCloseTo(layer.scalar(x, o), 7);
    }
  });

  it('takes the chord above an unstable relu and the better ray below', () => {
    const relu = layers.relu as PointwiseLayer;
    expect(relu.relax(-1, 3, {} as never)).toEqual([1, 0, 0.75, 0.75]);
    expect(relu.relax(-3, 1, {} as never)).toEqual([0, 0, 0.25, 0.75]);
    expect(relu.relax(1, 2, {} as never)).toEqual([1, 0, 1, 0]);
    expect(relu.relax(-2, -1, {} as never)).toEqual([0, 0, 0, 0]);
  });
});
