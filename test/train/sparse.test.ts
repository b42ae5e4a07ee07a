/** Fine-tuning over what masks keep: the dense steps to rounding, the same bits for any threads. */
import { afterAll, describe, expect, it } from 'vitest';
import { prunableNames } from '../../src/nn/model';
import { applyMasks, assertMasked } from '../../src/prune/mask';
import { type Engine, load } from '../../src/runtime/engine';
import { keep, type Tensor } from '../../src/tensor/tensor';
import { trainStep } from '../../src/train/loop';
import { objectives } from '../../src/train/objectives/registry';
import { maskPatterns, type Patterns } from '../../src/train/sparse';
import { sampler } from '../helpers/random';
import { batchFrom, range, toyJob, toySet } from './toy';

const set = await toySet();
const engines = await Promise.all([load({ threads: 1 }), load({ threads: 3 })]);
afterAll(() => {
  for (const engine of engines) engine.close();
});

interface Trained {
  readonly losses: readonly number[];
  readonly weights: readonly number[];
}

/** Twenty masked steps; from each step in `starts` on over the patterns, encoded anew. */
function trained(engine: Engine, name: string, starts: readonly number[]): Trained {
  const batches = range(0, 5).map((b) => batchFrom(set, set.train, range(40 * b, 40 * b + 40)));
  const job = toyJob(engine, batches, { objective: objectives[name]!, rate: 0.003 });
  const random = sampler(5);
  const masks = new Map<string, Tensor>();
  for (const full of prunableNames(job.model.graph)) {
    const { shape, size } = job.model.params.get(full)!;
    const ones = range(0, size).map(() => Number(random.real(0, 1) < 0.15));
    masks.set(full, keep(engine, shape, ones));
  }
  applyMasks(job.model, masks);
  let patterns: Patterns | undefined;
  const drop = (): void => {
    for (const pattern of patterns?.values() ?? []) pattern.free();
  };
  const losses = range(0, 20).map((at) => {
    if (starts.includes(at)) {
      drop();
      patterns = maskPatterns(masks);
    }
    return trainStep({ ...job, masks, patterns }, job.batch(at), 0.5).loss;
  });
  drop();
  assertMasked(job.model, masks);
  return { losses, weights: [...job.model.params.values()].flatMap((t) => [...t.read()]) };
}

describe.each(Object.keys(objectives))('%s over patterns', (name) => {
  it('takes the steps of dense training', () => {
    const [want, got] = [trained(engines[0]!, name, []), trained(engines[0]!, name, [0])];
    expect(got.weights).not.toEqual(want.weights);
    for (const key of ['losses', 'weights'] as const)
      for (const [i, v] of got[key].entries())
        expect(Math.abs(v - want[key][i]!), `${key} ${i}`).toBeLessThan(2e-3);
    expect(got.losses[0]).toBeCloseTo(want.losses[0]!, 5);
    expect(got.losses.at(-1)).toBeLessThan(got.losses[0]!);
  });

  it('gives the same bits for any number of threads, and when taken up again', () => {
    const one = trained(engines[0]!, name, [0]);
    expect(trained(engines[1]!, name, [0])).toEqual(one);
    expect(trained(engines[0]!, name, [0, 9])).toEqual(one);
  });
});
