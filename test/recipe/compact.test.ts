/** `compact` on the toy problem: what it writes, measures, trains and refuses. */
import { stat } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evaluate } from '../../src/evaluate/evaluate';
import { loadModel, saveModel } from '../../src/io/model';
import { readModelFile } from '../../src/io/read';
import { createModel, freeModel, type Model, prunableNames } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { bitsByKind, shareWeights } from '../../src/prune/share';
import { compact, parseBits } from '../../src/recipe/compact';
import { convert } from '../../src/recipe/convert';
import { pruneModel } from '../../src/recipe/phases';
import { type Engine, load } from '../../src/runtime/engine';
import { bits } from '../helpers/engine';
import { toySet } from '../train/toy';
import { inTemporaryFolder } from './temporary';
import { tinyConfig } from './tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const config = tinyConfig({
  evaluate: { eps: 0.05, attack: { name: 'pgd', steps: 4 }, batch: 25 },
});
const job = { as: {}, bits: { dense: 3 }, epochs: 0 };

/** A pruned model as p.safetensors, and its path. */
async function pruned(file: (name: string) => string): Promise<string> {
  const network = buildNetwork('mlp', { hidden: [12, 8] }, [1, 4, 4], 4);
  const model = createModel(engine, network, { seed: 1 });
  pruneModel(model, { strategy: { name: 'magnitude' }, sparsity: 0.75, seed: 1 });
  await saveModel(file('p.safetensors'), model, { config });
  freeModel(model);
  return file('p.safetensors');
}

const distinct = ({ graph, params }: Model): number[] =>
  prunableNames(graph).map((name) => {
    const own = params
      .get(name)!
      .read()
      .filter((w) => w !== 0);
    return new Set(own).size;
  });

const used = (): number => {
  engine.arena.trim();
  return engine.memory.usedBytes;
};

describe('compact', () => {
  it('writes shared weights, tells their bytes, and measures what it wrote', () =>
    inTemporaryFolder(async (file) => {
      const model = await pruned(file);
      const before = used();
      const done = await compact(engine, { ...job, model, out: file('m.compact'), config });
      expect(used()).toBe(before);
      const written = await readModelFile(engine, file('m.compact'));
      expect(written).toMatchObject({ format: 'compact', metadata: { config, bits: job.bits } });
      for (const n of distinct(written.model)) expect(n).toBeLessThanOrEqual(8);
      const set = await toySet();
      const { accuracies, contradictions } = await evaluate(
        written.model,
        set,
        set.test,
        config.evaluate,
        {
          seed: config.seed,
        },
      );
      expect(done.evaluation).toEqual({ accuracies, contradictions });
      const { size } = await stat(file('m.compact'));
      expect(done).toMatchObject({
        network: 'mlp',
        compact: size,
        raw: 4 * (16 * 12 + 12 * 8 + 8 * 4 + 24),
      });
      expect(done.layers.map((l) => l.name).sort()).toEqual(
        [...written.model.params.keys()].sort(),
      );
      const bytes = done.layers.reduce((sum, l) => sum + l.compact, 0);
      expect(bytes).toBeLessThan(size);
      freeModel(written.model);
    }));

  it('goes back to other formats with the very weights', () =>
    inTemporaryFolder(async (file) => {
      await compact(engine, { ...job, model: await pruned(file), out: file('m.compact') });
      await convert(engine, file('m.compact'), file('b.safetensors'));
      await convert(engine, file('m.compact'), file('b.onnx'));
      await convert(engine, file('b.safetensors'), file('again.compact'));
      const { model: first } = await readModelFile(engine, file('m.compact'));
      const weights = ({ params }: Model) =>
        [...params.values()].map((t) => bits(t.read()).join()).sort();
      for (const name of ['b.safetensors', 'b.onnx', 'again.compact']) {
        const { model } = await readModelFile(engine, file(name));
        expect(weights(model), name).toEqual(weights(first));
        freeModel(model);
      }
      freeModel(first);
    }));

  it('shares as shareWeights does, and with 32 bits not at all', () =>
    inTemporaryFolder(async (file) => {
      const model = await pruned(file);
      const reference = await loadModel(engine, model);
      const same = async (given: Record<string, number>): Promise<void> => {
        await compact(engine, {
          ...job,
          bits: given,
          model,
          out: file('m.compact'),
          replace: true,
        });
        const { model: written } = await readModelFile(engine, file('m.compact'));
        for (const [name, t] of written.params)
          if (t.size === reference.params.get(name)!.size)
            expect(bits(t.read())).toEqual(bits(reference.params.get(name)!.read()));
        freeModel(written);
      };
      await same({ dense: 32 });
      shareWeights(reference, bitsByKind(reference, { dense: 4 }));
      await same({ dense: 4 });
      freeModel(reference);
    }));

  it('trains the shared values, which stay shared, and zeros stay zeros', () =>
    inTemporaryFolder(async (file) => {
      const model = await pruned(file);
      const read = async (epochs: number): Promise<Model> => {
        await compact(engine, {
          ...job,
          model,
          out: file('m.compact'),
          config,
          epochs,
          replace: true,
        });
        return (await readModelFile(engine, file('m.compact'))).model;
      };
      const [still, trained] = [await read(0), await read(2)];
      expect(distinct(trained)).toEqual(distinct(still));
      for (const name of prunableNames(still.graph)) {
        const [a, b] = [still, trained].map(({ params }) => params.get(name)!.read());
        expect(b).not.toEqual(a);
        expect(b!.map((w) => Number(w === 0))).toEqual(a!.map((w) => Number(w === 0)));
      }
      freeModel(still);
      freeModel(trained);
      const blind = compact(engine, { ...job, model, out: file('x'), epochs: 1 });
      await expect(blind).rejects.toThrow(/expected a data set to train shared values on/);
    }));

  it('gzipped sizes are those of real gzip files', () =>
    inTemporaryFolder(async (file) => {
      const { gzipSync } = await import('node:zlib');
      const model = await pruned(file);
      const { gzipped, raw } = await compact(engine, { ...job, model, out: file('m.compact') });
      const { params } = await loadModel(engine, model);
      const all = Buffer.concat([...params.values()].map((t) => Buffer.from(t.read().buffer)));
      expect(gunzipSync(gzipSync(all)).length).toBe(raw);
      expect(gzipped).toBeLessThanOrEqual(gzipSync(all, { level: 9 }).length);
    }));
});

describe('parseBits', () => {
  it('reads bits by kind and refuses the rest', () => {
    expect(parseBits('conv=8,dense=5')).toEqual({ conv2d: 8, dense: 5 });
    expect(parseBits(' dense = 32 ')).toEqual({ dense: 32 });
    for (const text of [
      '',
      'conv',
      'conv=9',
      'conv=0',
      'norm=3',
      'conv=8;dense=5',
      '8',
      'conv=3.5',
    ])
      expect(() => parseBits(text)).toThrow(/--bits: expected conv=1\.\.8/);
  });
});
