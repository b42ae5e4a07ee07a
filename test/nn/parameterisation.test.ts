/** Parameterisations by table: gradients, data and back, masks that hold, and what an optimiser makes of it. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sequential } from '../../src/nn/graph';
import { createModel } from '../../src/nn/model';
import { type Mask, type ParameterData, plainData } from '../../src/nn/parameterisation';
import { parameterisations } from '../../src/nn/parameterisations/registry';
import { sharedData } from '../../src/nn/parameterisations/shared';
import {
  createParameterisation,
  dataOf,
  freeParameterisation,
  maskOf,
  type Parameterisation,
  remasked,
  weightOf,
} from '../../src/nn/parameterised';
import {
  denseModel,
  freeTraining,
  leavesOf,
  masksIn,
  parameterise,
  snapshot,
  type Trained,
  trainingModelFrom,
} from '../../src/nn/training-model';
import { type Engine, load } from '../../src/runtime/engine';
import { isSparse, readEntries, toDense } from '../../src/sparse/weight';
import { mul, sum } from '../../src/tensor/ops/core';
import { gradients } from '../../src/tensor/tape';
import { input, step } from '../../src/tensor/tensor';
import {
  createOptimizer,
  freeOptimizer,
  type OptimizerOptions,
  update,
} from '../../src/train/optimizers';
import { replaceParameters } from '../../src/train/replace';
import { sampler } from '../helpers/random';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const SHAPE = [6, 10];
const SIZE = 60;
const random = sampler(3);
const draw = (count: number): Float32Array => Float32Array.from(random.array([count]).data);
const maskOfDensity = (density: number): Mask =>
  Uint8Array.from({ length: SIZE }, (_, i) => Number((i * 7919) % 100 < 100 * density));
const count = (mask: Mask | null): number => mask?.reduce((n, one) => n + one, 0) ?? SIZE;

/** Data of every kind; a new kind has to be added here. */
const MAKERS: Readonly<Record<string, (mask: Mask | null) => ParameterData>> = {
  plain: (mask) => plainData(draw(SIZE), mask),
  shared: (mask) => {
    const data = sharedData(
      Float32Array.from({ length: SIZE }, (_, i) => (mask && !mask[i] ? 0 : ((i * 5) % 7) - 3.5)),
    );
    return data;
  },
  scored: (mask) => {
    const n = count(mask);
    const kept = Math.ceil(n / 3);
    return {
      kind: 'scored',
      mask,
      settings: { kept },
      tensors: { weights: draw(n), scores: draw(n) },
    };
  },
};
/** All entries, many (scattered), few (as non-zeros). */
const DENSITIES = [null, 0.6, 0.15];
const cases = Object.keys(parameterisations).flatMap((kind) =>
  DENSITIES.map((density) => ({
    name: `${kind}, ${density ?? 'all'} kept`,
    kind,
    mask: density === null ? null : maskOfDensity(density),
  })),
);

const weightsIn = (p: Parameterisation): Float32Array =>
  step(engine, () => readEntries(weightOf(p)));

/** The weight in float64, by what the kinds say. */
function reference({ kind, mask, settings, tensors }: ParameterData): number[] {
  const entries = ((): number[] => {
    if (kind === 'plain') return [...tensors.values!];
    if (kind === 'shared') return Array.from(tensors.clusters!, (c) => tensors.codebook![c]!);
    const sizes = Array.from(tensors.scores!, Math.abs);
    const least = sizes.toSorted((a, b) => b - a)[settings.kept! - 1]!;
    return Array.from(tensors.weights!, (w, i) => (sizes[i]! >= least ? w : 0));
  })();
  let n = 0;
  return Array.from({ length: SIZE }, (_, i) => (mask && !mask[i] ? 0 : entries[n++]!));
}

describe.each(cases)('$name', ({ kind, mask }) => {
  const dataFor = (): ParameterData => MAKERS[kind]!(mask);

  it('makes the weight that its data say, and gives them back', () => {
    const data = dataFor();
    const p = createParameterisation(engine, SHAPE, data, 'test');
    expect([...weightsIn(p)]).toEqual(reference(data));
    expect(dataOf(p)).toEqual(count(data.mask) === SIZE ? { ...data, mask: null } : data);
    expect(step(engine, () => isSparse(weightOf(p)))).toBe(count(data.mask) <= 0.2 * SIZE);
    const kept = maskOf(data);
    weightsIn(p).forEach((w, i) => {
      if (kept && !kept[i]) expect(Object.is(w, 0)).toBe(true);
    });
    freeParameterisation(p);
  });

  it('has the gradients of central differences in float64, of scores those that go straight through', () => {
    const data = dataFor();
    const p = createParameterisation(engine, SHAPE, data, 'test');
    const probe = draw(SIZE);
    const leaves = Object.entries(parameterisations[kind]!.tensors).filter(
      ([, { role }]) => role !== 'constant',
    );
    const found = step(engine, () => {
      const tensors = leaves.map(([name]) => p.tensors[name]!);
      return gradients(engine, tensors, () => {
        const weight = toDense(weightOf(p));
        // Linear in the weight, so that differences are exact.
        return { loss: sum(mul(weight, input(engine, probe, SHAPE))) };
      }).gradients.map((g) => g.read());
    });
    const loss = (changed: ParameterData): number =>
      reference(changed).reduce((total, w, i) => total + w * probe[i]!, 0);
    const at = (changed: number, name: string, delta: number): ParameterData => {
      const values = data.tensors[name]!.slice();
      values[changed]! += delta;
      return { ...data, tensors: { ...data.tensors, [name]: values } };
    };
    leaves.forEach(([name, { role }], l) => {
      const g = found[l]!;
      expect(g).toHaveLength(data.tensors[name]!.length);
      g.forEach((value, i) => {
        if (role === 'weight') {
          const difference = loss(at(i, name, 0.5)) - loss(at(i, name, -0.5));
          // Shared values move by the mean of their entries' gradients.
          const tied = data.tensors.clusters?.filter((c) => c === i).length ?? 1;
          expect(value).toBeCloseTo(difference / tied, 3);
        }
      });
      if (role !== 'score') return;
      const places = Array.from({ length: SIZE }, (_, i) => i).filter((i) => !mask || mask[i]);
      g.forEach((value, i) => {
        const through = probe[places[i]!]! * data.tensors.weights![i]!;
        expect(value).toBeCloseTo(through * Math.sign(data.tensors.scores![i]!), 4);
      });
    });
    freeParameterisation(p);
  });

  it('refuses data that do not fit, in words', () => {
    const data = dataFor();
    const name = Object.keys(data.tensors).find((own) => own !== 'codebook')!;
    const wrong: [ParameterData, RegExp][] = [
      [{ ...data, kind: 'plian' }, /^test: expected one of .*"plian"/],
      [{ ...data, mask: new Uint8Array(SIZE - 1) }, /a mask of 60 entries, got 59/],
      [{ ...data, mask: new Uint8Array(SIZE).fill(2) }, /a mask of 0 and 1/],
      [{ ...data, tensors: {} }, /values, got none/],
      [
        { ...data, tensors: { ...data.tensors, [name]: data.tensors[name]!.slice(1) } },
        new RegExp(`${name} of \\d+ values, got \\d+`),
      ],
    ];
    if (kind === 'scored')
      for (const kept of [0, SIZE + 1, 0.5, Number.NaN])
        wrong.push([{ ...data, settings: { kept } }, /kept: expected a whole number in \[1, /]);
    if (kind === 'shared')
      for (const bad of [-1, 7.5, 1e9, Number.NaN]) {
        const clusters = data.tensors.clusters!.map((c, i) => (i === 3 ? bad : c));
        wrong.push([
          { ...data, tensors: { ...data.tensors, clusters } },
          /clusters: expected whole numbers/,
        ]);
      }
    const used = engine.memory.usedBytes;
    for (const [given, words] of wrong)
      expect(() => createParameterisation(engine, SHAPE, given, 'test')).toThrow(words);
    expect(engine.memory.usedBytes).toBe(used);
  });
});

const NETWORK = sequential(
  'net',
  [10],
  [['dense', { units: 6 }], ['batch-norm'], ['dense', { units: 3 }]],
);
const OPTIONS: OptimizerOptions = {
  ...{ optimizer: 'adam', weightDecay: 0.1, momentum: 0.9, gradientClip: 1 },
};

/** A model in training whose first weight is parameterised by `data`. */
const trainingOf = (data: ParameterData) =>
  parameterise(createModel(engine, NETWORK, { seed: 1 }), new Map([['dense1.weight', data]]));

/** Updates by gradients drawn anew. */
function updates(optimizer: ReturnType<typeof createOptimizer>, steps: number): void {
  for (let i = 0; i < steps; i++)
    step(engine, () => {
      const found = optimizer.leaves.map(({ tensor: { size, shape } }) =>
        input(engine, draw(size), shape),
      );
      expect(update(optimizer, found, 0.05)).toBe(true);
    });
}

describe('weights that masks take', () => {
  it('never come back, whatever gradients, decay and moments say, until the mask changes', () => {
    const bits = fc.array(fc.boolean(), { minLength: SIZE, maxLength: SIZE });
    const kinds = fc.constantFrom('adam', 'sgd');
    fc.assert(
      fc.property(bits, bits, kinds, (first, second, optimizer) => {
        const [before, after] = [first, second].map((b) => Uint8Array.from(b, Number)) as [
          Mask,
          Mask,
        ];
        const model = trainingOf(plainData(draw(SIZE), before));
        const state = createOptimizer(leavesOf(model), {
          ...OPTIONS,
          optimizer: optimizer as 'adam',
        });
        const weight = (): Float32Array => {
          const dense = denseModel(model);
          const values = dense.params.get('dense1.weight')!.read();
          for (const t of dense.params.values()) t.free();
          return values;
        };
        const holds = (mask: Mask): void =>
          weight().forEach((w, i) => {
            if (!mask[i]) expect(Object.is(w, 0)).toBe(true);
          });
        updates(state, 3);
        holds(before);
        const old = weight();
        const data = snapshot(model).get('dense1.weight')!;
        replaceParameters(
          model,
          state,
          'weights',
          new Map([['dense1.weight', remasked(data, after)]]),
        );
        // What stays is as it was, what is new begins at 0.
        weight().forEach((w, i) => {
          expect(w).toBe(after[i] && before[i] ? old[i] : 0);
        });
        updates(state, 2);
        holds(after);
        freeOptimizer(state);
        freeTraining(model);
      }),
      { numRuns: 20 },
    );
  });

  it('keep moments of entries that stay, and begin new ones at 0', () => {
    const before = maskOfDensity(0.5);
    const after = before.map((one, i) => (i % 3 === 0 ? 1 - one : one));
    const model = trainingOf(plainData(draw(SIZE), before));
    const state = createOptimizer(leavesOf(model), OPTIONS);
    updates(state, 2);
    const spread = (mask: Mask): number[] => {
      const values = state.moments.get('m.dense1.weight/values')!.read();
      let n = 0;
      return Array.from(mask, (one) => (one ? values[n++]! : 0));
    };
    const old = spread(before);
    const data = snapshot(model).get('dense1.weight')!;
    replaceParameters(model, state, 'weights', new Map([['dense1.weight', remasked(data, after)]]));
    expect(spread(after)).toEqual(old.map((m, i) => (before[i] && after[i] ? m : 0)));
    freeOptimizer(state);
    freeTraining(model);
  });
});

describe('leaves', () => {
  const scoredData = (): ParameterData => MAKERS.scored!(null);
  const names: Readonly<Record<Trained, string[]>> = {
    weights: ['dense1.weight/weights', 'dense1.bias/values'],
    scores: ['dense1.weight/scores'],
    both: ['dense1.weight/weights', 'dense1.weight/scores', 'dense1.bias/values'],
  };
  const OTHERS = [
    ...['batch-norm1.weight/values', 'batch-norm1.bias/values'],
    ...['dense2.weight/values', 'dense2.bias/values'],
  ];

  it.each(Object.entries(names))('of a phase that trains %s', (trained, wanted) => {
    const model = trainingOf(scoredData());
    const leaves = leavesOf(model, trained as Trained);
    expect(leaves.map(({ name }) => name)).toEqual([...wanted, ...OTHERS]);
    for (const { name, decays } of leaves) expect(decays).toBe(/dense\d\.weight/.test(name));
    freeTraining(model);
  });

  it.each(Object.keys(MAKERS))('of %s move as a slow reference in float64 says', (kind) => {
    const model = trainingOf(MAKERS[kind]!(maskOfDensity(0.5)));
    const sgd = { optimizer: 'sgd', weightDecay: 0.1, momentum: 0.5, gradientClip: 2 } as const;
    const state = createOptimizer(leavesOf(model, 'both'), sgd);
    const w = state.leaves.map(({ tensor }) => [...tensor.read()]);
    const v = w.map((values) => values.map(() => 0));
    for (let t = 0; t < 10; t++) {
      const g = state.leaves.map(({ tensor }) => [...draw(tensor.size)]);
      const norm = Math.sqrt(g.flat().reduce((total, x) => total + x * x, 0));
      const scale = Math.min(1, 2 / norm);
      step(engine, () =>
        update(
          state,
          state.leaves.map(({ tensor }, l) => input(engine, g[l]!, tensor.shape)),
          0.05,
        ),
      );
      g.forEach((values, l) => {
        values.forEach((x, i) => {
          const decay = state.leaves[l]!.decays ? 0.1 : 0;
          v[l]![i] = 0.5 * v[l]![i]! + scale * x + decay * w[l]![i]!;
          w[l]![i]! -= 0.05 * v[l]![i]!;
        });
      });
    }
    state.leaves.forEach(({ tensor }, l) => {
      tensor.read().forEach((value, i) => {
        expect(value).toBeCloseTo(w[l]![i]!, 4);
      });
    });
    freeOptimizer(state);
    freeTraining(model);
  });
});

describe('a model in training', () => {
  it('is its data, and needs no memory once it is freed', () => {
    engine.arena.trim();
    const used = engine.memory.usedBytes;
    for (const { kind, mask } of cases) {
      const model = trainingOf(MAKERS[kind]!(mask));
      const data = snapshot(model);
      const again = trainingModelFrom(engine, NETWORK, data);
      expect(snapshot(again)).toEqual(data);
      expect([...masksIn(data).keys()]).toEqual(
        maskOf(data.get('dense1.weight')!) ? ['dense1.weight'] : [],
      );
      freeTraining(again);
      freeTraining(model);
    }
    const data = new Map([['dense1.weight', plainData(draw(SIZE))]]);
    expect(() => trainingModelFrom(engine, NETWORK, data)).toThrow(
      /the parameter dense1\.bias, got none/,
    );
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
  });
});
