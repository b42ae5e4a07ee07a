/** What strategies score by, against slow float64 references that share no code with them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataSet } from '../../src/data/types';
import { sequential } from '../../src/nn/graph';
import { createModel, freeModel, type Model, modelFrom, prunableNames } from '../../src/nn/model';
import { parseOptions } from '../../src/options';
import { compensation, inverseDiagonal } from '../../src/prune/fisher-blocks';
import type { LossOracle } from '../../src/prune/oracle';
import { masksOf } from '../../src/prune/prune';
import { strategies } from '../../src/prune/strategies/registry';
import { pathSums } from '../../src/prune/strategies/synflow';
import { lossOracle } from '../../src/recipe/oracle';
import { type Engine, load } from '../../src/runtime/engine';
import { gradient64, inverse64, loss64, type Mlp64, mean64, type Sample64 } from '../helpers/mlp64';
import { sampler } from '../helpers/random';
import { toySet } from '../train/toy';

const INPUTS = 16;
const HIDDEN = 8;
const CLASSES = 4;
const NAMES = ['dense1.weight', 'dense2.weight'];
const SAMPLES = 40;

let engine: Engine;
let set: DataSet;
let samples: Sample64[];
beforeAll(async () => {
  engine = await load({ threads: 1 });
  set = await toySet();
  samples = Array.from({ length: SAMPLES }, (_, n) => ({
    x: Array.from(set.train.images.subarray(n * INPUTS, (n + 1) * INPUTS), (b) => b / set.unit),
    label: set.train.labels[n]!,
  }));
});
afterAll(() => engine.close());

/** One batch of all samples, so that their order does not matter. */
function wholeOracle(): LossOracle {
  const train = { ...set.train, count: SAMPLES };
  const data = { set, train, held: set.test };
  return lossOracle({ objective: { name: 'benign' }, data, seed: 1, batch: SAMPLES });
}

function mlp(activation: Mlp64['activation']): { net: Mlp64; model: Model; w: number[] } {
  const network = sequential(
    activation,
    [1, 4, 4],
    [['flatten'], ['dense', { units: HIDDEN }], [activation], ['dense', { units: CLASSES }]],
  );
  const model = createModel(engine, network, { seed: 4 });
  const w = NAMES.flatMap((name) => [...model.params.get(name)!.read()]);
  return { net: { inputs: INPUTS, hidden: HIDDEN, classes: CLASSES, activation }, model, w };
}

/** The same after some descent, so that the loss is near a minimum. */
function trained(): { net: Mlp64; model: Model; w: number[] } {
  const { net, model, w } = mlp('relu');
  for (let at = 0; at < 300; at++) {
    const g = mean64(samples.map((sample) => gradient64(net, w, sample)));
    g.forEach((slope, i) => {
      w[i]! -= 0.5 * slope;
    });
  }
  const at = HIDDEN * INPUTS;
  model.params.get(NAMES[0]!)!.write(w.slice(0, at));
  model.params.get(NAMES[1]!)!.write(w.slice(at));
  return { net, model, w: NAMES.flatMap((name) => [...model.params.get(name)!.read()]) };
}

/** The places that a strategy leaves, of both weights in one row. */
async function kept(
  name: string,
  model: Model,
  sparsity: number,
  options: object = {},
): Promise<Set<number>> {
  const { [name]: entry } = strategies;
  const o = parseOptions(entry!.options, { scope: 'global', ...options }, name);
  const context = { model, sparsity, seed: 1, oracle: wholeOracle() };
  const masks = masksOf(await entry!.decide(context, o as never));
  const row = NAMES.flatMap((parameter) => [...masks.get(parameter)!]);
  return new Set(row.flatMap((one, i) => (one === 1 ? [i] : [])));
}

/** Expects the places of the largest scores, where they are told apart by more than rounding. */
function expectLargest(found: ReadonlySet<number>, scores: readonly number[]): void {
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
  const border = scores[order[found.size - 1]!]!;
  const close = 1e-4 * Math.max(...scores.map(Math.abs));
  let sure = 0;
  scores.forEach((score, i) => {
    if (Math.abs(score - border) < close) return;
    expect(found.has(i), `place ${i} of score ${score}, border ${border}`).toBe(score > border);
    sure++;
  });
  expect(sure).toBeGreaterThan(0.6 * scores.length);
}

const SPARSITIES = [0.3, 0.6, 0.9];

describe.each(['relu', 'tanh'] as const)('with %s', (activation) => {
  it.each(SPARSITIES)('snip goes by |g w| at %d', async (sparsity) => {
    const { net, model, w } = mlp(activation);
    const g = mean64(samples.map((sample) => gradient64(net, w, sample)));
    expectLargest(
      await kept('snip', model, sparsity),
      g.map((slope, i) => Math.abs(slope * w[i]!)),
    );
    freeModel(model);
  });

  it.each(SPARSITIES)('grasp goes by w H g at %d, in sign', async (sparsity) => {
    const { net, model, w } = mlp(activation);
    // Logits over 200 are those of a last layer over 200.
    const cooled = (at: readonly number[]): number[] =>
      at.map((v, i) => (i < HIDDEN * INPUTS ? v : v / 200));
    const gradientAt = (at: readonly number[]) =>
      cooled(mean64(samples.map((sample) => gradient64(net, cooled(at), sample))));
    const g = gradientAt(w);
    const h = 1e-5;
    const [up, down] = [h, -h].map((by) => gradientAt(w.map((v, i) => v + by * g[i]!)));
    const scores = up!.map((v, i) => (w[i]! * (v - down![i]!)) / (2 * h));
    expect(scores.some((score) => score < 0)).toBe(true);
    // A step of 1 % leaves pieces of relu, so only smooth networks are told apart well.
    if (activation === 'tanh') expectLargest(await kept('grasp', model, sparsity), scores);
    else
      expect((await kept('grasp', model, sparsity)).size).toBe(
        w.length - Math.round(sparsity * w.length),
      );
    freeModel(model);
  });

  it.each(SPARSITIES)(
    'obd goes by squared gradients of samples where asked, at %d',
    async (sparsity) => {
      const { net, model, w } = mlp(activation);
      const squares = mean64(samples.map((sample) => gradient64(net, w, sample).map((v) => v * v)));
      const found = await kept('obd', model, sparsity, { curvature: 'fisher' });
      expectLargest(
        found,
        squares.map((v, i) => (v * w[i]! ** 2) / 2),
      );
      freeModel(model);
    },
  );
});

describe('obd', () => {
  it('has the exact second derivatives of a network linear in pieces: differences of the loss', async () => {
    const { net, model, w } = mlp('relu');
    const { second } = wholeOracle().ask(model, 0, { second: 'gauss-newton' });
    const row = NAMES.flatMap((name) => [...second!.get(name)!]);
    const h = 1e-4;
    const at = (i: number, by: number) =>
      loss64(
        net,
        w.map((v, j) => (j === i ? v + by : v)),
        samples,
      );
    const exact = w.map((_, i) => (at(i, h) - 2 * at(i, 0) + at(i, -h)) / h ** 2);
    const largest = Math.max(...exact);
    // A step may cross a kink, where the difference is not the derivative.
    const off = row.filter((value, i) => Math.abs(value - exact[i]!) > 1e-3 * largest);
    expect(off.length).toBeLessThanOrEqual(0.02 * row.length);
    expectLargest(
      await kept('obd', model, 0.6),
      row.map((value, i) => (value * w[i]! ** 2) / 2),
    );
    freeModel(model);
  });

  it.each([0.3, 0.5, 0.7])('raises the loss less than magnitude at %d', async (sparsity) => {
    const { net, model, w } = trained();
    const rise = async (name: string): Promise<number> => {
      const left = await kept(name, model, sparsity);
      return loss64(
        net,
        w.map((v, i) => (left.has(i) ? v : 0)),
        samples,
      );
    };
    expect(await rise('obd')).toBeLessThan(await rise('magnitude'));
    freeModel(model);
  });
});

describe('synflow', () => {
  it('scores by the sum over paths of the products of their weights', () => {
    const { model, w } = mlp('relu');
    const first = (j: number, i: number) => Math.abs(w[j * INPUTS + i]!);
    const last = (k: number, j: number) => Math.abs(w[HIDDEN * INPUTS + k * HIDDEN + j]!);
    const masks = new Map([[NAMES[0]!, new Uint8Array(HIDDEN * INPUTS).fill(1)]]);
    // Unit 2 reads nothing but input 5.
    masks.get(NAMES[0]!)!.fill(0, 2 * INPUTS, 3 * INPUTS);
    masks.get(NAMES[0]!)![2 * INPUTS + 5] = 1;
    const isIn = (j: number, i: number) => masks.get(NAMES[0]!)![j * INPUTS + i]!;
    const found = pathSums(model, masks);
    for (let j = 0; j < HIDDEN; j++)
      for (let i = 0; i < INPUTS; i++) {
        let paths = 0;
        for (let k = 0; k < CLASSES; k++) paths += first(j, i) * last(k, j);
        const expected = isIn(j, i) ? paths : -1;
        expect(found.get(NAMES[0]!)![j * INPUTS + i]).toBeCloseTo(expected, 5);
      }
    for (let k = 0; k < CLASSES; k++)
      for (let j = 0; j < HIDDEN; j++) {
        let paths = 0;
        for (let i = 0; i < INPUTS; i++) paths += isIn(j, i) * first(j, i) * last(k, j);
        expect(found.get(NAMES[1]!)![k * HIDDEN + j]).toBeCloseTo(paths, 4);
      }
    freeModel(model);
  });

  it('keeps scores that float32 could not hold, and says so where even scaling does not help', () => {
    const deep = (width: number, scale: number): Model => {
      const chain = Array.from({ length: 12 }, () => ['dense', { units: width }]);
      const model = createModel(engine, sequential('deep', [width], chain as never));
      for (const name of prunableNames(model.graph)) {
        const t = model.params.get(name)!;
        t.write(new Float32Array(t.size).fill(scale));
      }
      return model;
    };
    // 8^12 2^120 paths' worth: above 2^127, but within the reach of two scales.
    const model = deep(8, 2 ** 10);
    const values = [...pathSums(model, new Map()).values()].flatMap((own) => [...own]);
    expect(new Set(values).size).toBe(1);
    expect(values[0]).toBeGreaterThan(0);
    const wild = deep(8, 2 ** 40);
    expect(() => pathSums(wild, new Map())).toThrow(/synflow: expected sums over paths/);
    for (const own of [model, wild]) freeModel(own);
  });

  it('leaves paths through every layer where magnitude leaves none', async () => {
    const { model } = mlp('relu');
    const left = await kept('synflow', model, 0.97);
    const units = new Set(
      [...left].filter((i) => i < HIDDEN * INPUTS).map((i) => Math.floor(i / INPUTS)),
    );
    const read = [...left].filter((i) => i >= HIDDEN * INPUTS).map((i) => i % HIDDEN);
    expect(read.length).toBeGreaterThan(0);
    for (const j of read) expect(units.has(j)).toBe(true);
    freeModel(model);
  });
});

describe('blocks of the Fisher matrix', () => {
  const random = sampler(8);
  const [n, size, d] = [7, 12, 0.03];
  const rows = Array.from({ length: n }, () => Float64Array.from(random.array([size]).data));
  const fisher = Array.from({ length: size }, (_, i) =>
    Array.from(
      { length: size },
      (__, j) => rows.reduce((sum, g) => sum + (g[i]! * g[j]!) / n, 0) + (i === j ? d : 0),
    ),
  );

  it('have the diagonal of their inverse as dense algebra finds it', () => {
    const dense = inverse64(fisher);
    inverseDiagonal(rows, d, 0, size).forEach((value, i) => {
      expect(value / dense[i]![i]!).toBeCloseTo(1, 9);
    });
    const part = inverse64(fisher.slice(3, 9).map((row) => row.slice(3, 9)));
    inverseDiagonal(rows, d, 3, 9).forEach((value, i) => {
      expect(value / part[i]![i]!).toBeCloseTo(1, 9);
    });
  });

  it('move what stays to the minimum of the quadratic loss', () => {
    const w = Float64Array.from(random.array([size]).data);
    const go = [1, 4, 5, 10];
    const stay = fisher.map((_, i) => i).filter((i) => !go.includes(i));
    const moves = compensation(rows, d, w, { stay, go });
    // Where the gradient of x' F x / 2 is 0 in all that stays.
    const x = fisher.map((_, i) => (go.includes(i) ? -w[i]! : moves[stay.indexOf(i)]!));
    for (const i of stay)
      expect(fisher[i]!.reduce((sum, f, j) => sum + f * x[j]!, 0)).toBeCloseTo(0, 9);
    // One that goes alone moves the others as optimal brain surgeon says.
    const dense = inverse64(fisher);
    const others = fisher.map((_, i) => i).filter((i) => i !== 4);
    compensation(rows, d, w, { stay: others, go: [4] }).forEach((move, k) => {
      const expected = (-w[4]! * dense[others[k]!]![4]!) / dense[4]![4]!;
      expect(move).toBeCloseTo(expected, 9);
    });
  });

  it('make a strategy that loses less than magnitude, as the matrix sees it', async () => {
    const { net, model, w } = trained();
    const entry = strategies.fisher!;
    const o = parseOptions(entry.options, { samples: SAMPLES, block: 50 }, 'fisher');
    const context = { model, sparsity: 0.5, seed: 1, oracle: wholeOracle() };
    const decision = await entry.decide(context, o as never);
    const lossOf = (values: readonly number[]): number => loss64(net, values, samples);
    const moved = NAMES.flatMap((name) => {
      const data = decision.get(name)!;
      if (data instanceof Uint8Array) throw new Error('expected weights, not a mask alone');
      let next = 0;
      return Array.from(data.mask!, (one) => (one === 1 ? data.tensors.values![next++]! : 0));
    });
    expect(moved.filter((v) => v === 0)).toHaveLength(w.length / 2);
    const left = await kept('magnitude', model, 0.5);
    const cut = w.map((v, i) => (left.has(i) ? v : 0));
    expect(lossOf(moved)).toBeLessThan(lossOf(cut));
    const still = w.map((v, i) => (moved[i] === 0 ? 0 : v));
    expect(lossOf(moved)).toBeLessThan(lossOf(still));
    freeModel(model);
  });
});

describe('magnitude in deviations', () => {
  it('cuts every layer at one multiple of its standard deviation', async () => {
    const { model, w } = mlp('relu');
    const left = await kept('magnitude', model, 0.7, { unit: 'deviation' });
    const layers = [w.slice(0, HIDDEN * INPUTS), w.slice(HIDDEN * INPUTS)];
    const q = layers.map((own, l) => {
      const middle = own.reduce((sum, v) => sum + v, 0) / own.length;
      const deviation = Math.sqrt(own.reduce((sum, v) => sum + (v - middle) ** 2, 0) / own.length);
      const at = l * HIDDEN * INPUTS;
      const [stay, go] = [true, false].map((wanted) =>
        own.filter((_, i) => left.has(at + i) === wanted).map((v) => Math.abs(v) / deviation),
      );
      return { least: Math.min(...stay!), most: Math.max(...go!) };
    });
    // There is a q between what goes and what stays in both layers.
    const [most, least] = [Math.max(q[0]!.most, q[1]!.most), Math.min(q[0]!.least, q[1]!.least)];
    expect(most).toBeLessThanOrEqual(least);
    freeModel(model);
  });

  it('leaves out what earlier masks took', async () => {
    const { model } = mlp('relu');
    const half = new Uint8Array(HIDDEN * INPUTS).map((_, i) => i % 2);
    const copy = modelFrom(engine, model.graph.network, (name) =>
      model.params
        .get(name)!
        .read()
        .map((v, i) => (name === NAMES[0] && i % 2 === 0 ? 1e3 : v)),
    );
    const entry = strategies.magnitude!;
    const o = parseOptions(entry.options, { scope: 'global', unit: 'deviation' }, 'magnitude');
    const previous = new Map([[NAMES[0]!, half]]);
    const decide = async (of: Model) =>
      masksOf(await entry.decide({ model: of, sparsity: 0.7, seed: 1, previous }, o as never));
    expect(await decide(copy)).toEqual(await decide(model));
    for (const own of [model, copy]) freeModel(own);
  });
});
