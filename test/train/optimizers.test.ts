/** The optimisers against float64 references, on leaves of every kind; clipping; schedules. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Network, sequential } from '../../src/nn/graph';
import { createModel, freeModel } from '../../src/nn/model';
import { leavesOf, parameterise } from '../../src/nn/training-model';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import {
  createOptimizer,
  freeOptimizer,
  type Optimizer,
  type OptimizerOptions,
  update,
} from '../../src/train/optimizers';
import { type LearningRate, learningRate, rampTo } from '../../src/train/schedules';
import { expectClose } from '../helpers/close';
import { sampler } from '../helpers/random';

const NETWORK: Network = sequential('line', [5], [['dense', { units: 7 }], ['batch-norm']]);
/** In the order of the optimiser: a prunable weight, then what no decay touches. */
const SIZES = {
  'dense1.weight': 35,
  'dense1.bias': 7,
  'batch-norm1.weight': 7,
  'batch-norm1.bias': 7,
};

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

/** One parameter and its moments in float64. */
interface Reference {
  w: number[];
  m: number[];
  v: number[];
}

function move(
  r: Reference,
  g: readonly number[],
  t: number,
  rate: number,
  o: OptimizerOptions,
): void {
  g.forEach((gradient, i) => {
    const d = gradient + o.weightDecay * r.w[i]!;
    if (o.optimizer === 'sgd') {
      r.v[i] = o.momentum * r.v[i]! + d;
      r.w[i]! -= rate * r.v[i]!;
      return;
    }
    r.m[i] = o.momentum * r.m[i]! + (1 - o.momentum) * d;
    r.v[i] = 0.999 * r.v[i]! + 0.001 * d * d;
    const [m, v] = [r.m[i]! / (1 - o.momentum ** t), r.v[i]! / (1 - 0.999 ** t)];
    r.w[i]! -= (rate * m) / (Math.sqrt(v) + 1e-8);
  });
}

/** A model in training whose leaves are the tensors of `model`. */
const started = (options: OptimizerOptions) => {
  const model = createModel(engine, NETWORK, { seed: 1 });
  return { model, optimizer: createOptimizer(leavesOf(parameterise(model)), options) };
};

/** Updates with gradients given by value. */
function updateWith(
  optimizer: Optimizer,
  values: readonly (readonly number[])[],
  rate: number,
): boolean {
  return step(engine, () => {
    const gradients = optimizer.leaves.map(({ tensor }, i) =>
      input(engine, values[i]!, tensor.shape),
    );
    return update(optimizer, gradients, rate);
  });
}

const PLAIN: OptimizerOptions = {
  optimizer: 'sgd',
  weightDecay: 0,
  momentum: 0,
  gradientClip: null,
};
const CASES: Readonly<Record<string, Partial<OptimizerOptions>>> = {
  'plain SGD': {},
  'SGD with momentum and weight decay': { momentum: 0.9, weightDecay: 0.01 },
  Adam: { optimizer: 'adam', momentum: 0.9 },
  'Adam with weight decay': { optimizer: 'adam', momentum: 0.5, weightDecay: 0.1 },
  'Adam without first moment': { optimizer: 'adam', momentum: 0 },
};

describe.each(Object.entries(CASES))('%s', (_, given) => {
  const options = { ...PLAIN, ...given };

  it('follows the float64 reference over twenty steps', () => {
    const random = sampler(4);
    const { model, optimizer } = started(options);
    expect(optimizer.leaves.map(({ name }) => name)).toEqual(
      Object.keys(SIZES).map((name) => `${name}/values`),
    );
    const references = optimizer.leaves.map(({ tensor }): Reference => {
      const w = [...tensor.read()];
      return { w, m: w.map(() => 0), v: w.map(() => 0) };
    });
    for (let t = 1; t <= 20; t++) {
      const gradients = Object.values(SIZES).map((n) => [...random.array([n]).data]);
      updateWith(optimizer, gradients, 0.05 / t);
      references.forEach((r, i) => {
        const weightDecay = i === 0 ? options.weightDecay : 0;
        move(r, gradients[i]!, t, 0.05 / t, { ...options, weightDecay });
      });
    }
    expect(optimizer.steps).toBe(20);
    optimizer.leaves.forEach(({ name, tensor }, i) => {
      expectClose(tensor.read(), references[i]!.w, { rel: 1e-5 }, name);
    });
    freeOptimizer(optimizer);
    freeModel(model);
  });
});

describe('gradients that are not finite', () => {
  it('change nothing', () => {
    for (const optimizer of ['adam', 'sgd'] as const)
      for (const bad of [Number.NaN, Number.NEGATIVE_INFINITY])
        for (const gradientClip of [null, 1]) {
          const { model, optimizer: state } = started({ ...PLAIN, optimizer, gradientClip });
          const before = [...model.params.values()].map((t) => t.read());
          const gradients = Object.values(SIZES).map((n) => new Array<number>(n).fill(0.5));
          gradients[3]![6] = bad;
          expect(updateWith(state, gradients, 0.1)).toBe(false);
          expect(state.steps).toBe(0);
          expect([...model.params.values()].map((t) => t.read())).toEqual(before);
          for (const t of state.moments.values()) expect(t.read().every((v) => v === 0)).toBe(true);
          gradients[3]![6] = 0.5;
          expect(updateWith(state, gradients, 0.1)).toBe(true);
          freeOptimizer(state);
          freeModel(model);
        }
  });
});

describe('gradientClip', () => {
  it('scales all gradients by one factor, or leaves them alone', () => {
    for (const [length, limit, scale] of [
      [8, 2, 0.25],
      [8, 9, 1],
      [8, null, 1],
    ] as const) {
      const { model, optimizer } = started({ ...PLAIN, gradientClip: limit });
      const before = model.params.get('dense1.weight')!.read();
      const gradients = Object.values(SIZES).map((n) => new Array<number>(n).fill(0));
      gradients[0]![3] = length * 0.6;
      gradients[2]![0] = length * 0.8;
      updateWith(optimizer, gradients, 1);
      const after = model.params.get('dense1.weight')!.read();
      expect(before[3]! - after[3]!).toBeCloseTo(length * 0.6 * scale, 5);
      expect(1 - model.params.get('batch-norm1.weight')!.read()[0]!).toBeCloseTo(
        length * 0.8 * scale,
        5,
      );
      freeOptimizer(optimizer);
      freeModel(model);
    }
  });

  it('gives back all kept memory', () => {
    engine.arena.trim();
    const used = engine.memory.usedBytes;
    for (const kind of ['adam', 'sgd'] as const) {
      const { model, optimizer } = started({ ...PLAIN, optimizer: kind });
      freeOptimizer(optimizer);
      freeModel(model);
    }
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
  });
});

describe('schedules', () => {
  const rate = (given: Partial<LearningRate>, epoch: number): number =>
    learningRate(
      0.1,
      {
        ...{ name: 'step', milestones: [0.5, 0.75], factor: 0.1, warmup: 0 },
        ...{ peak: 0.3, patience: 5, ...given },
      },
      epoch,
      20,
    );

  it('rampTo rises from 0 to all, and is exact at both ends', () => {
    expect([0, 2, 3, 4, 6, 7].map((epoch) => rampTo(0.3, epoch, 2, 6))).toEqual([
      0, 0, 0.075, 0.15, 0.3, 0.3,
    ]);
    expect(rampTo(0.3, 0, 0, 0)).toBe(0.3);
  });

  it('step falls at its milestones', () => {
    const rates = [0, 9.99, 10, 14.99, 15, 20].map((epoch) => rate({}, epoch));
    [0.1, 0.1, 0.01, 0.01, 0.001, 0.001].forEach((expected, i) => {
      expect(rates[i]).toBeCloseTo(expected, 12);
    });
  });

  it('cosine falls to 0, constant stays', () => {
    expect([0, 10, 20].map((epoch) => rate({ name: 'cosine' }, epoch).toFixed(9))).toEqual([
      '0.100000000',
      '0.050000000',
      '0.000000000',
    ]);
    expect(rate({ name: 'constant' }, 19)).toBe(0.1);
  });

  it('every one rises over the warm-up, from more than nothing, and never exceeds the base', () => {
    for (const name of ['step', 'cosine', 'constant'] as const) {
      const rates = Array.from({ length: 201 }, (_, i) => rate({ name, warmup: 2 }, i / 10));
      expect(rates[0]).toBeGreaterThan(0);
      expect(rates[10]!).toBeGreaterThan(rates[1]!);
      expect(rates[10]!).toBeLessThan(0.6 * rate({ name }, 1));
      expect(Math.max(...rates)).toBeLessThanOrEqual(0.1);
    }
  });
});
