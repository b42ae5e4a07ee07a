/** Runs with the batch-norm statistics of the whole training set: they go on as if nothing had been. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Interrupted } from '../../src/events';
import { loadModel } from '../../src/io/model';
import { freeModel } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { inTemporaryFolder } from './temporary';
import { compressIn, resultOf, tinyConfig } from './tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const config = (statistics: string, average: string) =>
  tinyConfig({
    network: { name: 'wrn', depth: 10, width: 1 },
    pretrain: { epochs: 2, batch: 110, statistics, average },
    finetune: { epochs: 1, batch: 110, statistics, average },
  });

/** Running statistics of the dense model of a run. */
async function statisticsOf(path: string): Promise<number[]> {
  const model = (await loadModel(engine, path))!;
  const found = [...model.params.entries()].flatMap(([name, t]) =>
    /\.(mean|variance)$/.test(name) ? [...t.read()] : [],
  );
  freeModel(model);
  return found;
}

it.each(['none', 'ema'])(
  'population statistics, average %s: others than the running ones, and the same after interruptions',
  async (average) => {
    await inTemporaryFolder(async (file) => {
      await compressIn(engine, file('running'), config('running', average));
      await compressIn(engine, file('whole'), config('population', average));
      let stops = 0;
      for (let done = false; !done; ) {
        const controller = new AbortController();
        const onEvent = ({ type }: { type: string }): void => {
          if (type === 'progress' && stops < 3) controller.abort();
        };
        try {
          const hooks = { signal: controller.signal, onEvent };
          await compressIn(engine, file('parts'), config('population', average), hooks);
          done = true;
        } catch (error) {
          expect(error).toBeInstanceOf(Interrupted);
          stops++;
        }
      }
      expect(stops).toBeGreaterThan(0);
      expect(await resultOf(file('parts'))).toEqual(await resultOf(file('whole')));
      const [running, whole] = await Promise.all(
        ['running', 'whole'].map((run) => statisticsOf(file(`${run}/dense.safetensors`))),
      );
      expect(whole!.length).toBeGreaterThan(0);
      expect(whole).not.toEqual(running);
    });
  },
);
