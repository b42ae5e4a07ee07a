/** Controls: what is trained in the place of the pruned network, how long, and from where. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Interrupted } from '../../src/events';
import { loadModel } from '../../src/io/model';
import { multiplyAdds } from '../../src/measure/inspect';
import { type Model, prunableNames } from '../../src/nn/model';
import { nonzeroMasks } from '../../src/prune/mask';
import type { Config } from '../../src/recipe/config';
import { phasesOfRun } from '../../src/recipe/run-phases';
import { type Engine, load } from '../../src/runtime/engine';
import { inTemporaryFolder } from './temporary';
import { compressIn, resultOf, tinyConfig } from './tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const CONTROLS = ['scratch-e', 'scratch-b', 'random-mask', 'dense-longer'] as const;
const withControl = (control: string | null, prune: object = {}): Config =>
  tinyConfig({ prune: { sparsity: 0.75, ...prune, control } });

const zeros = (model: Model): number[] =>
  prunableNames(model.graph).map(
    (name) =>
      model.params
        .get(name)!
        .read()
        .filter((w) => w === 0).length,
  );
const shapes = ({ params }: Model) => Array.from(params, ([name, t]) => [name, ...t.shape]);

/** The pruned network of a run. */
const prunedIn = (dir: string): Promise<Model> => loadModel(engine, `${dir}/pruned.safetensors`);

async function lengthsIn(dir: string): Promise<number[]> {
  const text = await readFile(`${dir}/journal.jsonl`, 'utf8');
  const epochs = text.trim().split('\n');
  const counts = new Map<string, number>();
  for (const line of epochs) {
    const { phase, round } = JSON.parse(line);
    counts.set(`${phase}${round}`, (counts.get(`${phase}${round}`) ?? 0) + 1);
  }
  return [...counts.values()];
}

describe('the phases of controls', () => {
  it.each<[string, object, string[]]>([
    ['scratch-e', {}, ['pretrain best 4', 'finetune best 2', 'finetune anew 6']],
    ['scratch-b', {}, ['pretrain best 4', 'finetune best 2', 'finetune anew 4']],
    ['random-mask', {}, ['pretrain best 4', 'finetune best 2', 'finetune dense 2']],
    ['dense-longer', {}, ['pretrain best 4', 'finetune best 2']],
    ['dense-longer', { rounds: 3 }, ['pretrain best 4', 'finetune best 6']],
    [
      'random-mask',
      { strategy: { name: 'hydra', epochs: 3 } },
      ['pretrain best 4', 'prune best 3', 'finetune best 2', 'finetune dense 5'],
    ],
  ])('%s of %j', (control, prune, wanted) => {
    const phases = phasesOfRun(withControl(control, prune));
    const found = phases.map(({ name, start, training }) =>
      [name, start === 'initial' ? 'best' : start, training.epochs].join(' '),
    );
    expect(found).toEqual(wanted);
    expect(new Set(phases.map(({ draws }) => draws)).size).toBe(phases.length);
    const last = phases.at(-1)!;
    expect([last.decides, last.between, last.trained]).toEqual([null, null, 'weights']);
  });
});

describe.each(['magnitude', 'filter'])('%s', (strategy) => {
  it('leaves shapes and zeros that its controls have too, with other weights', async () => {
    await inTemporaryFolder(async (file) => {
      await compressIn(engine, file('own'), withControl(null, { strategy }));
      const own = await prunedIn(file('own'));
      const dense = await loadModel(engine, file('own/dense.safetensors'));
      for (const control of CONTROLS) {
        const dir = file(control);
        const summary = await compressIn(engine, dir, withControl(control, { strategy }));
        const found = await prunedIn(dir);
        const same = control === 'dense-longer' ? dense : own;
        expect(shapes(found), control).toEqual(shapes(same));
        expect(zeros(found), control).toEqual(zeros(same));
        if (control === 'dense-longer') expect(summary.sparsity).toBe(0);
        else expect(summary.sparsity).toBeGreaterThanOrEqual(0.75);
        for (const name of prunableNames(found.graph))
          expect(found.params.get(name)!.read()).not.toEqual(same.params.get(name)!.read());
        const masks = [found, own].map((model) => [...nonzeroMasks(model).values()]);
        const keeps = control === 'scratch-e' || control === 'scratch-b' || strategy === 'filter';
        if (control !== 'dense-longer')
          expect(JSON.stringify(masks[0]) === JSON.stringify(masks[1]), control).toBe(keeps);
      }
      // As many multiply-adds as all phases of the pruned network had.
      const share = (model: Model) => multiplyAdds(model.graph, nonzeroMasks(model));
      const spent = 4 * share(dense) + 2 * share(own);
      expect(await lengthsIn(file('scratch-b'))).toEqual([4, 2, Math.round(spent / share(own))]);
      expect(await lengthsIn(file('scratch-e'))).toEqual([4, 2, 6]);
    });
  });
});

it('random filters are not the strategy’s', async () => {
  await inTemporaryFolder(async (file) => {
    const network = { name: 'mlp', hidden: [12] };
    const one = (control: string): Config =>
      tinyConfig({
        network,
        finetune: { epochs: 0 },
        prune: { sparsity: 0.5, control, strategy: 'filter' },
      });
    await compressIn(engine, file('random'), one('random-mask'));
    const dense = await loadModel(engine, file('random/dense.safetensors'));
    const found = await prunedIn(file('random'));
    const [first] = prunableNames(dense.graph);
    const rows = (model: Model): string[] => {
      const { shape } = model.params.get(first!)!;
      const values = model.params.get(first!)!.read();
      const width = values.length / shape[0]!;
      return Array.from({ length: shape[0]! }, (_, i) =>
        values.subarray(i * width, (i + 1) * width).join(),
      );
    };
    const kept = rows(found).map((row) => rows(dense).indexOf(row));
    expect(kept).toHaveLength(6);
    expect(kept.every((at) => at >= 0)).toBe(true);
    expect(kept).not.toEqual([0, 1, 2, 3, 4, 5]);
  });
});

it.each(CONTROLS)('%s ends with the same bits when stopped and taken up again', async (control) => {
  await inTemporaryFolder(async (file) => {
    const config = withControl(control, { rounds: 2 });
    await compressIn(engine, file('whole'), config);
    let stopped = 0;
    for (let done = false; !done; ) {
      const controller = new AbortController();
      let events = 0;
      try {
        await compressIn(engine, file('parts'), config, {
          signal: controller.signal,
          onEvent: ({ type }) => {
            if (type === 'phase' || type === 'progress') events++;
            if (stopped < 14 && events > 1) controller.abort();
          },
        });
        done = true;
      } catch (error) {
        expect(error).toBeInstanceOf(Interrupted);
        stopped++;
      }
    }
    expect(stopped).toBeGreaterThan(5);
    expect(await resultOf(file('parts'))).toEqual(await resultOf(file('whole')));
  });
});
