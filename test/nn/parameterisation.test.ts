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
  'scored in sign': (mask) => {
    const { settings, ...scored } = MAKERS.scored!(mask);
    return { ...scored, settings: { ...settings, signed: 1 } };
  },
  rated: (mask) => {
    const { settings, tensors, ...scored } = MAKERS.scored!(mask);
    const rate = Float32Array.of(0.3);
    return {
      ...scored,
      kind: 'rated',
      settings: { ...settings, least: 0.1 },
      tensors: { ...tensors, rate },
    };
  },
  spliced: (mask) => {
    const n = count(mask);
    const through = Float32Array.from({ length: n }, (_, i) => Number(i % 3 === 0));
    return { kind: 'spliced', mask, settings: {}, tensors: { weights: draw(n), through } };
  },
};
/** All entries, many (scattered), few (as non-zeros). */
const DENSITIES = [null, 0.6, 0.15];
const cases = Object.keys(MAKERS).flatMap((kind) =>
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
    if (kind === 'spliced')
      return Array.from(tensors.weights!, (w, i) => (tensors.through![i] === 1 ? w : 0));
    const sizes = Array.from(tensors.scores!, settings.signed === 1 ? (s) => s : Math.abs);
    const least = sizes.toSorted((a, b) => b - a)[settings.kept! - 1]!;
    return Array.from(tensors.weights!, (w, i) => (sizes[i]! >= least ? w : 0));
  })();
  let n = 0;
  return Array.from({ length: SIZE }, (_, i) => (mask && !mask[i] ? 0 : entries[n++]!));
}

it('data of every kind are tried', () => {
  const kinds = Object.values(MAKERS).map((make) => make(null).kind);
  expect(new Set(kinds)).toEqual(new Set(Object.keys(parameterisations)));
});

/**
 * Gradients in float64 of the leaves whose choice has no derivative of use, by what the kinds say; `slopes`
 * are those of the entries.
 */
function straightThrough(
  { kind, settings, tensors }: ParameterData,
  slopes: readonly number[],
): Readonly<Record<string, number[]>> {
  if (kind === 'spliced') return { weights: [...slopes] };
  if (!tensors.scores) return {};
  const through = slopes.map((slope, i) => slope * tensors.weights![i]!);
  const signs = Array.from(tensors.scores, (s) => (settings.signed === 1 ? 1 : Math.sign(s)));
  const share = 1 / (1 + Math.exp(-(tensors.rate?.[0] ?? 0)));
  const slope = (1 - (settings.least ?? 0)) * share * (1 - share);
  return {
    scores: through.map((g, i) => g * signs[i]!),
    rate: [slope * through.reduce((total, g) => total + g, 0)],
  };
}

describe.each(cases)('$name', ({ kind: label, mask }) => {
  const dataFor = (): ParameterData => MAKERS[label]!(mask);
  const { kind } = dataFor();

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
    const slopes = Array.from(probe).filter((_, i) => !mask || mask[i]);
    const through = straightThrough(data, slopes);
    leaves.forEach(([name], l) => {
      const g = found[l]!;
      expect(g).toHaveLength(data.tensors[name]!.length);
      g.forEach((value, i) => {
        const difference = loss(at(i, name, 0.5)) - loss(at(i, name, -0.5));
        // Shared values move by the mean of their entries' gradients.
        const tied = data.tensors.clusters?.filter((c) => c === i).length ?? 1;
        expect(value).toBeCloseTo(through[name]?.[i] ?? difference / tied, 3);
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
    if (kind === 'scored' || kind === 'rated')
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
    const bad = (tensor: string, value: number): ParameterData => {
      const values = data.tensors[tensor]!.map((v, i) => (i === 0 ? value : v));
      return { ...data, tensors: { ...data.tensors, [tensor]: values } };
    };
    if (kind === 'spliced')
      wrong.push([bad('through', 0.5), /through: expected numbers 0 and 1, got 0\.5/]);
    if (kind === 'scored')
      wrong.push([
        { ...data, settings: { ...data.settings, signed: 2 } },
        /signed: expected 0 or 1/,
      ]);
    if (kind === 'rated') {
      const { least: _, ...settings } = data.settings;
      wrong.push([{ ...data, settings }, /least: expected a density in \[0, 1\)/]);
      const rate = Float32Array.of(1, 2);
      wrong.push([{ ...data, tensors: { ...data.tensors, rate } }, /rate: expected one number/]);
    }
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
