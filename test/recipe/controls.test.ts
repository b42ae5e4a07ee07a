/** Controls: one more phase, whatever the strategy, from the weights and masks that they say. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readJournal } from '../../src/io/journal';
import { loadModel } from '../../src/io/model';
import { freeModel, prunableNames } from '../../src/nn/model';
import { phasesOfRun } from '../../src/recipe/run-phases';
import type { EpochRecord } from '../../src/report/types';
import { type Engine, load } from '../../src/runtime/engine';
import { inTemporaryFolder } from './temporary';
import { compressIn, tinyConfig } from './tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const CONTROLS = ['scratch-e', 'scratch-b', 'random-mask', 'dense-longer'] as const;
const STRATEGIES = ['magnitude', 'filter', 'snip', 'hydra', 'surgery', 'lottery'];

const configOf = (strategy: string, control: string, rounds = 1) =>
  tinyConfig({
    pretrain: { epochs: 2, batch: 20, learningRate: 0.01 },
    finetune: { epochs: 1, batch: 20, learningRate: 0.005 },
    prune: { strategy, control, sparsity: 0.75, rounds },
    evaluate: { attack: { name: 'pgd', steps: 1 }, batch: 60 },
  });

/** The prunable weights of what a run has left, by layer. */
async function weightsIn(dir: string): Promise<Float32Array[]> {
  const model = await loadModel(engine, join(dir, 'pruned.safetensors'));
  const weights = prunableNames(model.graph).map((name) => model.params.get(name)!.read());
  freeModel(model);
  return weights;
}
const zeros = (weights: readonly Float32Array[]): boolean[][] =>
  weights.map((own) => Array.from(own, (w) => w === 0));
const counts = (places: readonly boolean[][]): number[] =>
  places.map((own) => own.filter(Boolean).length);

/** Epochs of what is pruned at initialisation: pre-training is none of its own. */
const EPOCHS: Readonly<Record<string, number>> = { snip: 2 };

/** Epochs of the pruned shape that cost what the pruned network did, `left` being the share of its weights. */
function equalTo(strategy: string, left: number): number {
  // Dense epochs, and those over what is left.
  const [dense, sparse] = {
    ...{ magnitude: [2, 1], filter: [2, 1], snip: [0, 2], hydra: [3, 1] },
    ...{ surgery: [3, 0], lottery: [2, 2] },
  }[strategy]!;
  return Math.round(dense! / left + sparse!);
}

describe.each(STRATEGIES)('of %s', (strategy) => {
  it('begin with what they say and train for as long', async () => {
    await inTemporaryFolder(async (file) => {
      await compressIn(engine, file('none'), configOf(strategy, 'none'));
      const pruned = await weightsIn(file('none'));
      // Of a perceptron multiply-adds are weights.
      const left =
        pruned.reduce((n, own) => n + own.length - own.filter((w) => w === 0).length, 0) / 320;
      for (const control of CONTROLS) {
        const config = configOf(strategy, control);
        await compressIn(engine, file(control), config);
        const weights = await weightsIn(file(control));
        const records = (await readJournal(file(`${control}/journal.jsonl`))) as EpochRecord[];
        const own = records.filter(({ phase }) => phase === 'control');
        const plain = phasesOfRun(configOf(strategy, 'none'));
        const all = EPOCHS[strategy] ?? plain.reduce((sum, spec) => sum + spec.training.epochs, 0);
        const expected = {
          'scratch-e': all,
          'scratch-b': equalTo(strategy, left),
          'random-mask': plain.at(-1)!.training.epochs,
          'dense-longer': all - 2,
        };
        expect(own, control).toHaveLength(expected[control]);
        if (control === 'dense-longer') {
          expect(counts(zeros(weights)).every((count) => count === 0)).toBe(true);
          expect(records).toHaveLength(2 + own.length);
          continue;
        }
        expect(counts(zeros(weights)), control).toEqual(counts(zeros(pruned)));
        expect(weights).not.toEqual(pruned);
        const same = JSON.stringify(zeros(weights)) === JSON.stringify(zeros(pruned));
        // Of filters that went there is no mask left to differ in.
        expect(same, control).toBe(control !== 'random-mask' || strategy === 'filter');
      }
    });
  });
});

it('of filters is a lot over them, as many of each layer, also where sums tie layers', async () => {
  await inTemporaryFolder(async (file) => {
    for (const network of [
      { name: 'mlp', hidden: [12, 8] },
      { name: 'wrn', depth: 10, width: 1 },
    ]) {
      const one = (control: string) =>
        tinyConfig({
          network,
          pretrain: { epochs: 1, batch: 55 },
          finetune: { epochs: 0 },
          prune: { strategy: 'filter', sparsity: 0.5, control },
        });
      const shapes = async (dir: string) => {
        const model = await loadModel(engine, join(file(dir), 'pruned.safetensors'));
        const found = Array.from(model.params, ([name, t]) => [name, ...t.shape]);
        freeModel(model);
        return found;
      };
      const dirs = ['none', 'random-mask'].map((control) => `${network.name}-${control}`);
      await compressIn(engine, file(dirs[0]!), one('none'));
      await compressIn(engine, file(dirs[1]!), one('random-mask'));
      expect(await shapes(dirs[1]!)).toEqual(await shapes(dirs[0]!));
      const [own, lot] = await Promise.all(dirs.map((dir) => weightsIn(file(dir))));
      expect(lot).not.toEqual(own);
    }
  });
});

describe('a control', () => {
  it('is one phase after those of the strategy, which are as they were', () => {
    const phases = phasesOfRun(configOf('hydra', 'none', 3));
    for (const control of ['scratch-e', 'scratch-b', 'random-mask']) {
      const all = phasesOfRun(configOf('hydra', control, 3));
      expect(all.slice(0, -1)).toEqual(phases);
      expect(all.at(-1)).toMatchObject({ name: 'control', decides: null, betweenBatches: null });
      expect(new Set(all.map(({ seedOffset }) => seedOffset)).size).toBe(all.length);
    }
  });

  it('grows its difficulty where weights are new, and begins with the dense network elsewhere', () => {
    const last = (strategy: string, control: string) =>
      phasesOfRun(configOf(strategy, control)).at(-1)!;
    expect(last('magnitude', 'scratch-e')).toMatchObject({ start: 'fresh', ramp: true });
    expect(last('magnitude', 'random-mask')).toMatchObject({ start: 'dense', ramp: false });
    expect(last('snip', 'random-mask')).toMatchObject({ start: 'initial', ramp: true });
    expect(last('lottery', 'random-mask')).toMatchObject({ start: 1, ramp: true });
    expect(last('lottery', 'dense-longer')).toMatchObject({ start: 'dense', ramp: false });
  });

  it('that there is none of is refused', () => {
    expect(() => configOf('magnitude', 'scratch')).toThrow(
      /prune\.control: expected one of none, scratch-e, scratch-b/,
    );
  });
});
