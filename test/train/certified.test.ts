/**
 * Certified objectives against plain float64 implementations (helpers/certified64.ts): the loss, and its
 * gradient against central differences of the reference; while the radius grows and at the full one, of dense
 * and of pruned networks.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newPass } from '../../src/domain/domain';
import { sequential } from '../../src/nn/graph';
import { createModel, prunableNames } from '../../src/nn/model';
import { plainData } from '../../src/nn/parameterisation';
import {
  freeTraining,
  leavesOf,
  modelInStep,
  parameterise,
  type TrainingModel,
} from '../../src/nn/training-model';
import { type Options, parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { gradients } from '../../src/tensor/tape';
import { input, item, step } from '../../src/tensor/tensor';
import { attackedPoint } from '../../src/train/adversary';
import type { LossContext } from '../../src/train/objective';
import { objectives } from '../../src/train/objectives/registry';
import {
  type Box64,
  ball64,
  entropy64,
  fused64,
  instabilities64,
  intervalMargins64,
  intervals64,
  linearHidden64,
  linearMargins64,
  logits64,
  meanOf,
  type Net64,
  warmUp64,
  worst64,
  zonotope64,
} from '../helpers/certified64';
import { expectClose } from '../helpers/close';
import { sampler } from '../helpers/random';

const SIZES = [6, 7, 6, 4];
const NETWORK = sequential('small', [1, 2, 3], [
  ['flatten'],
  ...([7, 6] as const).flatMap((units) => [['dense', { units }], ['relu']] as const),
  ['dense', { units: 4 }],
] as never);
const N = 5;
const EPOCHS = 10;

interface Sample {
  readonly x: readonly number[];
  readonly label: number;
  /** What the attack found. */
  readonly attacked: readonly number[];
}

interface Reference {
  /** Loss of the batch, and hidden boxes by sample. */
  readonly loss: number;
  readonly hidden: readonly (readonly Box64[])[];
}

type Robust64 = (net: Net64, samples: readonly Sample[], radius: number, left: number) => Reference;

/** A robust loss that is a mean over samples. */
const ofEach =
  (
    one: (net: Net64, s: Sample, radius: number, left: number) => { loss: number; hidden: Box64[] },
  ): Robust64 =>
  (net, samples, radius, left) => {
    const all = samples.map((s) => one(net, s, radius, left));
    return { loss: meanOf(all.map(({ loss }) => loss)), hidden: all.map(({ hidden }) => hidden) };
  };

const byIntervals = (loss: (proven: number[], s: Sample, net: Net64) => number) =>
  ofEach((net, s, radius) => {
    const box = ball64(s.x, radius);
    const proven = intervalMargins64(net, box, s.label);
    return { loss: loss(proven, s, net), hidden: intervals64(net, box) };
  });

const byDual =
  (meet: boolean): Robust64 =>
  (net, samples, radius) => {
    const firsts = samples.map(({ x }) => ball64(x, radius));
    const all = linearHidden64(net, firsts, 'parallel', meet);
    const losses = samples.map(({ label }, i) => {
      const by = { hidden: all[i]!, slopes: 'parallel' } as const;
      return worst64(linearMargins64(net, firsts[i]!, by, label), label);
    });
    return { loss: meanOf(losses), hidden: all };
  };

const byZonotope = (errors: 'exact' | 'hybrid'): Robust64 =>
  ofEach((net, { x, label }, radius) => {
    const { margins, hidden } = zonotope64(net, ball64(x, radius), label, errors);
    return { loss: worst64(margins, label), hidden };
  });

const crown = (fused: boolean, end: number): Robust64 =>
  ofEach((net, { x, label }, radius, left) => {
    const beta = end + (1 - end) * left;
    const first = ball64(x, radius);
    const hidden = intervals64(net, first);
    const intervals = intervalMargins64(net, first, label);
    const lines = linearMargins64(net, first, { hidden, slopes: 'adaptive' }, label);
    const margins = lines.map((m, j) => beta * m + (1 - beta) * intervals[j]!);
    return { loss: fused ? fused64(net, first, label, beta) : worst64(margins, label), hidden };
  });

const entropyAt = (net: Net64, s: Sample): number => entropy64(logits64(net, s.attacked), s.label);
const ALPHA = 0.3;

const TABLE: readonly (readonly [name: string, options: Options, robust: Robust64])[] = [
  ['ibp', {}, byIntervals((proven, { label }) => worst64(proven, label))],
  ['crown-ibp', { beta: 0.4 }, crown(false, 0.4)],
  ['crown-ibp', {}, crown(false, 0)],
  ['crown-ibp', { beta: 1, fused: true }, crown(true, 1)],
  ['crown-ibp', { beta: 0.4, fused: true, kappa: 0.2 }, crown(true, 0.4)],
  [
    'mtl-ibp',
    { alpha: ALPHA },
    byIntervals(
      (proven, s, net) => (1 - ALPHA) * entropyAt(net, s) + ALPHA * worst64(proven, s.label),
    ),
  ],
  [
    'cc-ibp',
    { alpha: ALPHA, attackFactor: 1.5 },
    byIntervals((proven, s, net) => {
      const z = logits64(net, s.attacked);
      const mixed = proven.map((m, j) => (1 - ALPHA) * (z[s.label]! - z[j]!) + ALPHA * m);
      return worst64(mixed, s.label);
    }),
  ],
  [
    'exp-ibp',
    { alpha: ALPHA, steps: 2 },
    (net, samples, radius) => {
      const boxes = samples.map(({ x }) => ball64(x, radius));
      const attacked = meanOf(samples.map((s) => entropyAt(net, s)));
      const proven = meanOf(
        samples.map(({ label }, i) => worst64(intervalMargins64(net, boxes[i]!, label), label)),
      );
      return {
        loss: attacked ** (1 - ALPHA) * proven ** ALPHA,
        hidden: boxes.map((box) => intervals64(net, box)),
      };
    },
  ],
  [
    'small-box',
    { lambda: 0.4 },
    ofEach((net, { x, label, attacked }, radius) => {
      const inner = 0.4 * radius;
      const room = radius - inner;
      const centre = attacked.map((v, i) =>
        Math.min(1, Math.max(0, Math.min(x[i]! + room, Math.max(x[i]! - room, v)))),
      );
      const box = ball64(centre, inner);
      return {
        loss: worst64(intervalMargins64(net, box, label), label),
        hidden: intervals64(net, box),
      };
    }),
  ],
  ['mixtrain', { samples: N, share: 1 }, byDual(true)],
  ['dual', { samples: null, kappaStart: 0, kappa: 0 }, byDual(false)],
  ['dual', { samples: N, hidden: 'unstable' }, byDual(true)],
  ['zonotope', { samples: null }, byZonotope('hybrid')],
  ['zonotope', { samples: null, errors: 'exact' }, byZonotope('exact')],
];

const TERMS = { stability: 0.02, normalisedStability: 0.3, l1: 0.01, lastLayer: 0.02 };

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const random = sampler(11);
const IMAGES = Float32Array.from({ length: N * 6 }, () => random.real(0, 1));
const LABELS = Int32Array.from({ length: N }, (_, i) => i % 4);
const INDEX = Int32Array.from({ length: N }, (_, i) => 10 + i);

/** Shares of the weights that stay: of `sparse` so few that products go over them. */
const DENSITIES = { dense: 1, pruned: 0.6, sparse: 0.2 };

/** The small network, its biases other than 0. */
function modelOf(kind: keyof typeof DENSITIES): TrainingModel {
  const draws = sampler(3);
  const model = createModel(engine, NETWORK, { seed: 4, init: 'kaiming' });
  for (const [name, t] of model.params)
    if (!prunableNames(model.graph).includes(name))
      t.write(Float32Array.from({ length: t.size }, () => draws.real(-0.1, 0.1)));
  if (kind === 'dense') return parameterise(model);
  const how = prunableNames(model.graph).map((name) => {
    const weight = model.params.get(name)!.read();
    const mask = Uint8Array.from(weight, () => Number(draws.real(0, 1) < DENSITIES[kind]));
    return [name, plainData(weight, mask)] as const;
  });
  return parameterise(model, new Map(how));
}

/** Layers of float64 from parameter values in the order of the graph, weights row by row. */
function netOf(values: readonly (readonly number[])[]): Net64 {
  return SIZES.slice(1).map((outputs, l) => {
    const inputs = SIZES[l]!;
    const [w, b] = [values[2 * l]!, values[2 * l + 1]!];
    return {
      w: Array.from({ length: outputs }, (_, i) => w.slice(i * inputs, (i + 1) * inputs)),
      b,
    };
  });
}

interface Case {
  readonly robust: Robust64;
  readonly options: Options;
  /** Share of the full radius. */
  readonly share: number;
  /** Weight of the clean loss. */
  readonly kappa: number;
}

function total64(net: Net64, samples: readonly Sample[], c: Case): number {
  const o = c.options as Record<string, number>;
  const radius = o.eps! * o.factor! * c.share;
  const clean = meanOf(samples.map(({ x, label }) => entropy64(logits64(net, x), label)));
  const { loss, hidden } = c.robust(net, samples, radius, 1 - c.share);
  const unstable = instabilities64(hidden);
  const norm = (layers: Net64): number =>
    layers.flatMap(({ w }) => w.flat()).reduce((sum, v) => sum + Math.abs(v), 0);
  const first = samples.map(({ x }) => ball64(x, radius));
  return (
    c.kappa * clean +
    (1 - c.kappa) * loss +
    o.regularise! * (1 - c.share) * warmUp64(first, hidden, o.tau!) +
    (o.stability! * unstable.reduce((a, b) => a + b, 0)) / N +
    o.normalisedStability! * meanOf(unstable) +
    o.l1! * norm(net) +
    o.lastLayer! * norm(net.slice(-1))
  );
}

const kappaOf = (name: string, o: Record<string, number>, share: number): number => {
  // Half way up no epoch has passed at the full radius yet.
  if (name === 'mixtrain') return 1 / (1 + (share < 1 ? o.weight! : o.most!));
  return o.kappaStart! + (o.kappa! - o.kappaStart!) * share;
};

describe.each(TABLE)('%s %j', (name, given, robust) => {
  const objective = objectives[name]!;

  it.each([
    ['while the radius grows', 2, 'dense'],
    ['while the radius grows', 2, 'pruned'],
    ['at the full radius', undefined, 'dense'],
    ['at the full radius', undefined, 'pruned'],
    ['at the full radius', undefined, 'sparse'],
  ] as const)('%s, epoch %s, %s', (_, epoch, kind) => {
    const options = parseOptions(
      objective.options,
      { eps: 0.06, rampStart: 0, rampEnd: 0.4, ...TERMS, ...given },
      name,
    ) as Record<string, number>;
    const share = epoch === undefined ? 1 : epoch / (0.4 * EPOCHS);
    const model = modelOf(kind);
    const leaves = leavesOf(model);
    const places = [...model.parameters.values()].map((p) => [
      ...(p.pattern?.places() ?? p.tensors.values!.read().keys()),
    ]);
    const found = step(engine, () => {
      const x = input(engine, IMAGES, [N, 1, 2, 3]);
      const pass = newPass({ key: { seed: 1, stream: 5, index: INDEX } });
      const when = { seed: 1, epoch: epoch ?? 0, epochs: EPOCHS, ramp: epoch !== undefined };
      const context = (): LossContext => ({
        ...{ model: modelInStep(model), x, labels: LABELS, index: INDEX, pass },
        ...when,
      });
      const { result, gradients: g } = gradients(
        engine,
        leaves.map(({ tensor }) => tensor),
        () => objective.loss(context(), options as never),
      );
      const radius = options.eps! * options.factor! * share * (options.attackFactor ?? 1);
      const steps = { steps: options.steps ?? 1, stepSize: null };
      const attacked = attackedPoint(context(), { eps: radius, norm: 'linf' }, steps).read();
      return { loss: item(result.loss), gradients: g.map((t) => t.read()), attacked };
    });
    const samples = Array.from({ length: N }, (_, i): Sample => {
      const part = (all: Float32Array): number[] => [...all.subarray(6 * i, 6 * i + 6)];
      return { x: part(IMAGES), label: LABELS[i]!, attacked: part(found.attacked) };
    });
    const kept = leaves.map(({ tensor }) => [...tensor.read()]);
    const whole = (values: readonly (readonly number[])[]): Net64 =>
      netOf(
        values.map((own, p) => {
          const all = new Array<number>(SHAPES[p]!).fill(0);
          places[p]!.forEach((place, i) => {
            all[place] = own[i]!;
          });
          return all;
        }),
      );
    const c = { robust, options, share, kappa: kappaOf(name, options, share) };
    const at = (p: number, i: number, d: number): number =>
      total64(
        whole(kept.map((own, q) => own.map((v, k) => (p === q && i === k ? v + d : v)))),
        samples,
        c,
      );
    expect(found.loss).toBeCloseTo(total64(whole(kept), samples, c), 4);
    const h = 1e-6;
    kept.forEach((own, p) => {
      const differences = own.map((_, i) => (at(p, i, h) - at(p, i, -h)) / (2 * h));
      expectClose(found.gradients[p]!, differences, { rel: 1e-3, abs: 2e-4 }, leaves[p]!.name);
    });
    freeTraining(model);
  });
});

/** Entries of the parameters, in order. */
const SHAPES = SIZES.slice(1).flatMap((outputs, l) => [outputs * SIZES[l]!, outputs]);
