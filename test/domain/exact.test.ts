/**
 * Sound bounds contain the exact ones, computed with whole numbers, and whatever any order of
 * summation, fused or not, makes of a point: for weights that span 1e-8 to 1e8 and cancel.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { interval, intervalMargins } from '../../src/domain/interval';
import { sequential } from '../../src/nn/graph';
import { modelFrom } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { boxAround, pointsIn } from '../helpers/boxes';
import { expectInside } from '../helpers/close';
import { binaries } from '../helpers/engine';
import { type DenseWeights, dense, exact, isBelow, margin, relu } from '../helpers/exact';
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

const DRAWS: Readonly<Record<string, Draw>> = {
  'ordinary weights': (random, shape) => random.array(shape),
  'sizes 1e-8 to 1e8': (random, shape) => random.spread(shape, -8, 8),
  'cancelling pairs': cancelling,
  'denormal products': (random, shape) => random.spread(shape, -26, -16),
};
const WIDTHS = [0, 1e-9, 1e-4, 1];
const FEATURES = [1, 2, 9, 300];

interface Case {
  readonly layers: readonly DenseWeights[];
  readonly box: BoxNd;
}

function draw(name: string, features: number, width: number, random: Sampler): Case {
  const of = DRAWS[name]!;
  const sizes = [features, 5, 3];
  const layers = sizes.slice(1).map((units, i) => ({
    weight: rowsOf(of(random, [units, sizes[i]!])),
    bias: [...of(random, [units]).data],
  }));
  const small = name === 'denormal products';
  const centre = small
    ? random.spread([1, features], -26, -16)
    : random.array([1, features], -1, 1);
  return { layers, box: boxAround(centre, small ? width * 1e-20 : width) };
}

/** One dense layer and relu from a point, summed in a random order, at random fused. */
function run({ weight, bias }: DenseWeights, x: readonly number[], random: Sampler): number[] {
  return weight.map((w, u) => {
    const terms = w.map((v, i) => [v, x[i]!] as const).concat([[bias[u]!, 1]]);
    terms.sort(() => random.real() - 0.5);
    const fused = random.real() < 0.5;
    return terms.reduce(
      (sum, [a, b]) => Math.fround((fused ? a * b : Math.fround(a * b)) + sum),
      0,
    );
  });
}

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 1 });
  });
  afterAll(() => engine.close());

  it.each(Object.keys(DRAWS))('%s', (name) => {
    const random = sampler(61);
    for (const features of FEATURES)
      for (const width of WIDTHS)
        for (let round = 0; round < 3; round++) check(draw(name, features, width, random), random);
  });

  function check({ layers, box }: Case, random: Sampler): void {
    const [first, second] = layers as [DenseWeights, DenseWeights];
    const features = box.lo.data.length;
    const network = sequential(
      'n',
      [features],
      [['dense', { units: 5 }], ['relu'], ['dense', { units: 3 }]],
    );
    const flat: Readonly<Record<string, readonly number[]>> = {
      'dense1.weight': first.weight.flat(),
      'dense1.bias': first.bias,
      'dense2.weight': second.weight.flat(),
      'dense2.bias': second.bias,
    };
    const hidden = relu(
      dense(
        first,
        [...box.lo.data].map((lo, i) => ({ lo: exact(lo), hi: exact(box.hi.data[i]!) })),
      ),
    );
    const expected = dense(second, hidden);
    step(engine, () => {
      const model = modelFrom(engine, network, (key) => flat[key]!);
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
      const points = rowsOf(pointsIn(box, 6, random));
      const outputs = points.map((x) =>
        run(
          second,
          run(first, x, random).map((v) => Math.max(v, 0)),
          random,
        ),
      );
      for (const z of outputs) expectInside(z, lo, hi, 'any order');
      for (const y of [0, 1, 2]) {
        const margins = intervalMargins(model.graph, model.params, at, [y], { sound: true }).read();
        for (const j of [0, 1, 2].filter((other) => other !== y)) {
          const truth = margin(second, hidden, y, j);
          expect(isBelow(exact(margins[j]!), truth), `margin ${y} ${j}: ${margins[j]}`).toBe(true);
          for (const z of outputs) expect(z[y]! - z[j]!).toBeGreaterThanOrEqual(margins[j]!);
        }
      }
    });
  }
});
