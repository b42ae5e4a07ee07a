/** Runs whose phases are other than the ordinary: scores, masks that change while training, rewinding. */
import { readdir } from 'node:fs/promises';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { popup } from '../../examples/adding/popup';
import { Interrupted } from '../../src/events';
import { readJournal } from '../../src/io/journal';
import { loadModel } from '../../src/io/model';
import { freeModel, type Model, prunableNames } from '../../src/nn/model';
import { type Mask, plainData } from '../../src/nn/parameterisation';
import { dataOf, remasked } from '../../src/nn/parameterised';
import { denseModel } from '../../src/nn/training-model';
import { countKept } from '../../src/prune/mask';
import { oracleOf } from '../../src/prune/oracle';
import { selectMasks } from '../../src/prune/select';
import { strategies } from '../../src/prune/strategies/registry';
import { type Strategy, strategy } from '../../src/prune/strategy';
import { phasesOfRun } from '../../src/recipe/run-phases';
import type { EpochRecord } from '../../src/report/types';
import { type Engine, load } from '../../src/runtime/engine';
import { abs } from '../../src/tensor/ops/elementwise';
import { input } from '../../src/tensor/tensor';
import { inTemporaryFolder } from './temporary';
import { compressIn, resultOf, tinyConfig } from './tiny-run';

let engine: Engine;
const registry = strategies as Record<string, Strategy>;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  Object.assign(registry, MADE);
});
afterAll(() => {
  engine.close();
  for (const name of Object.keys(MADE)) delete registry[name];
});

/** Indices of the `count` largest values among those that `among` accepts. */
const top = (values: Float32Array, count: number, among: (i: number) => boolean): number[] =>
  Array.from(values.keys())
    .filter(among)
    .sort((a, b) => Math.abs(values[b]!) - Math.abs(values[a]!) || a - b)
    .slice(0, count);

/** Drops the smallest weights and grows those of the largest gradients (Evci et al. 2020), every 5 updates. */
const rigl = strategy({
  name: 'rigl',
  about: 'test: drop and grow',
  options: v.strictObject({}),
  structured: false,
  phases: () => [{ name: 'finetune', decides: 'best', every: 5 }],
  decide: (context) => selectMasks(context, 'layer', (weight) => abs(weight)),
  betweenBatches({ model, step, steps, oracle, state }) {
    state.set('calls', Float32Array.of((state.get('calls')?.[0] ?? 0) + 1));
    if (step > 0.75 * steps) return undefined;
    const dense = denseModel(model);
    const { gradients } = oracle.ask(dense, (state.get('calls')![0]! - 1) % oracle.batches);
    const changes = prunableNames(model.graph).map((name) => {
      const data = dataOf(model.parameters.get(name)!);
      const mask = data.mask ?? new Uint8Array(dense.params.get(name)!.size).fill(1);
      const moved = Math.floor(0.2 * countKept(mask));
      const weights = dense.params.get(name)!.read();
      const kept = top(weights, countKept(mask) - moved, (i) => mask[i] === 1);
      const next: Mask = new Uint8Array(mask.length);
      for (const i of kept) next[i] = 1;
      for (const i of top(gradients.get(name)!, moved, (at) => mask[at] === 0)) next[i] = 1;
      return [name, remasked(data, next)] as const;
    });
    freeModel(dense);
    return new Map(changes);
  },
});

/** Optimal brain damage: w^2 times a second derivative, which has to be asked for. */
const obd = strategy({
  name: 'obd',
  about: 'test: least w^2 h / 2',
  options: v.strictObject({}),
  structured: false,
  async decide(context) {
    const oracle = oracleOf(context, 'obd');
    await new Promise((resolve) => setImmediate(resolve));
    const { second } = oracle.ask(context.model, 0, { second: 'fisher' });
    return new Map(
      prunableNames(context.model.graph).map((name) => {
        const weights = context.model.params.get(name)!.read();
        const saliency = weights.map((w, i) => w * w * second!.get(name)![i]!);
        const gone = Math.round(context.sparsity * weights.length);
        const mask: Mask = new Uint8Array(weights.length);
        for (const i of top(saliency, weights.length - gone, () => true)) mask[i] = 1;
        return [name, plainData(weights, mask)];
      }),
    );
  },
});

/** Shrinks weights towards 0 after every update, in place: a proximal step. */
const prox = strategy({
  name: 'prox',
  about: 'test: soft threshold between batches',
  options: v.strictObject({}),
  structured: false,
  phases: () => [
    { name: 'prune', start: 'best', every: 1 },
    { name: 'finetune', decides: 'best' },
  ],
  decide: (context) => selectMasks(context, 'layer', (weight) => abs(weight)),
  betweenBatches({ model, learningRate }) {
    for (const name of prunableNames(model.graph)) {
      const { values } = model.parameters.get(name)!.tensors;
      values!.write(
        values!.read().map((w) => Math.sign(w) * Math.max(0, Math.abs(w) - learningRate)),
      );
    }
    return undefined;
  },
});

/** Chosen of the untrained weights by |w g|, and trained as pre-training is (Lee et al. 2019). */
const snip = strategy({
  name: 'snip',
  about: 'test: least |w g| at the beginning',
  options: v.strictObject({}),
  structured: false,
  phases: () => [
    { name: 'finetune', decides: 'initial', start: 'initial', hyperparameters: 'pretrain' },
  ],
  decide(context) {
    const { gradients } = oracleOf(context, 'snip').ask(context.model, 0);
    const names = [...context.model.params.keys()];
    return selectMasks(context, 'global', (weight, position) => {
      const scores = weight
        .read()
        .map((w, i) => Math.abs(w * gradients.get(names[position]!)![i]!));
      return input(weight.engine, scores, weight.shape);
    });
  },
});

const run = { pretrain: { epochs: 3, batch: 16, learningRate: 0.01 } };
const zeros = ({ graph, params }: Model): number =>
  prunableNames(graph).reduce(
    (n, name) =>
      n +
      params
        .get(name)!
        .read()
        .filter((w) => w === 0).length,
    0,
  );

/** Stops a run after every few batches and takes it up again, until it is done. */
async function inParts(dir: string, config: ReturnType<typeof tinyConfig>): Promise<number> {
  for (let stopped = 0; ; stopped++) {
    const controller = new AbortController();
    let batches = 0;
    try {
      await compressIn(engine, dir, config, {
        signal: controller.signal,
        onEvent: (event) => {
          if (event.type === 'phase' || event.type === 'progress') batches++;
          if (stopped < 12 && batches > 1) controller.abort();
        },
      });
      return stopped;
    } catch (error) {
      expect(error).toBeInstanceOf(Interrupted);
    }
  }
}

/** Strategies of this file, under names that the registry does not have. */
const MADE = { popup, regrow: rigl, saliency: obd, prox, sensitivity: snip };

describe('the phases of a run', () => {
  it('are data, read off the config', () => {
    const brief = (config: ReturnType<typeof tinyConfig>) =>
      phasesOfRun(config).map(({ name, round, seedOffset, start, trained, ramp, decides }) =>
        [
          name,
          round,
          seedOffset,
          start,
          trained,
          ramp,
          decides?.by,
          decides?.sparsity.toFixed(2),
        ].join(' '),
      );
    expect(brief(tinyConfig({ prune: { rounds: 2 } }))).toEqual([
      'pretrain 0 0 initial weights true  ',
      'finetune 1 1 best weights false best 0.79',
      'finetune 2 2 best weights false best 0.90',
    ]);
    expect(
      brief(tinyConfig({ prune: { strategy: 'hydra', rounds: 2 }, finetune: { start: 1 } })),
    ).toEqual([
      'pretrain 0 0 initial weights true  ',
      'prune 1 3 best scores false best 0.79',
      'finetune 1 1 1 weights true  ',
      'prune 2 4 best scores false best 0.90',
      'finetune 2 2 1 weights true  ',
    ]);
  });

  it('that cannot follow each other are refused in words', () => {
    expect(() => phasesOfRun(tinyConfig({ finetune: { start: 5 } }))).toThrow(
      /finetune\.start: expected at most 4, the epochs of pre-training, got 5/,
    );
    expect(() =>
      phasesOfRun(tinyConfig({ prune: { strategy: 'filter' }, finetune: { start: 'initial' } })),
    ).toThrow(/finetune\.start with filter: expected the weights by which filters are chosen/);
    for (const start of ['first', -1, 0.5, true])
      expect(() => tinyConfig({ finetune: { start } })).toThrow(
        /finetune\.start: expected (best, last|a whole number)/,
      );
  });
});

describe.each(['hydra', ...Object.keys(MADE)])('%s', (name) => {
  it('runs, keeps what it should, and gives the same bits when stopped and taken up again', async () => {
    await inTemporaryFolder(async (file) => {
      engine.arena.trim();
      const used = engine.memory.usedBytes;
      const config = tinyConfig({
        ...run,
        prune: { strategy: { name }, sparsity: 0.8, rounds: name === 'hydra' ? 2 : 1 },
      });
      const summary = await compressIn(engine, file('whole'), config);
      expect(summary.sparsity).toBeCloseTo(0.8, 2);
      expect(await inParts(file('parts'), config)).toBeGreaterThan(5);
      expect(await resultOf(file('parts'))).toEqual(await resultOf(file('whole')));
      engine.arena.trim();
      expect(engine.memory.usedBytes).toBe(used);
    });
  });
});

describe('scores', () => {
  it('choose other weights than magnitude does, and leave those that rest as they were', async () => {
    await inTemporaryFolder(async (file) => {
      const hydra = { name: 'hydra', epochs: 3, learningRate: 0.3 };
      const config = tinyConfig({
        prune: { strategy: hydra, sparsity: 0.8 },
        finetune: { epochs: 0 },
      });
      await compressIn(engine, file('run'), config);
      const phases = (await readJournal(file('run/journal.jsonl'))) as readonly EpochRecord[];
      expect(phases.map(({ phase }) => phase)).toEqual([
        ...['pretrain', 'pretrain', 'pretrain', 'pretrain', 'prune', 'prune', 'prune'],
      ]);
      const dense = await loadModel(engine, file('run/dense.safetensors'));
      const pruned = await loadModel(engine, file('run/pruned.safetensors'));
      let moved = 0;
      const masks = selectMasks({ model: dense, sparsity: 0.8, seed: 1 }, 'layer', (w) => abs(w));
      for (const [full, mask] of masks) {
        const [before, after] = [dense, pruned].map((m) => m.params.get(full)!.read());
        expect(after!.filter((w) => w !== 0)).toHaveLength(countKept(mask));
        after!.forEach((w, i) => {
          if (w !== 0) expect(w).toBe(before![i]);
          moved += Number((w !== 0) !== (mask[i] === 1));
        });
      }
      expect(moved).toBeGreaterThan(0);
      for (const full of dense.params.keys())
        if (full.endsWith('.bias'))
          expect(pruned.params.get(full)!.read()).toEqual(dense.params.get(full)!.read());
      for (const model of [dense, pruned]) freeModel(model);
    });
  });
});

describe('finetune.start', () => {
  const weightsOf = async (file: (name: string) => string, start: unknown): Promise<Model> => {
    const dir = file(`start-${start}`);
    const config = tinyConfig({ finetune: { epochs: 0, start }, prune: { sparsity: 0.75 } });
    await compressIn(engine, dir, config);
    return loadModel(engine, `${dir}/pruned.safetensors`);
  };

  it('rewinds to the weights of an early epoch, under the masks of the best ones', async () => {
    await inTemporaryFolder(async (file) => {
      const best = await weightsOf(file, 'best');
      const early = await weightsOf(file, 2);
      const initial = await weightsOf(file, 'initial');
      expect(await readdir(file('start-2'))).toContain('epoch-2.safetensors');
      expect(await readdir(file('start-best'))).not.toContain('epoch-2.safetensors');
      const after = await loadModel(engine, file('start-2/epoch-2.safetensors'));
      for (const full of prunableNames(best.graph)) {
        const [b, e, i] = [best, early, initial].map((m) => m.params.get(full)!.read());
        const whole = after.params.get(full)!.read();
        expect(e).toEqual(whole.map((w, at) => (b![at] === 0 ? 0 : w)));
        expect(e).not.toEqual(b);
        expect(i).not.toEqual(e);
      }
      expect(zeros(early)).toBe(zeros(best));
      for (const model of [best, early, initial, after]) freeModel(model);
    });
  });

  it('goes on with the same bits from wherever it was stopped', async () => {
    await inTemporaryFolder(async (file) => {
      const config = tinyConfig({
        finetune: { epochs: 2, batch: 16, start: 2 },
        prune: { rounds: 2 },
      });
      await compressIn(engine, file('whole'), config);
      expect(await inParts(file('parts'), config)).toBeGreaterThan(5);
      expect(await resultOf(file('parts'))).toEqual(await resultOf(file('whole')));
    });
  });
});
