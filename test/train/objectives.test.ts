/** Every objective of the registry: it learns, its gradient is right, and it judges fairly. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wrongSamples } from '../../src/attack/attack';
import type { DataSet } from '../../src/data/types';
import { newPass } from '../../src/domain/domain';
import { lower } from '../../src/nn/lower';
import { createModel, freeModel, type Model, trainableNames } from '../../src/nn/model';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { gradients } from '../../src/tensor/tape';
import { input, item, step } from '../../src/tensor/tensor';
import { trainStep } from '../../src/train/loop';
import type { Objective } from '../../src/train/objective';
import { ibp } from '../../src/train/objectives/ibp';
import { objectives } from '../../src/train/objectives/registry';
import { expectClose } from '../helpers/close';
import { batchFrom, range, SMOOTH_NETWORK, TOY_NETWORK, toyJob, toySet } from './toy';

let engine: Engine;
let set: DataSet;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  set = await toySet();
});
afterAll(() => engine.close());

/** Loss and gradients of one batch at full difficulty, or at `epoch` of ten with the ramp. */
function lossOf(model: Model, objective: Objective, options: unknown, epoch?: number) {
  const { images, labels, index } = batchFrom(set, set.train, range(0, 12));
  return step(engine, () => {
    const wanted = trainableNames(model.graph).map((name) => model.params.get(name)!);
    const x = input(engine, images, [labels.length, ...model.graph.network.input]);
    const ramp = epoch !== undefined;
    const pass = newPass({ key: { seed: 1, stream: 5, index } });
    const found = gradients(engine, wanted, () =>
      objective.loss(
        { model, x, labels, index, seed: 1, epoch: epoch ?? 0, epochs: 10, ramp, pass },
        options as never,
      ),
    );
    return { loss: item(found.result.loss), grads: found.gradients.map((g) => g.read()) };
  });
}

/**
 * Six elements of every gradient, and central differences with steps of 2 h; the differences of
 * float32 losses carry errors of about 1e-7 / h.
 */
function gradientsAndDifferences(
  objective: Objective,
  options: unknown,
  h: number,
  epoch?: number,
) {
  const model = createModel(engine, SMOOTH_NETWORK, { seed: 3, init: objective.init });
  const { grads } = lossOf(model, objective, options, epoch);
  const both = trainableNames(model.graph).flatMap((weight, at) => {
    const t = model.params.get(weight)!;
    const values = t.read();
    return range(0, 6).map((k) => {
      const i = Math.floor((k * t.size) / 6);
      const [up, down] = [h, -h].map((d) => {
        t.write(values.map((v, j) => (i === j ? v + d : v)));
        return lossOf(model, objective, options, epoch).loss;
      });
      t.write(values);
      return { mine: grads[at]![i]!, difference: (up! - down!) / (2 * h) };
    });
  });
  freeModel(model);
  return {
    mine: both.map((one) => one.mine),
    differences: both.map((one) => one.difference),
  };
}

/** Options whose attack ends at a corner of its ball; small changes of the weights leave it there. */
const STILL: Readonly<Record<string, object>> = { trades: { steps: 1, stepSize: 2 } };

describe.each(Object.entries(objectives))('%s', (name, objective) => {
  const options = parseOptions(objective.options, {}, name);

  it('has a finite loss at every difficulty', () => {
    const model = createModel(engine, TOY_NETWORK, { seed: 2, init: objective.init });
    for (const epoch of [undefined, 0, 0.49, 0.5, 2.5, 5, 9.99]) {
      const { loss, grads } = lossOf(model, objective, options, epoch);
      expect(loss, `epoch ${epoch}`).toBeGreaterThan(0);
      expect(Number.isFinite(loss)).toBe(true);
      expect(grads.every((g) => g.every(Number.isFinite))).toBe(true);
      expect(grads.some((g) => g.some((v) => v !== 0))).toBe(true);
    }
    freeModel(model);
  });

  it('has the gradient of central differences', () => {
    const still = parseOptions(objective.options, STILL[name] ?? {}, name);
    const h = name === 'trades' ? 2 ** -12 : 2 ** -8;
    const { mine, differences } = gradientsAndDifferences(objective, still, h);
    // The point that an attack finds moves as well, with no part in the gradient.
    const tolerance = {
      rel: name === 'adversarial' ? 0.05 : 0.01,
      abs: name === 'trades' ? 3e-3 : 2e-4,
    };
    expectClose(mine, differences, tolerance, name);
  });

  it('falls over thirty steps on a problem that is easy', () => {
    const batches = range(0, 4).map((b) => batchFrom(set, set.train, range(60 * b, 60 * b + 60)));
    const job = toyJob(engine, batches, { objective });
    const losses = range(0, 30).map((at) => trainStep(job, job.batch(at), 0).loss);
    expect(Math.max(...losses.slice(-4))).toBeLessThan(0.6 * losses[0]!);
  });

  it('never calls robust what is not even right, and knows nothing of the batch', () => {
    const batches = range(0, 4).map((b) => batchFrom(set, set.train, range(60 * b, 60 * b + 60)));
    // Half trained, so that some samples are right and some are not.
    const job = toyJob(engine, batches, { objective, rate: 0.003 });
    for (let at = 0; at < 6; at++) trainStep(job, job.batch(at), 0);
    const model = lower(job.weights);
    const held = batchFrom(set, set.test, range(0, 60));
    const wrong = wrongSamples(model, held.images, held.labels);
    const strong = objective.robust({ model, seed: 1, ...held }, options as never);
    expect(strong).toHaveLength(60);
    wrong.forEach((w, i) => {
      expect(strong[i]! + w).toBeLessThanOrEqual(1);
    });
    const some = [41, 3, 17];
    const part = batchFrom(set, set.test, some);
    expect([...objective.robust({ model, seed: 1, ...part }, options as never)]).toEqual(
      some.map((i) => strong[i]),
    );
    freeModel(model);
  });

  it('settles at the end of its epochs at the latest', () => {
    expect(objective.atFullDifficulty(10, 10, options as never)).toBe(true);
    expect(objective.atFullDifficulty(1, 1, options as never)).toBe(true);
  });
});

describe('ibp', () => {
  const parse = (given: object) => parseOptions(ibp.options, given, 'ibp');

  it('is clean cross entropy before the ramp and at kappa 1', () => {
    const model = createModel(engine, TOY_NETWORK, { seed: 2 });
    const clean = lossOf(model, objectives.benign!, {}).loss;
    expect(lossOf(model, ibp, parse({}), 0).loss).toBe(clean);
    expect(lossOf(model, ibp, parse({ kappa: 1, regularise: 0 })).loss).toBeCloseTo(clean, 6);
    freeModel(model);
  });

  it('has the gradient of central differences in the middle of the ramp, regularisers and all', () => {
    const options = parse({ rampStart: 0, rampEnd: 1 });
    // Small steps: which neurons are always active is a jump of the balance term.
    const { mine, differences } = gradientsAndDifferences(ibp, options, 2 ** -12, 5);
    expectClose(mine, differences, { rel: 0.01, abs: 2e-3 }, 'ibp');
  });

  it('is harder the larger the radius, and certifies less', () => {
    const model = createModel(engine, TOY_NETWORK, { seed: 2 });
    const losses = [0.01, 0.05, 0.2].map((eps) => lossOf(model, ibp, parse({ eps })).loss);
    expect(losses).toEqual([...losses].sort((a, b) => a - b));
    freeModel(model);
  });

  it('takes a ramp of no length', () => {
    const model = createModel(engine, TOY_NETWORK, { seed: 2 });
    for (const [rampStart, rampEnd] of [
      [0, 0],
      [0.5, 0.5],
      [0.5, 0.2],
      [1, 1],
    ])
      for (const epoch of [0, 2, 5, 9.9])
        expect(Number.isFinite(lossOf(model, ibp, parse({ rampStart, rampEnd }), epoch).loss)).toBe(
          true,
        );
    freeModel(model);
  });
});
