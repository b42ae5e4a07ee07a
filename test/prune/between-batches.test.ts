/** What strategies do between two batches, each step against its rule written down once more. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createModel, freeModel, type Model, prunableNames } from '../../src/nn/model';
import type { ParameterData } from '../../src/nn/parameterisation';
import { spreadKept } from '../../src/nn/parameterisation';
import { densityOf } from '../../src/nn/parameterisations/rated';
import {
  denseModel,
  freeTraining,
  leavesOf,
  parameterise,
  snapshot,
  type TrainingModel,
} from '../../src/nn/training-model';
import { buildNetwork } from '../../src/nn/zoo';
import { parseOptions } from '../../src/options';
import { countKept, countMasked } from '../../src/prune/mask';
import type { LossAnswer, LossOracle } from '../../src/prune/oracle';
import { decide, masksOf, parameterMap } from '../../src/prune/prune';
import { sparsityAt } from '../../src/prune/schedule';
import { strategies } from '../../src/prune/strategies/registry';
import { phasesOf } from '../../src/prune/strategy';
import { type Engine, load } from '../../src/runtime/engine';
import { createOptimizer, freeOptimizer } from '../../src/train/optimizers';
import { replaceParameters } from '../../src/train/replace';
import { sampler } from '../helpers/random';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const NETWORK = buildNetwork('mlp', { hidden: [12, 8] }, [1, 4, 4], 4);
const SPARSITY = 0.75;
const STEPS = 100;

/** Gradients that a seed draws, the same whenever they are asked for. */
const noise: LossOracle = {
  batches: 3,
  samples: 4,
  ask: (model, batch): LossAnswer => {
    const random = sampler(batch);
    const gradients = Array.from(
      model.params,
      ([name, { shape }]) => [name, Float32Array.from(random.array(shape).data)] as const,
    );
    return { loss: 1, gradients: new Map(gradients), second: undefined };
  },
};

interface Trial {
  readonly model: TrainingModel;
  /** What `betweenBatches` makes of the model after `step` updates, put to work. */
  after(step: number): Promise<void>;
  readonly state: Map<string, Float32Array>;
  free(): void;
}

/** A model that a strategy has decided on, as the first phase of a round trains it. */
async function tried(name: string, given: object = {}): Promise<Trial> {
  const entry = strategies[name]!;
  const options = parseOptions(entry.options, given, name);
  const model: Model = createModel(engine, NETWORK, { seed: 2 });
  const [phase] = phasesOf(entry, options);
  const goal = { sparsity: SPARSITY, seed: 1, oracle: noise };
  const decision = phase!.decides
    ? (await decide(model, entry, options, goal)).decision
    : new Map<string, ParameterData>();
  const training = parameterise(model, parameterMap(model, decision));
  const trained = phase!.trained ?? 'weights';
  const sgd = { optimizer: 'sgd', weightDecay: 0, momentum: 0.9, gradientClip: null } as const;
  const optimizer = createOptimizer(leavesOf(training, trained), sgd);
  const state = new Map<string, Float32Array>();
  return {
    model: training,
    state,
    async after(step) {
      const context = { model: training, sparsity: SPARSITY, seed: 1, oracle: noise, state };
      const changes = await entry.betweenBatches!(
        { ...context, step, steps: STEPS, learningRate: 0.1 },
        options as never,
      );
      if (changes) replaceParameters(training, optimizer, trained, changes);
    },
    free() {
      freeOptimizer(optimizer);
      freeTraining(training);
    },
  };
}

const prunable = ({ model }: Trial): [string, ParameterData][] => {
  const data = snapshot(model);
  return prunableNames(model.graph).map((name) => [name, data.get(name)!]);
};
const zerosOf = (trial: Trial): number => {
  const masks = masksOf(new Map(prunable(trial)));
  return countMasked(trial.model.graph, masks).zeros;
};
const TOTAL = 16 * 12 + 12 * 8 + 8 * 4;
/** Weights in their places. */
const weightsOf = ({ model }: Trial): Map<string, Float32Array> => {
  const dense = denseModel(model);
  const found = prunableNames(model.graph).map(
    (name) => [name, dense.params.get(name)!.read()] as const,
  );
  freeModel(dense);
  return new Map(found);
};
const write = ({ model }: Trial, name: string, tensor: string, values: ArrayLike<number>): void =>
  model.parameters.get(name)!.tensors[tensor]!.write(values);

describe.each([
  ['rigl', 0.3, 0.75],
  ['flyingbird', 0.5, 1],
])('%s', (name, share, end) => {
  it.each([10, 60])('drops the smallest and grows by gradient after %d updates', async (step) => {
    const trial = await tried(name);
    const before = prunable(trial);
    const old = weightsOf(trial);
    expect(zerosOf(trial)).toBe(Math.round(SPARSITY * TOTAL));
    await trial.after(step);
    const now = new Map(prunable(trial));
    const weights = weightsOf(trial);
    for (const [parameter, { mask }] of before) {
      const kept = countKept(mask!);
      const part = (share / 2) * (1 + Math.cos((Math.PI * step) / (end * STEPS)));
      const moving = Math.min(Math.floor(part * kept), mask!.length - kept);
      const bySize = [...mask!.keys()]
        .filter((i) => mask![i] === 1)
        .sort((a, b) => Math.abs(old.get(parameter)![b]!) - Math.abs(old.get(parameter)![a]!));
      const stay = new Set(bySize.slice(0, kept - moving));
      const g = noise
        .ask({ engine, graph: trial.model.graph, params: denseParams(trial) }, step % 3)
        .gradients.get(parameter)!;
      const come = [...mask!.keys()]
        .filter((i) => !stay.has(i))
        .sort((a, b) => Math.abs(g[b]!) - Math.abs(g[a]!))
        .slice(0, moving);
      const expected = new Set([...stay, ...come]);
      const found = now.get(parameter)!.mask!;
      expect([...found.keys()].filter((i) => found[i] === 1)).toEqual(
        [...expected].sort((a, b) => a - b),
      );
      weights.get(parameter)!.forEach((w, i) => {
        // What stays is as it was, what is new is 0.
        const same = expected.has(i) && mask![i] === 1;
        expect(w).toBe(same ? old.get(parameter)![i] : 0);
      });
    }
    for (const t of freed.splice(0)) freeModel(t);
    trial.free();
  });

  it('rests at its end', async () => {
    const trial = await tried(name);
    const before = prunable(trial);
    await trial.after(end * STEPS);
    expect(prunable(trial)).toEqual(before);
    trial.free();
  });

  it('grows by lot where asked, by other lots each time', async () => {
    const [a, b, c] = [
      await tried(name, { grow: 'random' }),
      await tried(name, { grow: 'random' }),
      await tried(name, { grow: 'random' }),
    ];
    for (const [trial, step] of [
      [a, 10],
      [b, 10],
      [c, 11],
    ] as const)
      await trial.after(step);
    expect(prunable(a)).toEqual(prunable(b));
    expect(prunable(a)).not.toEqual(prunable(c));
    for (const trial of [a, b, c]) trial.free();
  });
});

const freed: Model[] = [];
function denseParams({ model }: Trial): Model['params'] {
  const dense = denseModel(model);
  freed.push(dense);
  return dense.params;
}

describe('surgery', () => {
  it('cuts and splices by what the weights are now, with some inertia', async () => {
    const trial = await tried('surgery', { scope: 'layer', gamma: 0, rise: 0, every: 1 });
    const [[name, first]] = prunable(trial) as [[string, ParameterData]];
    const kept = countKept(new Uint8Array(first.tensors.through!));
    // One that is out grows a little above the least that is in: not by a fifth, so it stays out.
    const sizes = first.tensors.weights!.map(Math.abs);
    const isIn = (i: number): boolean => first.tensors.through![i] === 1;
    const places = [...sizes.keys()];
    const least = places.filter(isIn).reduce((a, b) => (sizes[b]! < sizes[a]! ? b : a));
    const out = places.find((i) => !isIn(i))!;
    const at = (size: number): Float32Array =>
      first.tensors.weights!.map((w, i) => (i === out ? size : w));
    write(trial, name, 'weights', at(1.1 * sizes[least]!));
    await trial.after(1);
    expect(new Map(prunable(trial)).get(name)!.tensors.through![out]).toBe(0);
    write(trial, name, 'weights', at(1.3 * sizes[least]!));
    await trial.after(2);
    const now = new Map(prunable(trial)).get(name)!.tensors.through!;
    expect(now[out]).toBe(1);
    expect(now[least]).toBe(0);
    expect(countKept(new Uint8Array(now))).toBe(kept);
    expect(weightsOf(trial).get(name)![out]).toBeCloseTo(1.3 * sizes[least]!, 6);
    trial.free();
  });

  it('has as many zeros as its rise says, and all of them at its end, whatever the lot', async () => {
    const trial = await tried('surgery', { gamma: 0, every: 1, rise: 0.4, end: 0.6 });
    expect(zerosOf(trial)).toBe(Math.round(SPARSITY * TOTAL));
    for (const step of [1, 10, 25, 40, 55]) {
      await trial.after(step);
      const share = sparsityAt('cubic', 0, SPARSITY, Math.min(1, step / 40));
      expect(zerosOf(trial)).toBe(Math.round(share * TOTAL));
    }
    trial.free();
    const lazy = await tried('surgery', { gamma: 10, power: 5, every: 20, rise: 0.9, end: 0.7 });
    const all = prunable(lazy).map(([, own]) => own.tensors.through);
    for (let step = 1; step < 60; step++) await lazy.after(step);
    expect(prunable(lazy).map(([, own]) => own.tensors.through)).toEqual(all);
    for (const [name, { tensors }] of prunable(lazy))
      write(
        lazy,
        name,
        'weights',
        tensors.weights!.map((w) => 1 / (w || 1)),
      );
    await lazy.after(60);
    expect(prunable(lazy).map(([, own]) => own.tensors.through)).not.toEqual(all);
    expect(zerosOf(lazy)).toBe(Math.round(SPARSITY * TOTAL));
    lazy.free();
  });

  it('rests after its end, and by lot more and more often', async () => {
    const trial = await tried('surgery', { gamma: 1e3, power: 1, every: 1 });
    const before = prunable(trial);
    for (const [name, { tensors }] of before)
      write(
        trial,
        name,
        'weights',
        tensors.weights!.map((w) => 1 / (w || 1)),
      );
    const through = () => prunable(trial).map(([, { tensors }]) => tensors.through);
    for (let step = 2; step < 30; step++) await trial.after(step);
    const rested = through();
    expect(rested).toEqual(before.map(([, { tensors }]) => tensors.through));
    trial.free();
    const eager = await tried('surgery', { gamma: 0, every: 1, end: 0.5 });
    const old = prunable(eager);
    for (const [name, { tensors }] of old)
      write(
        eager,
        name,
        'weights',
        tensors.weights!.map((w) => 1 / (w || 1)),
      );
    await eager.after(51);
    expect(prunable(eager).map(([, own]) => own.tensors.through)).toEqual(
      old.map(([, own]) => own.tensors.through),
    );
    await eager.after(50);
    expect(prunable(eager).map(([, own]) => own.tensors.through)).not.toEqual(
      old.map(([, own]) => own.tensors.through),
    );
    eager.free();
  });
});

describe('movement', () => {
  it('keeps fewer and fewer along the cubic schedule, those of the largest scores in sign', async () => {
    const trial = await tried('movement', { end: 0.8 });
    expect(zerosOf(trial)).toBe(0);
    const random = sampler(5);
    const scores = new Map(
      prunable(trial).map(([name, { tensors }]) => [
        name,
        Float32Array.from(random.array([tensors.scores!.length]).data),
      ]),
    );
    for (const [name, own] of scores) write(trial, name, 'scores', own);
    for (const step of [20, 40, 80, 100]) {
      await trial.after(step);
      const sparsity = sparsityAt('cubic', 0, SPARSITY, Math.min(1, step / 80));
      expect(zerosOf(trial)).toBe(Math.round(sparsity * TOTAL));
      const all = [...scores.values()].flatMap((own) => [...own]).sort((a, b) => b - a);
      const border = all[TOTAL - zerosOf(trial) - 1]!;
      for (const [name, values] of weightsOf(trial))
        values.forEach((w, i) => {
          expect(w !== 0, `${name} ${i}`).toBe(scores.get(name)![i]! >= border);
        });
    }
    trial.free();
  });
});

describe('admm', () => {
  it('pulls weights to the nearest that have the zeros, by a proximal step', async () => {
    const trial = await tried('admm', { rho: 2, every: 2, scope: 'layer' });
    const w0 = weightsOf(trial);
    await trial.after(1);
    const pull = 0.1 * 2;
    const project = (w: Float32Array): Float32Array => {
      const kept = w.length - Math.round(SPARSITY * w.length);
      const order = [...w.keys()].sort((a, b) => Math.abs(w[b]!) - Math.abs(w[a]!));
      const stay = new Set(order.slice(0, kept));
      return w.map((x, i) => (stay.has(i) ? x : 0));
    };
    const step = (w: Float32Array, z: Float32Array, u: Float32Array): Float32Array =>
      w.map((x, i) => (x + pull * (z[i]! - u[i]!)) / (1 + pull));
    const state = new Map(
      Array.from(w0, ([name, w]) => {
        const [z, u] = [project(w), new Float32Array(w.length)];
        return [name, { z, u, w: step(w, z, u) }];
      }),
    );
    const same = (): void => {
      for (const [name, w] of weightsOf(trial))
        w.forEach((x, i) => {
          expect(x).toBeCloseTo(state.get(name)!.w[i]!, 5);
        });
    };
    same();
    // Z and U rest once, then move.
    for (const at of [2, 3]) {
      await trial.after(at);
      for (const own of state.values()) {
        if (at === 3) {
          const sum = own.w.map((x, i) => x + own.u[i]!);
          own.z = project(sum);
          own.u = sum.map((x, i) => x - own.z[i]!);
        }
        own.w = step(own.w, own.z, own.u);
      }
      same();
    }
    trial.free();
  });
});

describe('harp', () => {
  it('gives every layer its density, all by one factor, and the count exactly', async () => {
    const trial = await tried('harp', { scope: 'layer', floor: 0.2 });
    const least = 0.2 * (1 - SPARSITY);
    const data = prunable(trial);
    for (const [, { tensors, settings }] of data) {
      expect(settings.least).toBeCloseTo(least, 12);
      expect(densityOf(tensors.rate![0]!, least)).toBeCloseTo(1 - SPARSITY, 2);
    }
    const rates = [-2, 0.5, 1.5];
    data.forEach(([name], i) => {
      write(trial, name, 'rate', [rates[i]!]);
    });
    await trial.after(10);
    const kept = prunable(trial).map(([, { settings }]) => settings.kept!);
    const sizes = data.map(([, { tensors }]) => tensors.weights!.length);
    const wanted = sizes.map((size, i) => size * densityOf(rates[i]!, least));
    const factor = (TOTAL - Math.round(SPARSITY * TOTAL)) / wanted.reduce((a, b) => a + b, 0);
    kept.forEach((count, i) => {
      expect(Math.abs(count - factor * wanted[i]!)).toBeLessThanOrEqual(1);
    });
    expect(zerosOf(trial)).toBe(Math.round(SPARSITY * TOTAL));
    trial.free();
  });
});

describe('gradual magnitude', () => {
  it('prunes on along the cubic schedule and keeps what stays', async () => {
    const trial = await tried('magnitude', { gradual: { every: 10, end: 0.5 } });
    expect(zerosOf(trial)).toBe(0);
    let before = weightsOf(trial);
    for (const step of [10, 20, 40, 50, 60, 100]) {
      await trial.after(step);
      const sparsity = sparsityAt('cubic', 0, SPARSITY, Math.min(1, step / 50));
      expect(zerosOf(trial)).toBe(Math.round(sparsity * TOTAL));
      const now = weightsOf(trial);
      for (const [name, w] of now)
        w.forEach((x, i) => {
          if (x !== 0) expect(x).toBe(before.get(name)![i]);
        });
      before = now;
    }
    trial.free();
  });
});

describe('masks of an earlier round', () => {
  it.each(['surgery', 'movement', 'harp'])('hold while %s changes its own', async (name) => {
    const entry = strategies[name]!;
    const options = parseOptions(entry.options, {}, name);
    const model = createModel(engine, NETWORK, { seed: 2 });
    const previous = new Map(
      prunableNames(model.graph).map((own) => [
        own,
        new Uint8Array(model.params.get(own)!.size).map((_, i) => Number(i % 3 !== 0)),
      ]),
    );
    const goal = { sparsity: SPARSITY, seed: 1, oracle: noise, previous };
    const { decision } = await decide(model, entry, options, goal);
    const training = parameterise(model, parameterMap(model, decision));
    const state = new Map<string, Float32Array>();
    const context = { model: training, sparsity: SPARSITY, seed: 1, oracle: noise, state };
    const changes = await entry.betweenBatches!(
      { ...context, step: 60, steps: STEPS, learningRate: 0.1 },
      options as never,
    );
    for (const [own, mask] of masksOf(changes!)) {
      expect(changes!.get(own)!.mask).toEqual(previous.get(own));
      expect(mask.every((one, i) => one <= previous.get(own)![i]!)).toBe(true);
      expect(spreadKept(changes!.get(own)!.tensors.weights!, previous.get(own)!)).toHaveLength(
        mask.length,
      );
    }
    freeTraining(training);
  });
});
