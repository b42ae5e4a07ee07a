/** Bounding methods and the float64 replay against references, on random graphs and nasty rows. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compile, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { whole } from '../../src/tensor/parts';
import { outputsAt } from '../../src/verify/descent';
import {
  alphaMethod,
  type BoundMethod,
  intervalMethod,
  linearMethod,
} from '../../src/verify/methods';
import { outputRows } from '../../src/verify/problem';
import { replay } from '../../src/verify/replay';
import { binaries } from '../helpers/engine';
import { nd } from '../helpers/nd';
import { graphs, modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';
import { evaluate } from '../helpers/reference-network';

const METHODS: readonly BoundMethod[] = [
  intervalMethod(),
  linearMethod('crown', { hidden: 'unstable' }),
  linearMethod('crown-ibp', { hidden: 'interval' }),
  alphaMethod('alpha-crown', { steps: 4 }),
];

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1, binary });
  });
  afterAll(() => engine.close());

  it('replays random graphs in float64', () => {
    fc.assert(
      fc.property(graphs, ({ network, seed }) => {
        const random = sampler(seed);
        const graph = compile(network);
        const weights = randomWeights(graph, random);
        const model = modelOf(engine, network, weights);
        const canonical = lower(model);
        const x = Float64Array.from(random.array(network.input).data, (v) => v + 1e-12);
        const want = evaluate(graph, weights, nd([1, ...network.input], x)).data;
        const got = replay(canonical, x);
        got.forEach((y, j) => {
          // Folding batch norms and averages rounds to float32; nothing else does.
          expect(Math.abs(y - want[j]!)).toBeLessThan(3e-5 * (1 + Math.abs(want[j]!)));
        });
        freeModel(model);
        freeModel(canonical);
      }),
      { numRuns: 60 },
    );
  });

  it('replays a plain network to the last digits', () => {
    const network = sequential(
      'plain',
      [2, 5, 5],
      [
        ['conv2d', { channels: 3, kernel: 3, padding: 1 }],
        ['relu'],
        ['max-pool', { kernel: 2 }],
        ['flatten'],
        ['dense', { units: 7 }],
        ['tanh'],
        ['dense', { units: 3 }],
      ],
    );
    const graph = compile(network);
    const random = sampler(3);
    const weights = randomWeights(graph, random);
    const model = modelOf(engine, network, weights);
    for (let run = 0; run < 5; run++) {
      const x = Float64Array.from(random.array(network.input).data, (v) => v / 3);
      const want = evaluate(graph, weights, nd([1, ...network.input], x)).data;
      replay(model, x).forEach((y, j) => {
        expect(Math.abs(y - want[j]!)).toBeLessThan(1e-13 * (1 + Math.abs(want[j]!)));
      });
    }
    freeModel(model);
  });

  describe.each(METHODS.map((method) => [method.name, method] as const))('%s', (_, method) => {
    const KINDS = ['plain', 'rounded', 'spread', 'single'] as const;
    const rowsOf = (kind: (typeof KINDS)[number], outputs: number, seed: number) => {
      const random = sampler(seed);
      const row = (): Float64Array =>
        Float64Array.from({ length: outputs }, (_, j) => {
          if (kind === 'plain') return [-1, 0, 1][random.whole(3)]!;
          if (kind === 'rounded') return random.real(-1, 1) / 3;
          if (kind === 'spread') return random.spread([1], -8, 8).data[0]!;
          return Number(j === 0) * -0.1;
        });
      return outputRows([{ rows: [row(), row(), row()], rhs: [0, 0, 0] }], outputs);
    };

    it('is below what the network computes at points of the boxes, in float32 and float64', () => {
      let near = 0;
      fc.assert(
        fc.property(graphs, fc.constantFrom(...KINDS), ({ network, seed }, kind) => {
          const random = sampler(seed);
          const graph = compile(network);
          const model = modelOf(engine, network, randomWeights(graph, random));
          const canonical = lower(model);
          const size = network.input.reduce((a, b) => a * b, 1);
          const rows = rowsOf(kind, 4, seed);
          const centres = random.array([3, size]).data;
          const radii = [0, 1e-6, 0.1];
          const ends = (sign: number) =>
            Float32Array.from(centres, (c, at) => c + sign * radii[Math.floor(at / size)]!);
          const boxes = { count: 3, lo: ends(-1), hi: ends(1) };
          const lowers = whole(method.bound({ networks: [canonical], region: boxes, rows })).lower;
          for (let sample = 0; sample < 12; sample++) {
            const x = boxes.lo.map((lo, at) =>
              Math.min(boxes.hi[at]!, lo + random.real() ** (sample % 3) * (boxes.hi[at]! - lo)),
            );
            const y = outputsAt(canonical, x, 3);
            for (let i = 0; i < 3; i++) {
              const exact = replay(canonical, Float64Array.from(x.slice(i * size, (i + 1) * size)));
              for (let r = 0; r < 3; r++) {
                const dot = (out: (j: number) => number): number =>
                  [0, 1, 2, 3].reduce(
                    (sum, j) =>
                      sum + (rows.matrix[r * 4 + j]! + (rows.residual?.[r * 4 + j] ?? 0)) * out(j),
                    0,
                  );
                const values = [dot((j) => y[i * 4 + j]!), dot((j) => exact[j]!)];
                const low = lowers[i * 3 + r]!;
                const scale = Math.max(1, ...values.map(Math.abs));
                for (const value of values) expect(low - value).toBeLessThanOrEqual(1e-12 * scale);
                if (i === 0 && values[0]! - low < 1e-3 * scale) near++;
              }
            }
          }
          freeModel(model);
          freeModel(canonical);
        }),
        { numRuns: 12 },
      );
      // Bounds of single points are close: the comparison means something.
      expect(near).toBeGreaterThan(100);
    });

    it('says nothing of weights that are no numbers', () => {
      const model = badModel(engine);
      const rows = outputRows([{ rows: [Float64Array.of(1, -1)], rhs: [0] }], 2);
      const boxes = { count: 1, lo: new Float32Array(3), hi: new Float32Array(3).fill(1) };
      const { lower } = whole(method.bound({ networks: [model], region: boxes, rows }));
      expect(lower[0]! > 0).toBe(false);
      freeModel(model);
    });
  });
});

function badModel(engine: Engine): Model {
  const network = sequential(
    'bad',
    [3],
    [['dense', { units: 4 }], ['relu'], ['dense', { units: 2 }]],
  );
  const weights = randomWeights(compile(network), sampler(1));
  weights.get('dense1.weight')!.data[2] = Number.POSITIVE_INFINITY;
  return modelOf(engine, network, weights);
}
