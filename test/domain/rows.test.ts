/**
 * Rows of a specification merged into the last layer (docs/numerics.md, lemma 7) against exact arithmetic:
 * no bound is above the least value of the row over the box, nor above what any order of summation makes
 * of a point; for dense layers, convolutions, other last layers and none; for ternary rows, of all sizes, of
 * numbers that cancel and that underflow. The same without error terms are.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rowBounds } from '../../src/domain/rows';
import { compile, type NodeSpec } from '../../src/nn/graph';
import { freeModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { binaries } from '../helpers/engine';
import { double, type Exact, isBelow, least, plus, times, ZERO } from '../helpers/exact';
import { modelOf, randomWeights } from '../helpers/networks';
import { type Sampler, sampler } from '../helpers/random';

/** Last layers, for inputs [2, 3, 3]; `matrix` has W by rows and b, exactly as they act. */
const LAST: Readonly<Record<string, Omit<NodeSpec, 'name'>[]>> = {
  dense: [{ layer: 'flatten' }, { layer: 'dense', options: { units: 5 } }],
  'a convolution whose windows do not overlap': [
    { layer: 'conv2d', options: { channels: 3, kernel: 1 } },
  ],
  'a convolution': [{ layer: 'conv2d', options: { channels: 2, kernel: 2, padding: 1 } }],
  'an average': [{ layer: 'avg-pool', options: { kernel: 3 } }],
  flatten: [{ layer: 'flatten' }],
  relu: [{ layer: 'relu' }],
};
const SHAPE = [2, 3, 3];
const SIZE = 18;

const FAMILIES = ['ternary', 'ordinary', 'spread', 'cancelling', 'tiny', 'single'] as const;

function rowOf(family: (typeof FAMILIES)[number], outputs: number, random: Sampler): number[] {
  if (family === 'ternary') {
    const [y, j] = [random.whole(outputs), random.whole(outputs)];
    return Array.from({ length: outputs }, (_, k) => Number(k === y) - Number(k === j));
  }
  if (family === 'single') return Array.from({ length: outputs }, (_, k) => (k === 0 ? 1 / 3 : 0));
  if (family === 'ordinary') return [...random.array([outputs]).data];
  if (family === 'tiny') return [...random.spread([outputs], -44, -30).data];
  const spread = [...random.spread([outputs], -8, 8).data];
  return family === 'spread'
    ? spread
    : spread.map((v, i) => (i % 2 ? -spread[i - 1]! * (1 + 2 ** -22) : v));
}

/** W and b of the layers, read off the network at unit vectors, which is exact; no relu. */
interface Linear {
  readonly weight: readonly (readonly number[])[];
  readonly bias: readonly number[];
}

function linearOf(model: Model, run: (x: Float32Array) => Float32Array): Linear {
  const bias = [...run(new Float32Array(SIZE))];
  const weights = model.params.get('n2.weight') ?? model.params.get('n1.weight');
  if (!weights) {
    const columns = Array.from({ length: SIZE }, (_, i) =>
      run(Float32Array.from({ length: SIZE }, (_, k) => Number(k === i))),
    );
    return { weight: bias.map((_, j) => columns.map((column) => column[j]!)), bias };
  }
  // Without its bias, as sums with it round.
  const kept = model.params.get(model.params.has('n2.bias') ? 'n2.bias' : 'n1.bias')!;
  const own = kept.read();
  kept.write(new Float32Array(own.length));
  const columns = Array.from({ length: SIZE }, (_, i) =>
    run(Float32Array.from({ length: SIZE }, (_, k) => Number(k === i))),
  );
  kept.write(own);
  return { weight: bias.map((_, j) => columns.map((column) => column[j]!)), bias };
}

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 1 });
  });
  afterAll(() => engine.close());

  interface Case {
    readonly family: (typeof FAMILIES)[number];
    readonly width: number;
    readonly seed: number;
    readonly large: boolean;
  }
  const CASES = fc.record({
    family: fc.constantFrom(...FAMILIES),
    width: fc.constantFrom(0, 1e-7, 1e-3, 1),
    seed: fc.integer({ min: 0, max: 2 ** 31 }),
    large: fc.boolean(),
  });

  /** How many bounds are above the exact least value of their row over the box. */
  function above(name: string, { family, width, seed, large }: Case, sound: boolean): number {
    const random = sampler(seed);
    const nodes = LAST[name]!.map((node, i): NodeSpec => ({ ...node, name: `n${i + 1}` }));
    const network = { name: 'n', input: SHAPE, nodes };
    const graph = compile(network);
    const weights = randomWeights(graph, random);
    if (large)
      for (const { data } of weights.values()) data.set(random.spread([data.length], -6, 6).data);
    const model = modelOf(engine, network, weights);
    const k = graph.output.reduce((a, b) => a * b, 1);
    const rows = [0, 1, 2, 3].map(() => rowOf(family, k, random).map(Math.fround));
    const centres = random.array([2, SIZE], -2, 2).data;
    const lo = Float32Array.from(centres, (c) => c - width * random.real());
    const hi = Float32Array.from(lo, (v, i) => Math.max(v, centres[i]! + width * random.real()));
    const isLinear = name !== 'relu';
    // Two matrices of two rows; the samples take them crosswise.
    const found = step(engine, () => {
      const matrix = input(engine, rows.flat(), [4, k]);
      const nnz = Math.max(...rows.map((row) => row.filter((w) => w !== 0).length));
      const ternary = rows.flat().every((w) => w === 0 || Math.abs(w) === 1);
      const shape = [2, ...(nodes.length > 1 ? [SIZE] : SHAPE)];
      const box = { lo: input(engine, lo, shape), hi: input(engine, hi, shape) };
      const spec = { matrix, count: 2, matrixOf: [1, 0], nnz, ternary };
      return rowBounds(model, box, spec, sound).read();
    });
    const { weight, bias } = isLinear
      ? linearOf(model, (x) =>
          step(engine, () => {
            const last = model.graph.nodes.at(-1)!;
            const { layer, options } = last;
            if (layer.role !== 'affine') throw new Error('not affine');
            const own = Object.fromEntries(
              [...model.params].map(([key, t]) => [key.split('.')[1]!, t]),
            );
            const at = input(engine, x, [1, ...last.inputShapes[0]!]);
            return layer.operator(own, options, last.inputShapes[0]!).apply(at).read();
          }),
        )
      : { weight: rows[0]!.map((_, j) => rows[0]!.map((_, i) => Number(i === j))), bias: [] };
    freeModel(model);
    let wrong = 0;
    [2, 3, 0, 1].forEach((r, at) => {
      const sample = at >> 1;
      const size = isLinear ? SIZE : k;
      let value: Exact = ZERO;
      const terms = rows[r]!.map((a) => double(a));
      const merged = Array.from({ length: size }, (_, i) =>
        terms.reduce((sum, a, j) => plus(sum, times(a, double(weight[j]![i]!))), ZERO),
      );
      merged.forEach((w, i) => {
        const ends = [lo, hi].map((end) => times(w, double(end[sample * SIZE + i]!)));
        value = plus(value, least(ends[0]!, ends[1]!));
      });
      bias.forEach((b, j) => {
        value = plus(value, times(terms[j]!, double(b)));
      });
      const bound = found[at]!;
      if (Number.isFinite(bound) && !isBelow(double(bound), value)) wrong++;
    });
    return wrong;
  }

  it.each(Object.keys(LAST))('are below the exact least value: %s', (name) => {
    fc.assert(
      fc.property(CASES, (given) => {
        expect(above(name, given, true)).toBe(0);
      }),
      { numRuns: 40 },
    );
  });

  it('are no numbers where sums behind them could overflow, however small the row', () => {
    const network = {
      name: 'n',
      input: [2],
      nodes: [{ name: 'd', layer: 'dense', options: { units: 2 } }],
    };
    const weights = randomWeights(compile(network), sampler(1));
    weights.get('d.weight')!.data.set([2 ** 110, -(2 ** 110), 1, 1]);
    const model = modelOf(engine, network, weights);
    const bounds = (row: readonly number[], ternary: boolean): number[] =>
      step(engine, () => {
        const matrix = input(engine, row, [1, 2]);
        const box = { lo: input(engine, [1, 1], [1, 2]), hi: input(engine, [1, 1], [1, 2]) };
        const spec = { matrix, count: 1, nnz: 2, ternary };
        return [...rowBounds(model, box, spec, true).read()];
      });
    for (const small of [2 ** -100, 2 ** -140, 1e-3])
      expect(bounds([small, 0], false)).toEqual([Number.NaN]);
    expect(bounds([1, 0], true)).toEqual([Number.NaN]);
    expect(Number.isFinite(bounds([0, 1], true)[0])).toBe(true);
    freeModel(model);
  });

  it('would not be without error terms', () => {
    const cases = fc.sample(CASES, { numRuns: 30, seed: 5 });
    const wrong = cases.reduce((sum, given) => sum + above('dense', given, false), 0);
    expect(wrong).toBeGreaterThan(3);
  });
});
