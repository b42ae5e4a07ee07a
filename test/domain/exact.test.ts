/**
 * Sound bounds contain the exact ones, computed with whole numbers, and whatever any order of
 * summation, fused or not, makes of a point: for weights that span 1e-8 to 1e8 and cancel.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { interval } from '../../src/domain/interval';
import { intervalMargins } from '../../src/domain/rows';
import { sequential } from '../../src/nn/graph';
import { modelFrom } from '../../src/nn/model';
import { compileIntervalPlan } from '../../src/plan/interval-plan';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { boxAround, pointsIn } from '../helpers/boxes';
import { expectInside } from '../helpers/close';
import { binaries } from '../helpers/engine';
import {
  type DenseWeights,
  dense,
  exact,
  execution,
  isBelow,
  margin,
  relu,
} from '../helpers/exact';
import { type Nd, nd } from '../helpers/nd';
import { type Sampler, sampler } from '../helpers/random';
import { rowsOf } from '../helpers/reference';
import type { BoxNd } from '../helpers/reference-network';

type Draw = (random: Sampler, shape: readonly number[]) => Nd;

/** Pairs that cancel: every odd weight is minus the one before it, changed in its last bits. */
const cancelling: Draw = (random, shape) => {
  const w = random.spread(shape, -3, 8);
  w.data.forEach((value, i) => {
    if (i % 2)
      w.data[i] = Math.fround(-w.data[i - 1]! * (1 + random.real(0, 4) * 2 ** -23) + value * 1e-9);
  });
  return nd(shape, Float32Array.from(w.data));
};

const between =
  (lo: number, hi: number): Draw =>
  (random, shape) =>
    random.array(shape, lo, hi);
const spread =
  (low: number, high: number): Draw =>
  (random, shape) =>
    random.spread(shape, low, high);

interface Family {
  readonly weight: Draw;
  readonly bias?: Draw;
  readonly input?: Draw;
  /** What the widths of boxes are multiplied with. */
  readonly unit?: number;
}

const FAMILIES: Readonly<Record<string, Family>> = {
  'ordinary weights': { weight: between(-1, 1) },
  'sizes 1e-8 to 1e8': { weight: spread(-8, 8) },
  'cancelling pairs': { weight: cancelling },
  'denormal products': { weight: spread(-26, -16), input: spread(-26, -16), unit: 1e-20 },
  // Each product is below half the smallest denormal, so all of them round to 0.
  'products that vanish': {
    weight: (random, shape) => {
      const { data } = random.array(shape, 0.6, 0.69);
      // Rows of weights of size 1, 0 and -1, so that differences of rows do not vanish.
      const sign = (i: number): number => 1 - (Math.floor(i / shape[1]!) % 3);
      return nd(
        shape,
        data.map((v, i) => Math.fround(v * sign(i) * 2 ** -75)),
      );
    },
    bias: between(0, 0),
    input: between(0.6 * 2 ** -74, 0.69 * 2 ** -74),
    unit: 1e-40,
  },
  // Each product is below half an ulp of the bias, so added to it all of them are lost.
  'small terms beside a large bias': {
    weight: between(0.3 * 2 ** -3, 0.45 * 2 ** -3),
    bias: between(2 ** 20, 1.1 * 2 ** 20),
    input: between(0.9, 1),
  },
};
const WIDTHS = [0, 1e-9, 1e-4, 1];
const FEATURES = [1, 2, 9, 300];

interface Case {
  /** One or two dense layers, relu between them. */
  readonly layers: readonly DenseWeights[];
  readonly box: BoxNd;
}

function draw(
  { weight, bias = weight, input: centre = between(-1, 1), unit = 1 }: Family,
  sizes: readonly number[],
  width: number,
  random: Sampler,
): Case {
  const layers = sizes.slice(1).map((units, i) => ({
    weight: rowsOf(weight(random, [units, sizes[i]!])),
    bias: [...bias(random, [units]).data],
  }));
  return { layers, box: boxAround(centre(random, [1, sizes[0]!]), width * unit) };
}

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 1 });
  });
  afterAll(() => engine.close());

  it.each(Object.keys(FAMILIES))('%s', (name) => {
    const random = sampler(61);
    for (const features of FEATURES)
      for (const sizes of [
        [features, 3],
        [features, 5, 3],
      ])
        for (const width of WIDTHS)
          for (let round = 0; round < 2; round++)
            check(draw(FAMILIES[name]!, sizes, width, random), random);
  });

  function check({ layers, box }: Case, random: Sampler): void {
    const chain = layers.map(({ bias }) => ['dense', { units: bias.length }] as const);
    const network = sequential(
      'n',
      [box.lo.data.length],
      chain.length > 1 ? [chain[0]!, ['relu'], chain[1]!] : chain,
    );
    const flat = new Map(
      layers.flatMap(({ weight, bias }, i) => [
        [`dense${i + 1}.weight`, weight.flat()],
        [`dense${i + 1}.bias`, bias],
      ]),
    );
    const last = layers.at(-1)!;
    const start = Array.from(box.lo.data, (lo, i) => ({
      lo: exact(lo),
      hi: exact(box.hi.data[i]!),
    }));
    const before = layers.slice(0, -1).reduce((x, layer) => relu(dense(layer, x)), start);
    const expected = dense(last, before);
    step(engine, () => {
      const model = modelFrom(engine, network, (key) => flat.get(key) as number[]);
      const at = {
        lo: input(engine, box.lo.data, box.lo.shape),
        hi: input(engine, box.hi.data, box.hi.shape),
      };
      const bounds = propagate(model.graph, model.params, interval({ sound: true }), at);
      const [lo, hi] = [bounds.lo.read(), bounds.hi.read()];
      expected.forEach((e, i) => {
        expect(isBelow(exact(lo[i]!), e.lo), `lower ${i}: ${lo[i]}`).toBe(true);
        expect(isBelow(e.hi, exact(hi[i]!)), `upper ${i}: ${hi[i]}`).toBe(true);
      });
      // A plan's box in front of the last layer, where it does not refuse.
      const plan = compileIntervalPlan(model, { lanes: 2, sound: true });
      const front = plan.run(at);
      if (front) {
        const [low, high] = [front.lo.read(), front.hi.read()];
        before.forEach((e, i) => {
          expect(isBelow(exact(low[i]!), e.lo), `planned lower ${i}: ${low[i]}`).toBe(true);
          expect(isBelow(e.hi, exact(high[i]!)), `planned upper ${i}: ${high[i]}`).toBe(true);
        });
      }
      expect(front === undefined).toBe(lo.some(Number.isNaN));
      plan.free();
      const points = rowsOf(pointsIn(box, 6, random));
      const rectified = (layer: DenseWeights, x: readonly number[]): number[] =>
        execution(layer, x, random).map((v) => Math.max(v, 0));
      const outputs = points.map((x) => {
        const inner = layers.slice(0, -1).reduce((h, layer) => rectified(layer, h), x);
        return execution(last, inner, random);
      });
      for (const z of outputs) expectInside(z, lo, hi, 'any order');
      for (const y of [0, 1, 2]) {
        const margins = intervalMargins(model.graph, model.params, at, [y], { sound: true }).read();
        for (const j of [0, 1, 2].filter((other) => other !== y)) {
          const truth = margin(last, before, y, j);
          expect(isBelow(exact(margins[j]!), truth), `margin ${y} ${j}: ${margins[j]}`).toBe(true);
          for (const z of outputs) expect(z[y]! - z[j]!).toBeGreaterThanOrEqual(margins[j]!);
        }
      }
    });
  }
});
