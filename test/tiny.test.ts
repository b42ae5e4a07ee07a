/**
 * The tour: everything once, in under a second. Read it to see what the library does; each part has
 * tests of its own beside it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchOf } from '../src/data/batches';
import {
  add,
  attacks,
  createModel,
  datasets,
  type Engine,
  gradients,
  input,
  item,
  leavesOf,
  load,
  loadModel,
  logits,
  type Model,
  matmul,
  mean,
  objectives,
  parameterise,
  predict,
  prune,
  relu,
  runAttack,
  saveModel,
  sequential,
  square,
  step,
  strategies,
  sum,
  summary,
  verifiers,
} from '../src/index';
import { trainStep } from '../src/train/loop';
import { createOptimizer } from '../src/train/optimizers';

// One engine: a linear memory and the kernels that work in it.
let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

describe('tensors', () => {
  it('live in a step, which frees them all at its end', () => {
    const values = step(engine, () => {
      const a = input(engine, [1, 2, 3, 4], [2, 2]);
      const b = input(engine, [1, -1], [2]);
      return add(matmul(a, a), b).read();
    });
    expect([...values]).toEqual([8, 9, 16, 21]);
  });

  it('have gradients', () => {
    const slope = step(engine, () => {
      const x = input(engine, [-1, 2, 3], [3]);
      // d/dx of the sum of relu(x)^2 is 2 relu(x).
      return gradients(engine, [x], () => ({ loss: sum(square(relu(x))) })).gradients[0]!.read();
    });
    expect([...slope]).toEqual([0, 4, 6]);
  });
});

describe('a network', () => {
  // Plain data: layers by name.
  const network = sequential(
    'tour',
    [1, 8, 8],
    [
      ['conv2d', { channels: 4, kernel: 3, stride: 2, padding: 1 }],
      ['relu'],
      ['flatten'],
      ['dense', { units: 10 }],
    ],
  );
  const eps = 0.02;
  let model: Model;
  let test: ReturnType<typeof batchOf>;

  beforeAll(async () => {
    const set = await datasets.digits.load({});
    test = batchOf(set, set.test, 0, 100);

    // Trained to be certified: forty steps of interval bound propagation.
    const ibp = objectives.ibp!;
    model = createModel(engine, network, { seed: 1, init: ibp.init });
    // What is trained are leaves; here they are the weights themselves.
    const training = parameterise(model);
    const job = {
      model: training,
      objective: ibp,
      options: {
        eps,
        factor: 1,
        kappa: 0.5,
        rampStart: 0,
        rampEnd: 0.5,
        regularise: 0.5,
        tau: 0.5,
      },
      optimizer: createOptimizer(leavesOf(training), {
        optimizer: 'adam',
        weightDecay: 0,
        momentum: 0.9,
        gradientClip: 10,
      }),
      seed: 1,
      epoch: 0,
      epochs: 1,
      ramp: true,
      batches: 40,
      batch: (at: number) => batchOf(set, set.train, 32 * at, 32 * at + 32),
      rate: () => 0.01,
      after: async () => false,
    };
    for (let at = 0; at < job.batches; at++) trainStep(job, job.batch(at), at / job.batches);
  });

  const right = (): number =>
    step(engine, () => {
      const classes = predict(model, input(engine, test.images, [100, 1, 8, 8]));
      return classes.filter((c, i) => c === test.labels[i]).length;
    });

  it('says what it is', () => {
    expect(summary(network)).toContain('conv2d1');
    expect(model.params.get('dense1.weight')!.shape).toEqual([10, 64]);
  });

  it('has learnt', () => {
    expect(right()).toBeGreaterThan(80);
    const shape = step(
      engine,
      () => logits(model, input(engine, test.images, [100, 1, 8, 8])).shape,
    );
    expect(shape).toEqual([100, 10]);
  });

  it('is certified where no attack can break it', () => {
    const verdicts = verifiers.interval!.verify({ model, ...test, eps }, { sound: true } as never);
    const settings = { steps: 10, restarts: 1, stepSize: null, norm: 'linf', randomStart: true };
    const { broken } = runAttack(attacks.pgd!, settings, { model, ...test, eps, seed: 1 });
    const certified = verdicts.map(({ verdict }) => verdict === 'certified');
    expect(certified.filter(Boolean).length).toBeGreaterThan(20);
    certified.forEach((yes, i) => {
      if (yes) expect(broken[i]).toBe(0);
    });
  });

  it('can be pruned, and still works', async () => {
    const { masks } = await prune(model, strategies.magnitude!, {}, { sparsity: 0.5, seed: 1 });
    const weights = [...masks.keys()].flatMap((name) => [...model.params.get(name)!.read()]);
    expect(weights.filter((w) => w === 0)).toHaveLength(Math.round(0.5 * weights.length));
    expect(right()).toBeGreaterThan(60);
  });

  it('goes to a file and comes back the same', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'espalier-tour-'));
    try {
      const path = join(folder, 'tour.safetensors');
      await saveModel(path, model);
      const again = await loadModel(engine, path);
      const out = (of: Model): number =>
        step(engine, () => item(mean(logits(of, input(engine, test.images, [100, 1, 8, 8])))));
      expect(out(again)).toBe(out(model));
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
