/** The worked examples of docs/adding-*.md at work: each is put into its registry and used. */
import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anyOrder } from '../../examples/adding/any-order';
import { clippedRelu } from '../../examples/adding/clipped-relu';
import { corners } from '../../examples/adding/corners';
import { hardMish } from '../../examples/adding/hard-mish';
import { hardMish as hardMishCheck } from '../../examples/adding/hard-mish-check';
import { ibpHinge } from '../../examples/adding/ibp-hinge';
import { lamp } from '../../examples/adding/lamp';
import { lowRank } from '../../examples/adding/low-rank';
import { split } from '../../examples/adding/split';
import { triangle } from '../../examples/adding/triangle';
import { upsample } from '../../examples/adding/upsample';
import { runAttack } from '../../src/attack/attack';
import { attacks } from '../../src/attack/attacks/registry';
import { hiddenBounds } from '../../src/bounds/linear';
import { activations } from '../../src/check/activations';
import { provenMargin } from '../../src/check/check';
import { fromArrays } from '../../src/data/arrays';
import { inputSet } from '../../src/domain/balls';
import { logits, predict } from '../../src/domain/classifier';
import { newPass, propagate } from '../../src/domain/domain';
import { ball, interval } from '../../src/domain/interval';
import { value } from '../../src/domain/value';
import { evaluate } from '../../src/evaluate/evaluate';
import { runners } from '../../src/evaluate/runners/registry';
import { readJournal } from '../../src/io/journal';
import { freezeSparsity } from '../../src/nn/freeze';
import { type Network, sequential } from '../../src/nn/graph';
import { layers } from '../../src/nn/layers/registry';
import { createModel, freeModel, type Model, modelFrom, operatorOf } from '../../src/nn/model';
import { leavesOf, parameterise } from '../../src/nn/training-model';
import { parseOptions } from '../../src/options';
import { compilePlan } from '../../src/plan/plan';
import { sparsityOf } from '../../src/prune/mask';
import { prune } from '../../src/prune/prune';
import { strategies } from '../../src/prune/strategies/registry';
import { parseConfig } from '../../src/recipe/config';
import { type Engine, load } from '../../src/runtime/engine';
import { mul, sub, sum } from '../../src/tensor/ops/core';
import { gradients } from '../../src/tensor/tape';
import { input, item, step, type Tensor } from '../../src/tensor/tensor';
import { trainStep } from '../../src/train/loop';
import { objectives } from '../../src/train/objectives/registry';
import { createOptimizer, freeOptimizer } from '../../src/train/optimizers';
import { branchingRules } from '../../src/verify/branching/registry';
import { verifiers } from '../../src/verify/verifiers/registry';
import { sampler } from '../helpers/random';
import { inTemporaryFolder } from '../recipe/temporary';

const added = [
  [layers, 'clipped-relu', clippedRelu],
  [layers, 'hard-mish', hardMish],
  [activations, 'hard-mish', () => hardMishCheck],
  [layers, 'upsample', upsample],
  [layers, 'low-rank', lowRank],
  [strategies, 'lamp', lamp],
  [objectives, 'ibp-hinge', ibpHinge],
  [attacks, 'corners', corners],
  [verifiers, 'split', split],
  [branchingRules, 'triangle', triangle],
  [runners, 'any-order', anyOrder],
] as const;

let engine: Engine;
beforeAll(async () => {
  // The one registry line of each example.
  for (const [registry, name, entry] of added) Object.assign(registry, { [name]: entry });
  engine = await load({ threads: 1 });
});
afterAll(() => {
  engine.close();
  for (const [registry, name] of added) Reflect.deleteProperty(registry, name);
});

const random = sampler(7);
const floats = (count: number, lo: number, hi: number): Float32Array =>
  Float32Array.from({ length: count }, () => random.real(lo, hi));

/** Values at the output for one input. */
const run = ({ graph, params }: Model, x: Float32Array): Float32Array =>
  step(engine, () =>
    propagate(graph, params, value, input(engine, x, [1, ...graph.network.input])).read(),
  );

describe('adding a layer', () => {
  const network: Network = {
    name: 'example',
    input: [2, 3, 3],
    nodes: [
      { name: 'conv', layer: 'conv2d', options: { channels: 3, kernel: 3, padding: 1 } },
      { name: 'clip', layer: 'clipped-relu', options: { max: 0.5 } },
      { name: 'up', layer: 'upsample', options: { factor: 2 } },
      { name: 'flat', layer: 'flatten' },
      { name: 'out', layer: 'dense', options: { units: 4 } },
    ],
  };

  it('works in the value and in the interval domain', () => {
    const model = createModel(engine, network, { seed: 3 });
    const image = floats(18, 0, 1);
    const [lo, hi] = step(engine, () => {
      const box = ball(input(engine, image, [1, 2, 3, 3]), 0.05, { sound: true });
      const out = propagate(model.graph, model.params, interval({ sound: true }), box);
      return [out.lo.read(), out.hi.read()];
    });
    for (let draw = 0; draw < 200; draw++) {
      const near = image.map((x) => Math.min(1, Math.max(0, x + random.real(-0.05, 0.05))));
      run(model, near).forEach((z, j) => {
        expect(z).toBeGreaterThanOrEqual(lo![j]!);
        expect(z).toBeLessThanOrEqual(hi![j]!);
      });
    }
    freeModel(model);
  });

  it('computes what it says: f against its f64 reference, gradients included', () => {
    const layer = clippedRelu.role === 'pointwise' ? clippedRelu : undefined;
    const o = parseOptions(clippedRelu.options, { max: 0.75 }, 'test') as never;
    const x = floats(64, -1, 2);
    const [y, g] = step(engine, () => {
      const t = input(engine, x, [64]);
      const { result, gradients: found } = gradients(engine, [t], () => {
        const out = layer!.f(t, o);
        return { loss: sum(out), out };
      });
      return [result.out.read(), found[0]!.read()];
    });
    x.forEach((at, i) => {
      expect(y![i]).toBe(layer!.scalar(at, o));
      expect(g![i]).toBe(at > 0 && at < 0.75 ? 1 : 0);
    });
  });

  it('relaxes to lines that hold the function', () => {
    const layer = clippedRelu.role === 'pointwise' ? clippedRelu : undefined;
    const o = parseOptions(clippedRelu.options, { max: 1 }, 'test') as never;
    for (let draw = 0; draw < 500; draw++) {
      const ends = [random.real(-2, 3), random.real(-2, 3)].sort((a, b) => a - b);
      const [lo, hi] = ends as [number, number];
      const [a, b, c, d] = layer!.relax(lo, hi, o);
      for (let i = 0; i <= 20; i++) {
        const x = lo + ((hi - lo) * i) / 20;
        expect(a * x + b).toBeLessThanOrEqual(layer!.scalar(x, o) + 1e-9);
        expect(c * x + d).toBeGreaterThanOrEqual(layer!.scalar(x, o) - 1e-9);
      }
    }
  });

  it('transposes: <A x, g> = <x, A^T g>', () => {
    const layer = upsample.role === 'affine' ? upsample : undefined;
    const o = parseOptions(upsample.options, {}, 'test') as never;
    const operator = layer!.operator({}, o, [3, 2, 2]);
    const [left, right] = step(engine, () => {
      const x = input(engine, floats(12, -1, 1), [1, 3, 2, 2]);
      const g = input(engine, floats(48, -1, 1), [1, 3, 4, 4]);
      const up = operator.apply(x);
      const back = operator.transpose(g);
      return [item(sum(mul(up, g))), item(sum(mul(x, back)))];
    });
    expect(left).toBeCloseTo(right!, 4);
  });
});

describe('adding an activation that falls and rises', () => {
  const network = sequential(
    'mish',
    [3],
    [
      ['dense', { units: 8 }],
      ['hard-mish'],
      ['dense', { units: 8 }],
      ['hard-mish'],
      ['dense', { units: 3 }],
    ],
  );
  const layer = hardMish.role === 'pointwise' ? hardMish : undefined;

  it('has the values, the range and the lines of its function', () => {
    const x = floats(200, -4, 2);
    const y = step(engine, () => layer!.f(input(engine, x, [200]), {}).read());
    x.forEach((at, i) => {
      const want = layer!.scalar(at, {});
      expect(Math.abs(y[i]! - want)).toBeLessThanOrEqual(4 * 2 ** -24 * Math.abs(want) + 1e-45);
    });
    for (let draw = 0; draw < 300; draw++) {
      const [lo, hi] = [random.real(-4, 2), random.real(-4, 2)].sort((a, b) => a - b) as [
        number,
        number,
      ];
      const [a, b, c, d] = layer!.relax(lo, hi, {});
      const ends = step(engine, () =>
        layer!.range!(input(engine, [lo], [1]), input(engine, [hi], [1]), {}).map((t) => item(t)),
      );
      for (let i = 0; i <= 20; i++) {
        const at = lo + ((hi - lo) * i) / 20;
        const value = layer!.scalar(at, {});
        expect(a * at + b).toBeLessThanOrEqual(value + 1e-9);
        expect(c * at + d).toBeGreaterThanOrEqual(value - 1e-9);
        expect(ends[0]!).toBeLessThanOrEqual(value + 1e-6);
        expect(ends[1]!).toBeGreaterThanOrEqual(value - 1e-6);
      }
    }
  });

  it('is certified by every verifier by bounds and by the checker, and attacks break nothing of that', () => {
    const model = createModel(engine, network, { seed: 4 });
    const images = floats(60, 0, 1);
    const z = step(engine, () => logits(model, input(engine, images, [20, 3])).read());
    const labels = Int32Array.from({ length: 20 }, (_, i) => {
      const own = [...z.subarray(3 * i, 3 * i + 3)];
      return own.indexOf(Math.max(...own));
    });
    const job = { model, images, labels, eps: 0.02 };
    const index = Int32Array.from(labels, (_, i) => i);
    const { broken } = runAttack(attacks.pgd!, pgdOptions, { ...job, index, seed: 1 });
    for (const name of ['interval', 'crown-ibp', 'crown', 'alpha-crown']) {
      const entry = verifiers[name]!;
      const found = entry.verify(job, parseOptions(entry.options, {}, name) as never);
      const certified = found.map(({ verdict }) => verdict === 'certified');
      expect(certified.filter(Boolean).length, name).toBeGreaterThan(2);
      certified.forEach((yes, i) => void expect(yes && broken[i] === 1).toBe(false));
      const method =
        name === 'interval'
          ? ({ name: 'interval' } as const)
          : ({ name: 'linear', intermediate: 'linear' } as const);
      const i = certified.indexOf(true);
      const centre = [...images.subarray(3 * i, 3 * i + 3)];
      const region = { kind: 'ball', centre, eps: 0.02, range: [0, 1] } as const;
      const property = { kind: 'label', label: labels[i]! } as const;
      const least = Math.min(
        ...[0, 1, 2]
          .filter((j) => j !== labels[i])
          .map((j) => z[3 * i + labels[i]!]! - z[3 * i + j]!),
      );
      expect(provenMargin({ region, property, method } as never, model)).toBeLessThanOrEqual(
        least + 1e-6,
      );
    }
    freeModel(model);
  });
});

describe('adding a linear operator', () => {
  const network = sequential(
    'n',
    [6],
    [['low-rank', { units: 5, rank: 2 }], ['relu'], ['low-rank', { units: 3, rank: 2 }]],
  );
  const weightsOf = (scale: number) => (name: string) => {
    const sizes: Readonly<Record<string, number>> = {
      ...{ 'low-rank1.down': 12, 'low-rank1.up': 10, 'low-rank1.bias': 5 },
      ...{ 'low-rank2.down': 10, 'low-rank2.up': 6, 'low-rank2.bias': 3 },
    };
    return floats(sizes[name]!, -scale, scale);
  };

  /** The outputs in double precision, which rounds 2^29 times less. */
  function exactly(model: Model, x: Float32Array): number[] {
    const of = (name: string): Float32Array => (model.params.get(name) as Tensor).read();
    const product = (w: Float32Array, from: readonly number[]): number[] =>
      Array.from({ length: w.length / from.length }, (_, r) =>
        from.reduce((sum, value, i) => sum + w[r * from.length + i]! * value, 0),
      );
    const layer = (name: string, from: readonly number[]): number[] => {
      const bias = of(`${name}.bias`);
      return product(of(`${name}.up`), product(of(`${name}.down`), from)).map(
        (v, i) => v + bias[i]!,
      );
    };
    return layer(
      'low-rank2',
      layer('low-rank1', [...x]).map((v) => Math.max(0, v)),
    );
  }

  it('computes its product, in the value domain and in plans', () => {
    const model = modelFrom(engine, network, weightsOf(1));
    const x = floats(6, 0, 1);
    const want = exactly(model, x);
    const plan = compilePlan(model, { batch: 1 });
    for (const got of [run(model, x), plan.run(x)])
      got.forEach((v, i) => void expect(v).toBeCloseTo(want[i]!, 5));
    plan.free();
    freeModel(model);
  });

  it('has bounds that hold what any point computes, by intervals and lines', () => {
    for (const scale of [1, 2 ** -60, 2 ** 20]) {
      const model = modelFrom(engine, network, weightsOf(scale));
      const [x, eps] = [floats(6, 0, 1), 0.1];
      const bounds = step(engine, () => {
        const set = inputSet(input(engine, x, [1, 6]), eps, { sound: true });
        const box = propagate(model.graph, model.params, interval({ sound: true }), set.box);
        const linear = hiddenBounds(model, set, { sound: true }).boxes.at(-1)!;
        return [box, linear].map(({ lo, hi }) => ({ lo: lo.read(), hi: hi.read() }));
      });
      for (let trial = 0; trial < 200; trial++) {
        const at = x.map((v) => Math.min(1, Math.max(0, v + random.real(-eps, eps))));
        const want = exactly(model, at);
        const got = run(model, at);
        for (const { lo, hi } of bounds)
          want.forEach((v, i) => {
            expect(Math.min(v, got[i]!)).toBeGreaterThanOrEqual(lo[i]!);
            expect(Math.max(v, got[i]!)).toBeLessThanOrEqual(hi[i]!);
          });
      }
      freeModel(model);
    }
  });

  it('proves nothing where a sum inside of it could overflow', () => {
    const huge = (name: string): Float32Array =>
      weightsOf(1)(name).map((w) => (name.endsWith('1.down') ? 2 ** 120 : w * 2 ** -100));
    const model = modelFrom(engine, network, huge);
    const hi = step(engine, () => {
      const box = ball(input(engine, floats(6, 0, 1), [1, 6]), 0.1, { sound: true });
      return propagate(model.graph, model.params, interval({ sound: true }), box).hi.read();
    });
    expect([...hi].every(Number.isNaN)).toBe(true);
    freeModel(model);
  });

  it('transposes, and its weights may be sparse', () => {
    const model = modelFrom(engine, network, (name) =>
      weightsOf(1)(name).map((w, i) => (name.endsWith('.bias') || i % 7 === 0 ? w : 0)),
    );
    const x = floats(6, 0, 1);
    const dense = run(model, x);
    const frozen = freezeSparsity(model);
    const node = frozen.graph.nodes[0]!;
    const [left, right] = step(engine, () => {
      const w = operatorOf(node, frozen.params);
      const [at, g] = [input(engine, x, [1, 6]), input(engine, floats(5, -1, 1), [1, 5])];
      const linear = sub(w.apply(at), w.bias!);
      return [item(sum(mul(linear, g))), item(sum(mul(at, w.transpose(g))))];
    });
    expect(left).toBeCloseTo(right!, 5);
    run(frozen as Model, x).forEach((v, i) => void expect(v).toBeCloseTo(dense[i]!, 5));
    freeModel(frozen);
  });
});

describe('adding a strategy', () => {
  it('prunes to the exact number of weights', async () => {
    const network = sequential(
      's',
      [20],
      [['dense', { units: 30 }], ['relu'], ['dense', { units: 5 }]],
    );
    const model = createModel(engine, network, { seed: 1 });
    await prune(model, strategies.lamp!, {}, { sparsity: 0.8, seed: 1 });
    const found = sparsityOf(model);
    expect(found.nonzero).toBe(750 - Math.round(0.8 * 750));
    // The small layer keeps a larger share than the large one.
    expect(found.layers[1]!.density).toBeGreaterThan(found.layers[0]!.density);
    freeModel(model);
  });
});

/** Two classes apart along the first of two inputs. */
function toy(count: number): { images: Float32Array; labels: Int32Array; index: Int32Array } {
  const labels = Int32Array.from({ length: count }, (_, i) => i % 2);
  const images = Float32Array.from({ length: 2 * count }, (_, at) =>
    at % 2 === 1
      ? random.real()
      : labels[at >> 1] === 1
        ? random.real(0.65, 1)
        : random.real(0, 0.35),
  );
  return { images, labels, index: Int32Array.from({ length: count }, (_, i) => i) };
}

const toyNetwork = sequential(
  'toy',
  [2],
  [['dense', { units: 16 }], ['relu'], ['dense', { units: 2 }]],
);

/** Trained by CC-IBP: also the test of the objective. */
function trained(steps: number): { model: Model; first: number; last: number } {
  const model = createModel(engine, toyNetwork, { seed: 5, init: 'interval' });
  const options = { optimizer: 'adam', weightDecay: 0, momentum: 0.9, gradientClip: 10 } as const;
  const training = parameterise(model);
  const optimizer = createOptimizer(leavesOf(training), options);
  const config = parseConfig({ objective: { name: 'ibp-hinge', eps: 0.1 } }, 'test');
  const batch = toy(64);
  const job = {
    ...{
      model: training,
      optimizer,
      objective: objectives['ibp-hinge']!,
      options: config.objective,
    },
    ...{ seed: 1, epoch: 0, epochs: 1, ramp: false, batches: 1 },
    ...{ batch: () => batch, rate: () => 0.02, after: async () => false },
  };
  const losses = Array.from({ length: steps }, () => trainStep(job, batch, 0).loss);
  freeOptimizer(optimizer);
  return { model, first: losses[0]!, last: losses.at(-1)! };
}

describe('adding an objective', () => {
  it('trains to certified robustness, chosen by a config', () => {
    const { model, first, last } = trained(150);
    expect(last).toBeLessThan(first / 2);
    const options = parseOptions(ibpHinge.options, { eps: 0.1 }, 'test');
    const robust = ibpHinge.robust({ model, seed: 1, ...toy(100) }, options as never);
    expect(robust.reduce((a, b) => a + b, 0)).toBeGreaterThan(80);
    freeModel(model);
  });

  it('is at rest where more than the wanted margin is proven', () => {
    const { model } = trained(150);
    const batch = toy(8);
    const lossAt = (margin: number): number =>
      step(engine, () => {
        const x = input(engine, batch.images, [8, 2]);
        const context = { model, x, ...batch, seed: 1, epoch: 0, epochs: 1, ramp: false };
        const options = { eps: 0.01, margin, kappa: 0 };
        return item(ibpHinge.loss({ ...context, pass: newPass() }, options).loss);
      });
    expect(lossAt(0.001)).toBeCloseTo(0, 6);
    expect(lossAt(100)).toBeGreaterThan(1);
    freeModel(model);
  });
});

describe('adding an attack', () => {
  it('stays inside the ball and breaks what is easy to break', () => {
    const { model } = trained(60);
    const batch = toy(40);
    const job = { model, ...batch, seed: 1, eps: 0.5 };
    const { broken } = runAttack(attacks.corners!, { tries: 50 }, job);
    const clean = runAttack(attacks.corners!, { tries: 1 }, { ...job, eps: 1e-6 });
    const count = (b: Uint8Array): number => b.reduce((x, y) => x + y, 0);
    expect(count(broken)).toBeGreaterThan(count(clean.broken));
    const again = runAttack(attacks.corners!, { tries: 50 }, job);
    expect(again.images).toEqual(runAttack(attacks.corners!, { tries: 50 }, job).images);
    freeModel(model);
  });
});

describe('adding a verifier', () => {
  it('proves more than intervals alone, and nothing that an attack breaks', () => {
    const { model } = trained(60);
    const batch = toy(60);
    const job = { model, ...batch, eps: 0.16 };
    const certified = (name: string, options: object) =>
      verifiers[name]!.verify(
        job,
        parseOptions(verifiers[name]!.options, options, name) as never,
      ).map(({ verdict }) => verdict === 'certified');
    const whole = certified('interval', {});
    const parts = certified('split', { splits: 8 });
    const count = (list: boolean[]): number => list.filter(Boolean).length;
    expect(count(parts)).toBeGreaterThan(count(whole));
    whole.forEach((sure, i) => {
      if (sure) expect(parts[i]).toBe(true);
    });
    const { broken } = runAttack(attacks.pgd!, pgdOptions, { ...job, seed: 1 });
    parts.forEach((sure, i) => {
      if (sure) expect(broken[i]).toBe(0);
    });
    freeModel(model);
  });

  it('shows a witness of what it refutes', () => {
    // z_1 - z_0 = 2 x - 1: the label 0 holds left of 0.5.
    const network = sequential('line', [1], [['dense', { units: 2 }]]);
    const weights: Record<string, number[]> = { 'dense1.weight': [0, 2], 'dense1.bias': [1, 0] };
    const model = modelFrom(engine, network, (name) => weights[name]!);
    const job = {
      model,
      images: Float32Array.of(0.4, 0.2),
      labels: Int32Array.of(0, 0),
      eps: 0.25,
    };
    const [first, second] = verifiers.split!.verify(job, { splits: 6 } as never);
    expect(second!.verdict).toBe('certified');
    expect(first!.verdict).toBe('falsified');
    if (first!.verdict !== 'falsified') return;
    const [x] = first!.witness;
    expect(Math.abs(x! - 0.4)).toBeLessThanOrEqual(0.25 + 1e-7);
    const z = step(engine, () => logits(model, input(engine, [x!], [1, 1])).read());
    expect(z[1]!).toBeGreaterThan(z[0]!);
    freeModel(model);
  });
});

describe('adding a branching rule', () => {
  it('decides samples of many inputs that bounds leave open, by its name in an option', () => {
    const chain = [5, 5, 5].flatMap((units) => [['dense', { units }], ['relu']] as const);
    const network = sequential('n', [20], [...chain, ['dense', { units: 2 }]]);
    const seen = { crown: 0, triangle: 0 };
    for (let seed = 0; seed < 2; seed++) {
      const model = createModel(engine, network, { seed });
      const images = floats(300, 0, 1);
      const labels = step(engine, () => predict(model, input(engine, images, [15, 20])));
      const job = { model, images, labels, eps: 0.15 };
      const verdicts = (name: string, options: object) => {
        const entry = verifiers[name]!;
        return entry.verify(job, parseOptions(entry.options, options, name) as never);
      };
      const before = verdicts('crown', {});
      const after = verdicts('input-splitting', { branching: 'triangle', nodes: 100 });
      const index = Int32Array.from(labels, (_, i) => i);
      const { broken } = runAttack(attacks.pgd!, pgdOptions, { ...job, index, seed: 1 });
      after.forEach(({ verdict }, i) => {
        if (before[i]!.verdict === 'certified') seen.crown++;
        if (verdict === 'certified') seen.triangle++;
        expect(verdict === 'certified' && broken[i] === 1).toBe(false);
      });
      freeModel(model);
    }
    expect(seen.triangle).toBeGreaterThan(seen.crown);
  });

  it('is looked up by name, and a wrong one is said', () => {
    const model = createModel(engine, toyNetwork, { seed: 1 });
    const { images, labels } = toy(1);
    const ask = () =>
      verifiers['input-splitting']!.verify(
        { model, images, labels, eps: 0.4 },
        parseOptions(
          verifiers['input-splitting']!.options,
          { branching: 'triangel' },
          'v',
        ) as never,
      );
    expect(ask).toThrow(/branching: expected one of .*triangle, got "triangel"/);
    freeModel(model);
  });
});

describe('adding a runner', () => {
  it('lets two that know nothing of each other share a folder, with the results of one', () =>
    inTemporaryFolder(async (file) => {
      const { model } = trained(60);
      const { images, labels } = toy(300);
      const bytes = Uint8Array.from(images, (x) => Math.round(255 * x));
      const split = { images: bytes, labels: Uint8Array.from(labels) };
      const shape = [1, 1, 2] as const;
      const classes = ['0', '1'];
      const set = await fromArrays({ name: 'toy', shape, classes, train: split, test: split });
      const settings = {
        ...{ eps: 0.1, attack: { name: 'pgd' }, attackLimit: null },
        ...{ verifier: { name: 'interval' }, verifyLimit: null, batch: 20 },
      };
      const alone = await evaluate(model, set, set.test, settings);
      const other = await load({ threads: 1 });
      const copy = modelFrom(other, model.graph.network, (name) => model.params.get(name)!.read());
      const by = (own: Model, writer: number) =>
        evaluate(own, set, set.test, settings, {
          runner: { name: 'any-order', lot: writer },
          folder: { dir: file('d'), identity: 'toy', writer },
        });
      const both = await Promise.all([by(model, 1), by(copy, 2)]);
      for (const { accuracies, samples, contradictions } of both) {
        expect(accuracies).toEqual(alone.accuracies);
        expect(samples).toEqual(alone.samples);
        expect(contradictions).toBe(0);
      }
      const lines = await Promise.all(
        [1, 2].map(async (writer) => {
          const names = await readdir(file('d'));
          return readJournal(file(`d/${names.find((name) => name.endsWith(`-${writer}.jsonl`))}`));
        }),
      );
      for (const one of lines) expect(one.length).toBeGreaterThan(0);
      expect(lines.flat().length).toBeLessThan(2 * 15);
      freeModel(model);
      other.close();
    }));
});

const pgdOptions = { steps: 20, restarts: 1, stepSize: null, norm: 'linf', randomStart: true };
