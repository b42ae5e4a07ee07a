/** Verifiers over the zeros of a pruned model: what they say of the dense one, and still sound. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataSet } from '../../src/data/types';
import { logits } from '../../src/domain/classifier';
import { freezeSparsity } from '../../src/nn/freeze';
import { lower } from '../../src/nn/lower';
import { type AnyModel, freeModel, type Model, prunableNames } from '../../src/nn/model';
import { plainData } from '../../src/nn/parameterisation';
import { denseModel, freeTraining } from '../../src/nn/training-model';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { isSparse } from '../../src/sparse/weight';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import { trainStep } from '../../src/train/loop';
import { objectives } from '../../src/train/objectives/registry';
import { freeOptimizer } from '../../src/train/optimizers';
import { provenBounds } from '../../src/verify/prove';
import { verifiers } from '../../src/verify/verifiers/registry';
import { binaries } from '../helpers/engine';
import { sampler } from '../helpers/random';
import { fewNodes } from '../helpers/verifiers';
import { batchFrom, range, toyJob, toySet } from '../train/toy';

const COUNT = 40;
const SIZE = 16;
const RADII = [0.01, 0.1, 0.3];
let set: DataSet;
beforeAll(async () => {
  set = await toySet();
});

/** Trained with a seventh of its weights; the first filter of a layer and a whole unit are gone. */
function prunedToy(engine: Engine): Model {
  const random = sampler(7);
  const all = range(0, 8).map((b) => batchFrom(set, set.train, range(30 * b, 30 * b + 30)));
  const how = ({ graph, params }: Model) =>
    new Map(
      prunableNames(graph).map((name) => {
        const { shape, size } = params.get(name)!;
        const first = name.startsWith('conv2') ? size / shape[0]! : 0;
        const keeps = range(0, size).map((i) => Number(i >= first && random.real(0, 1) < 0.15));
        return [name, plainData(params.get(name)!.read(), Uint8Array.from(keeps))] as const;
      }),
    );
  const job = toyJob(engine, all, { objective: objectives.ibp!, how });
  for (const at of range(0, 80)) trainStep(job, job.batch(at), 0);
  freeOptimizer(job.optimizer);
  const model = denseModel(job.model);
  freeTraining(job.model);
  return model;
}

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  let model: Model;
  let dense: Model;
  let sparse: AnyModel;
  beforeAll(async () => {
    engine = await load({ threads: 1, binary });
    model = prunedToy(engine);
    dense = lower(model);
    sparse = freezeSparsity(lower(model));
  });
  afterAll(() => engine.close());

  it('goes over the zeros of some layers', () => {
    const weight = sparse.params.get('conv2.weight')!;
    expect(isSparse(weight) && weight.pattern.nnz).toBeGreaterThan(10);
    for (const { params } of [dense, model])
      expect([...params.values()].some((w) => isSparse(w))).toBe(false);
  });

  describe.each(Object.entries(verifiers))('%s', (name, entry) => {
    const options = parseOptions(entry.options, fewNodes(entry), name) as never;

    it('says what it says of the dense model', () => {
      const seen = new Set<string>();
      for (const eps of RADII) {
        const batch = { ...batchFrom(set, set.test, range(0, COUNT)), eps };
        const want = entry.verify({ model: dense, ...batch }, options);
        const got = entry.verify({ model: sparse, ...batch }, options);
        expect(got.map((v) => v.verdict)).toEqual(want.map((v) => v.verdict));
        for (const [i, { margin, verdict }] of got.entries()) {
          expect(Math.abs(margin - want[i]!.margin), `${eps}, ${i}`).toBeLessThan(1e-5);
          seen.add(verdict);
        }
      }
      expect(seen).toContain('certified');
      expect(seen.size).toBeGreaterThan(1);
    });

    it('bounds what the model computes, both ways', () => {
      if (!entry.method) return;
      const random = sampler(11);
      for (const eps of [0, 1e-6, 0.05]) {
        const { images, labels } = batchFrom(set, set.test, range(0, COUNT));
        const run = (fn: (x: Tensor) => Tensor[], at = images): Float32Array[] =>
          step(engine, () => fn(input(engine, at, [COUNT, 1, 4, 4])).map((t) => t.read()));
        const job = { model: sparse, images, labels, eps };
        const { lo, hi } = provenBounds(entry.method(options), job);
        for (const _ of range(0, 20)) {
          const corner = random.real(0, 1) < 0.5;
          const at = images.map((v) => {
            const moved = v + eps * (corner ? Math.sign(random.real(-1, 1)) : random.real(-1, 1));
            // Into the ball as float32 numbers have it.
            return Math.min(1, Math.max(0, Math.abs(Math.fround(moved) - v) <= eps ? moved : v));
          });
          for (const one of [dense, sparse]) {
            const [y] = run((x) => [logits(one, x)], at);
            for (const [i, v] of y!.entries()) {
              expect(v).toBeGreaterThanOrEqual(lo[i]!);
              expect(v).toBeLessThanOrEqual(hi[i]!);
            }
          }
        }
      }
    });

    it('judges each sample by itself, bit for bit', () => {
      const batch = { ...batchFrom(set, set.test, range(0, COUNT)), eps: 0.1, model: sparse };
      const verdicts = entry.verify(batch, options);
      for (const i of [0, 17, 39]) {
        const images = batch.images.slice(i * SIZE, (i + 1) * SIZE);
        const one = { ...batch, images, labels: batch.labels.slice(i, i + 1) };
        expect(entry.verify(one, options)).toEqual([verdicts[i]]);
      }
    });

    it('answers unknown where bounds are no numbers', () => {
      const batch = { ...batchFrom(set, set.test, range(0, COUNT)), eps: 0.05 };
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 3e38]) {
        const bad = lower(model);
        const t = bad.params.get('conv2.weight')!;
        t.write(t.read().map((w) => (w === 0 ? w : value)));
        const frozen = freezeSparsity(bad);
        const verdicts = entry.verify({ model: frozen, ...batch }, options);
        expect(verdicts.map((v) => v.verdict)).toEqual(new Array(COUNT).fill('unknown'));
        freeModel(frozen);
      }
    });
  });

  it('frees its tables with the model', () => {
    for (const one of [dense, sparse, model]) freeModel(one);
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(0);
  });
});
