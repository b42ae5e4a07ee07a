/** Margins: the differences of classes merged into the last layer, in value and in gradient. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { ball, interval } from '../../src/domain/interval';
import { intervalMargins } from '../../src/domain/rows';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { leastMargins } from '../../src/plan/margins';
import { type Engine, load } from '../../src/runtime/engine';
import { mul, sum } from '../../src/tensor/ops/core';
import { gradients } from '../../src/tensor/tape';
import { input, step } from '../../src/tensor/tensor';
import { expectClose } from '../helpers/close';
import { dot, map, type Nd, nd, numericGradients } from '../helpers/nd';
import { modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';
import { type BoxNd, evaluate, evaluateMargins } from '../helpers/reference-network';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const body = [
  ['conv2d', { channels: 3, kernel: 3, stride: 2, padding: 1 }],
  ['relu'],
  ['conv2d', { channels: 4, kernel: 2 }],
  ['relu'],
] as const;
/** By what they end with; all have 4 classes. */
const NETWORKS: Readonly<Record<string, Network>> = {
  dense: sequential('n', [1, 5, 5], [...body, ['flatten'], ['dense', { units: 4 }]]),
  'dense without bias': sequential(
    'n',
    [1, 5, 5],
    [...body, ['flatten'], ['dense', { units: 4, bias: false }]],
  ),
  'conv2d to [4, 1, 1]': sequential(
    'n',
    [1, 5, 5],
    [...body, ['conv2d', { channels: 4, kernel: 2 }]],
  ),
  'conv2d to [1, 2, 2]': sequential(
    'n',
    [1, 5, 5],
    [...body, ['conv2d', { channels: 1, kernel: 1 }]],
  ),
  flatten: sequential('n', [1, 5, 5], [...body, ['avg-pool', { kernel: 2 }], ['flatten']]),
  'avg-pool': sequential('n', [1, 5, 5], [...body, ['avg-pool', { kernel: 2 }]]),
  scale: sequential('n', [1, 5, 5], [...body, ['flatten'], ['dense', { units: 4 }], ['scale']]),
  'scale of planes': sequential(
    'n',
    [1, 5, 5],
    [...body, ['conv2d', { channels: 1, kernel: 1 }], ['scale']],
  ),
  'batch-norm': sequential(
    'n',
    [1, 5, 5],
    [...body, ['flatten'], ['dense', { units: 4 }], ['batch-norm']],
  ),
  relu: sequential('n', [1, 5, 5], [...body, ['flatten'], ['dense', { units: 4 }], ['relu']]),
};
const LABELS = [2, 0];
const EPS = 0.05;

const random = sampler(71);
const images = random.array([LABELS.length, 1, 5, 5], 0, 1);

/** The ball in float64, cut to [0, 1]. */
const exactBall = (x: Nd, eps: number): BoxNd => ({
  lo: map((v) => Math.max(0, v! - eps), x),
  hi: map((v) => Math.min(1, v! + eps), x),
});

describe.each(Object.keys(NETWORKS))('intervalMargins of a network that ends with %s', (name) => {
  const network = NETWORKS[name]!;
  const graph = compile(network);
  const weights = randomWeights(graph, random);
  const margins = (sound: boolean, eps = EPS): Float32Array =>
    step(engine, () => {
      const { graph, params } = modelOf(engine, network, weights);
      const box = ball(input(engine, images.data, images.shape), eps, { sound });
      return intervalMargins(graph, params, box, LABELS, { sound }).read();
    });

  it('equals the reference without rounding terms, and lies just below with them', () => {
    const [plain, sound] = [margins(false), margins(true)];
    const reference = evaluateMargins(graph, weights, exactBall(images, EPS), LABELS);
    expectClose(plain, reference.data, { rel: 1e-5 });
    expectClose(sound, reference.data, { rel: 1e-4, abs: 1e-3 });
    expect(sound.findIndex((v, i) => v > reference.data[i]!)).toBe(-1);
  });

  it('is 0 at the own class', () => {
    for (const sound of [false, true]) {
      const found = margins(sound);
      expect(LABELS.map((y, i) => found[4 * i + y]! + 0)).toEqual([0, 0]);
    }
  });

  it('is never looser than differences of the bounds, and never above a point', () => {
    for (const sound of [false, true]) {
      const found = margins(sound);
      const ends = step(engine, () => {
        const { graph, params } = modelOf(engine, network, weights);
        const box = ball(input(engine, images.data, images.shape), EPS, { sound });
        const { lo, hi } = propagate(graph, params, interval({ sound }), box);
        return [lo.read(), hi.read()] as const;
      });
      found.forEach((margin, at) => {
        const [i, j] = [Math.floor(at / 4), at % 4];
        if (j === LABELS[i]) return;
        const [own, other] = [ends[0][4 * i + LABELS[i]!]!, ends[1][at]!];
        const slack = 3e-5 * (1 + Math.abs(own) + Math.abs(other));
        expect(margin).toBeGreaterThanOrEqual(own - other - slack);
      });
    }
    const z = evaluate(graph, weights, images).data;
    const sound = margins(true, 1e-6);
    sound.forEach((margin, at) => {
      const i = Math.floor(at / 4);
      expect(margin).toBeLessThanOrEqual(z[4 * i + LABELS[i]!]! - z[at]!);
    });
  });

  it('has the gradients of its reference', () => {
    const factor = random.array([LABELS.length, 4], 0.5, 1.5);
    const names = [...weights.keys()];
    const box = exactBall(images, EPS);
    const found = step(engine, () => {
      const { graph, params } = modelOf(engine, network, weights);
      const at = {
        lo: input(engine, box.lo.data, box.lo.shape),
        hi: input(engine, box.hi.data, box.hi.shape),
      };
      const wanted = [at.lo, at.hi, ...names.map((n) => params.get(n)!)];
      return gradients(engine, wanted, () => {
        const m = intervalMargins(graph, params, at, LABELS, { sound: false });
        return { loss: sum(mul(m, input(engine, factor.data, factor.shape))) };
      }).gradients.map((g) => g.read());
    });
    const expected = numericGradients(
      ([lo, hi, ...ws]) => {
        const changed = new Map(names.map((n, i) => [n, ws[i]!]));
        const m = evaluateMargins(graph, changed, { lo: lo!, hi: hi! }, LABELS);
        return dot(m.data, factor.data);
      },
      [box.lo, box.hi, ...weights.values()].map((t) => nd(t.shape, Float32Array.from(t.data))),
    );
    const who = ['lo', 'hi', ...names];
    found.forEach(
      (g, i) => void expectClose(g, expected[i]!.data, { rel: 1e-4, abs: 1e-5 }, who[i]),
    );
  });
});

describe('intervalMargins', () => {
  const network = NETWORKS.dense!;
  const weights = randomWeights(compile(network), random);

  it('is tighter than differences of the bounds for a wide box', () => {
    step(engine, () => {
      const { graph, params } = modelOf(engine, network, weights);
      const box = ball(input(engine, images.data, images.shape), 0.3, { sound: true });
      const { lo, hi } = propagate(graph, params, interval({ sound: true }), box);
      const merged = intervalMargins(graph, params, box, LABELS, { sound: true }).read();
      const [low, high] = [lo.read(), hi.read()];
      const gains = LABELS.flatMap((y, i) =>
        [0, 1, 2, 3]
          .filter((j) => j !== y)
          .map((j) => merged[4 * i + j]! - (low[4 * i + y]! - high[4 * i + j]!)),
      );
      expect(Math.min(...gains)).toBeGreaterThan(0);
    });
  });

  it('shows every node the box in front of it', () => {
    step(engine, () => {
      const { graph, params } = modelOf(engine, network, weights);
      const box = ball(input(engine, images.data, images.shape), EPS, { sound: false });
      const seen: string[] = [];
      intervalMargins(graph, params, box, LABELS, {
        sound: false,
        observe: (node, { lo }) => seen.push(`${node.name} [${lo.shape}]`),
      });
      const expected = graph.nodes.map(
        (n) => `${n.name} [${[LABELS.length, ...n.inputShapes[0]!]}]`,
      );
      expect(seen).toEqual(expected);
    });
  });

  it('gives its least over the other classes', () => {
    const model = modelOf(engine, network, weights);
    const found = leastMargins(model, Float32Array.from(images.data), LABELS, EPS, { sound: true });
    const all = step(engine, () => {
      const box = ball(input(engine, images.data, images.shape), EPS, { sound: true });
      return intervalMargins(model.graph, model.params, box, LABELS, { sound: true }).read();
    });
    const least = LABELS.map((y, i) =>
      Math.min(...[0, 1, 2, 3].filter((j) => j !== y).map((j) => all[4 * i + j]!)),
    );
    expect([...found]).toEqual(least);
  });

  it('propagate can stop in front of a node', () => {
    step(engine, () => {
      const { graph, params } = modelOf(engine, network, weights);
      const box = ball(input(engine, images.data, images.shape), EPS, { sound: false });
      const before = graph.nodes[0]!;
      expect(propagate(graph, params, interval({ sound: false }), box, { before })).toBe(box);
    });
  });
});
