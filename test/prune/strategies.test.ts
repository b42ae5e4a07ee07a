/** Every strategy of the registry: counts, floors, determinism, earlier masks; then each by itself. */
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromArrays } from '../../src/data/arrays';
import type { Network } from '../../src/nn/graph';
import { sequential } from '../../src/nn/graph';
import { createModel, freeModel, type Model, prunableNames } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { SCOPES } from '../../src/prune/allocate';
import { channelsOf } from '../../src/prune/channels';
import {
  applyMasks,
  countKept,
  countNonzero,
  nonzeroMasks,
  sparsityOf,
} from '../../src/prune/mask';
import type { LossOracle } from '../../src/prune/oracle';
import { decide, masksOf, prune } from '../../src/prune/prune';
import { sparsityAfter } from '../../src/prune/schedule';
import { selectMasks } from '../../src/prune/select';
import { strategies } from '../../src/prune/strategies/registry';
import {
  type Masks,
  type PruneContext,
  phasesOf,
  type Strategy,
  strategy,
} from '../../src/prune/strategy';
import { lossOracle } from '../../src/recipe/oracle';
import { type Engine, load } from '../../src/runtime/engine';
import { abs } from '../../src/tensor/ops/elementwise';
import { sizeOf } from '../../src/tensor/shape';
import { expectMasked } from '../helpers/masked';
import { sampler } from '../helpers/random';

const networks: Readonly<Record<string, Network>> = {
  'cnn-small': buildNetwork('cnn-small', {}, [1, 28, 28], 10),
  'cnn-tiny': buildNetwork('cnn-small', {}, [1, 12, 12], 4),
  'wrn-10-1': buildNetwork('wrn-10-1', {}, [3, 8, 8], 4),
};
/** Those that every strategy is tried on. */
const TRIED = ['cnn-tiny', 'wrn-10-1'];
const SPARSITIES = [0, 0.5, 0.9, 0.99];
/** Small numbers for options that make a strategy slow. */
const QUICK = { batches: 1, samples: 4, block: 300, rounds: 3, curvature: 'fisher' };

/** Options of an entry of the registry: those given, as far as it has them, and small numbers. */
function optionsOf(strategy: Strategy, given: object): object | undefined {
  const known = Object.entries({ ...QUICK, ...given }).filter(
    ([option]) => option in strategy.options.entries,
  );
  const result = v.safeParse(strategy.options, Object.fromEntries(known));
  return result.success ? result.output : undefined;
}

const cases = Object.entries(strategies).flatMap(([name, strategy]) =>
  TRIED.flatMap((network) =>
    // Scopes are the same on any network.
    (network === TRIED[0] ? ['by default', ...SCOPES] : ['by default']).flatMap((scope) => {
      if (scope !== 'by default' && !('scope' in strategy.options.entries)) return [];
      const options = optionsOf(strategy, scope === 'by default' ? {} : { scope });
      const title = `${name} ${scope}, ${network}`;
      return options ? [{ name: title, strategy, network, options }] : [];
    }),
  ),
);

/** Strategies whose zeros all come between batches. */
const LATER = new Set([strategies.movement]);

let engine: Engine;
const models = new Map<string, Model>();
const oracles = new Map<string, LossOracle>();
beforeAll(async () => {
  engine = await load({ threads: 1 });
  for (const [name, network] of Object.entries(networks)) {
    models.set(name, createModel(engine, network, { seed: 3 }));
    oracles.set(name, await noiseOracle(network));
  }
});
afterAll(() => engine.close());

/** The loss of images of noise. */
async function noiseOracle({ input: shape }: Network): Promise<LossOracle> {
  const random = sampler(6);
  const part = () => ({
    images: Uint8Array.from({ length: 8 * sizeOf(shape) }, () => random.whole(256)),
    labels: Uint8Array.from({ length: 8 }, (_, i) => i % 4),
  });
  const classes = ['a', 'b', 'c', 'd'];
  const given = { name: 'noise', shape: shape as [number, number, number], classes };
  const set = await fromArrays({ ...given, train: part(), test: part() });
  const data = { set, train: set.train, held: set.test };
  return lossOracle({ objective: { name: 'benign' }, data, seed: 1, batch: 4 });
}

/** What a strategy decides, as masks. */
const maskValues = async (
  strategy: Strategy,
  options: unknown,
  context: PruneContext,
): Promise<Masks> => masksOf(await strategy.decide(context, options as never));

describe.each(cases)('$name', ({ strategy, network, options }) => {
  const later = LATER.has(strategy);
  it.each(SPARSITIES)('removes what is asked at %d', async (sparsity) => {
    const model = models.get(network)!;
    const oracle = oracles.get(network)!;
    const values = await maskValues(strategy, options, { model, sparsity, seed: 1, oracle });
    if (later) return expect([...values.values()].every((mask) => !mask.includes(0))).toBe(true);
    expect([...values.keys()]).toEqual(prunableNames(model.graph));
    const total = [...values.values()].reduce((n, mask) => n + mask.length, 0);
    const kept = [...values.values()].map(countKept);
    const zeros = total - kept.reduce((a, b) => a + b, 0);
    if (strategy.structured) {
      expect(zeros).toBeGreaterThanOrEqual(Math.round(sparsity * total));
      expect(zeros / total - sparsity).toBeLessThan(0.1);
      if (sparsity === 0) expect(zeros).toBe(0);
    } else expect(zeros).toBe(Math.round(sparsity * total));
    expect(Math.min(...kept)).toBeGreaterThanOrEqual(1);
    for (const mask of values.values()) expect(mask.every((x) => x === 0 || x === 1)).toBe(true);
  });

  it('gives the same masks for the same seed and frees all it took', async () => {
    const model = models.get(network)!;
    // Scratch segments are the arena's to keep.
    engine.arena.trim();
    const used = engine.memory.usedBytes;
    const context = { model, sparsity: 0.7, seed: 5, oracle: oracles.get(network)! };
    const a = await maskValues(strategy, options, context);
    const b = await maskValues(strategy, options, context);
    expect(b).toEqual(a);
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
  });

  it('keeps what earlier rounds masked, exactly through all rounds', async () => {
    const model = models.get(network)!;
    let previous: Masks | undefined;
    for (let round = 1; round <= 4; round++) {
      const sparsity = sparsityAfter(round, 4, 0.9);
      // A new seed each round: earlier masks hold by themselves.
      const oracle = oracles.get(network)!;
      const context = { model, sparsity, seed: round, oracle, ...(previous ? { previous } : {}) };
      const masks = await maskValues(strategy, options, context);
      for (const [name, mask] of masks) {
        const before = previous?.get(name);
        if (before) expect(mask.every((x, i) => x <= before[i]!)).toBe(true);
      }
      const all = [...masks.values()];
      const total = all.reduce((n, mask) => n + mask.length, 0);
      const zeros = total - all.reduce((n, mask) => n + countKept(mask), 0);
      if (strategy.structured) expect(zeros).toBeGreaterThanOrEqual(Math.round(sparsity * total));
      else if (!later) expect(zeros).toBe(Math.round(sparsity * total));
      previous = masks;
    }
  });

  it('is carried out by prune(), or refused where it has to train', async () => {
    const model = createModel(engine, networks[network]!, { seed: 4 });
    // The one sparsity here that n:4 has.
    const goal = { sparsity: 0.75, seed: 1, oracle: oracles.get(network)! };
    const carriedOut = prune(model, strategy, options, goal);
    const phases = phasesOf(strategy, options);
    if (phases.some(({ name, every }) => name === 'prune' || every !== undefined)) {
      await expect(carriedOut).rejects.toThrow(
        /prune\.strategy: expected one that decides at once, got one that (trains scores|prunes while)/,
      );
      freeModel(model);
      return;
    }
    const { model: pruned, masks } = await carriedOut;
    const { sparsity, layers } = sparsityOf(pruned, model.graph);
    if (strategy.structured) expect(sparsity).toBeGreaterThanOrEqual(0.75 - 1e-3);
    else expect(sparsity).toBeCloseTo(0.75, 4);
    expect(pruned === model).toBe(!strategy.structured);
    expect(Math.min(...layers.map((layer) => layer.nonzero))).toBeGreaterThan(0);
    expectMasked(pruned, masks);
    if (pruned !== model) freeModel(pruned);
    freeModel(model);
  });

  it('says so where the floor forbids the sparsity', async () => {
    const model = models.get(network)!;
    const context = { model, sparsity: 1 - 1e-7, seed: 1, oracle: oracles.get(network)! };
    // Runs check it before they train (recipe/stages.ts).
    if (later) return;
    await expect(maskValues(strategy, options, context)).rejects.toThrow(
      /prune\.sparsity: expected at most 0\.\d/,
    );
  });
});

describe('magnitude', () => {
  const weights = (): Model => {
    const network = sequential(
      'two',
      [4],
      [
        ['dense', { units: 2 }],
        ['dense', { units: 2 }],
      ],
    );
    const model = createModel(engine, network);
    model.params.get('dense1.weight')!.write([1, -8, 2, 7, -3, 6, 4, -5]);
    model.params.get('dense2.weight')!.write([0.1, 0.2, -0.3, 0.4]);
    return model;
  };
  const run = async (scope: string, sparsity: number) => {
    const values = await maskValues(
      strategies.magnitude!,
      { scope },
      { model: weights(), sparsity, seed: 0 },
    );
    return [...values.values()].map((mask) => [...mask]);
  };

  it('takes the smallest of each layer', async () => {
    expect(await run('layer', 0.5)).toEqual([
      [0, 1, 0, 1, 0, 1, 0, 1],
      [0, 0, 1, 1],
    ]);
  });
  it('takes the smallest of all, but leaves a layer its largest', async () => {
    expect(await run('global', 0.25)).toEqual([
      [1, 1, 1, 1, 1, 1, 1, 1],
      [0, 0, 0, 1],
    ]);
    expect(await run('global', 0.75)).toEqual([
      [0, 1, 0, 1, 0, 0, 0, 0],
      [0, 0, 0, 1],
    ]);
  });
  it('breaks ties by index, with an exact count', async () => {
    const model = weights();
    for (const tensor of model.params.values()) tensor.write(new Float32Array(tensor.size).fill(0));
    const context = { model, sparsity: 0.5, seed: 0 };
    const values = await maskValues(strategies.magnitude!, { scope: 'layer' }, context);
    expect([...values.values()].map((mask) => [...mask])).toEqual([
      [1, 1, 1, 1, 0, 0, 0, 0],
      [1, 1, 0, 0],
    ]);
  });
});

describe('random', () => {
  it('differs by seed and by layer, and is nested as sparsity rises', async () => {
    const model = models.get('cnn-small')!;
    const masks = (seed: number, sparsity: number) =>
      maskValues(strategies.random!, { scope: 'layer' }, { model, sparsity, seed });
    const of = async (seed: number, sparsity: number) =>
      (await masks(seed, sparsity)).get('dense1.weight')!;
    const low = await of(1, 0.5);
    expect(low).not.toEqual(await of(2, 0.5));
    expect((await of(1, 0.9)).every((x, i) => x <= low[i]!)).toBe(true);
  });
});

describe('filter', () => {
  it('takes the filters of least norm, the same share of each layer, never outputs', async () => {
    const chain = [
      ['dense', { units: 4 }],
      ['relu'],
      ['dense', { units: 4 }],
      ['dense', { units: 3 }],
    ];
    const model = createModel(engine, sequential('chain', [2], chain as never));
    model.params.get('dense1.weight')!.write([1, 1, -9, 1, 2, 2, 0.5, 0]);
    const goal = { sparsity: 0.5, seed: 0 };
    const { model: pruned, removed } = await prune(model, strategies.filter!, {}, goal);
    // 8 + 16 + 12 weights; two of four in both layers leave 4 + 4 + 6.
    expect(removed.get('dense1')).toEqual([0, 3]);
    expect(removed.get('dense2')!.length).toBe(2);
    expect(removed.has('dense3')).toBe(false);
    expect(pruned.graph.output).toEqual([3]);
    expect([...pruned.params.get('dense1.weight')!.read()]).toEqual([-9, 1, 2, 2]);
    expect(sparsityOf(pruned, model.graph)).toMatchObject({ weights: 36, nonzero: 14 });
  });

  it('removes residual partners together', async () => {
    const model = createModel(engine, networks['wrn-10-1']!, { seed: 2 });
    const { model: pruned, removed } = await prune(
      model,
      strategies.filter!,
      {},
      { sparsity: 0.5, seed: 0 },
    );
    expect(removed.get('stem')!.length).toBeGreaterThan(0);
    expect(removed.get('g1b1-conv2')).toEqual(removed.get('stem'));
    expect(removed.get('g2b1-conv2')).toEqual(removed.get('g2b1-shortcut'));
    expect(removed.get('g1b1-conv1')).not.toEqual(removed.get('stem'));
    expect(pruned.graph.output).toEqual([4]);
  });

  it('prunes on over rounds, and carries earlier masks into the smaller network', async () => {
    const model = createModel(engine, networks['cnn-small']!, { seed: 2 });
    const sparse = await prune(model, strategies.magnitude!, {}, { sparsity: 0.5, seed: 0 });
    const goal = { sparsity: 0.6, seed: 0, previous: sparse.masks };
    const { model: pruned, masks } = await prune(model, strategies.filter!, {}, goal);
    expectMasked(pruned, masks);
    const { weights, nonzero } = sparsityOf(pruned);
    expect(nonzero / weights).toBeLessThan(0.7);
    expect(weights / sparsityOf(model).weights).toBeLessThan(0.41);
  });

  it('knows the floor: the most it can remove leaves one filter a layer', async () => {
    const model = models.get('cnn-small')!;
    const { groups } = channelsOf(model.graph);
    expect(groups.map((group) => group.channels.length)).toEqual([16, 32, 100]);
    const values = await maskValues(strategies.filter!, {}, { model, sparsity: 0.999, seed: 0 });
    expect(Math.min(...[...values.values()].map(countKept))).toBeGreaterThanOrEqual(1);
  });
});

describe('a strategy that forgets earlier masks', () => {
  it('is refused where it brings weights back, and keeps the masks it says nothing of', async () => {
    const model = models.get('cnn-small')!;
    const goal = { sparsity: 0.5, seed: 1 };
    const previous = await maskValues(strategies.random!, { scope: 'layer' }, { ...goal, model });
    const options = strategies.filter!.options;
    const all = { name: 'test', about: 'test', options, structured: false };
    const forgets = strategy({
      ...all,
      decide: () => selectMasks({ ...goal, model }, 'layer', abs),
    });
    await expect(decide(model, forgets, {}, { ...goal, previous })).rejects.toThrow(
      /prune\.strategy: conv2d1\.weight: expected weights that earlier rounds have left, got \d+/,
    );
    const silent = strategy({ ...all, decide: () => new Map() });
    const { decision } = await decide(model, silent, {}, { ...goal, previous });
    expect(decision).toEqual(previous);
  });
});

describe('masks', () => {
  it('applies and counts', async () => {
    const model = createModel(engine, networks['cnn-small']!, { seed: 1 });
    const context = { model, sparsity: 0.9, seed: 0 };
    const masks = await maskValues(strategies.magnitude!, { scope: 'layer' }, context);
    expect(() => expectMasked(model, masks)).toThrow(/place \d/);
    applyMasks(model, masks);
    expectMasked(model, masks);
    expect(sparsityOf(model).nonzero).toBe(166_248 - Math.round(0.9 * 166_248));
    const weight = model.params.get('dense2.weight')!;
    const values = weight.read();
    expect(values.some((x) => Object.is(x, -0))).toBe(false);
    expect(countNonzero(weight)).toBe(values.filter((x) => x !== 0).length);
    expect(nonzeroMasks(model)).toEqual(masks);
    const short = new Map([['dense2.weight', new Uint8Array(3)]]);
    expect(() => applyMasks(model, short)).toThrow(/dense2\.weight: expected a mask of/);
    freeModel(model);
  });
});
