/**
 * Sound linear bounds against exact arithmetic on rational numbers: the textbook's walk over the same
 * boxes of hidden values, for weights that break float arithmetic; and `lowerDot` by itself.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hiddenBounds, lowerBounds } from '../../src/bounds/linear';
import type { Slopes } from '../../src/bounds/relaxations';
import { roundDown, roundUp } from '../../src/domain/rounding';
import { sequential } from '../../src/nn/graph';
import { freeModel, modelFrom } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { lowerDot } from '../../src/tensor/ops/rows';
import { input, step } from '../../src/tensor/tensor';
import { boxAround } from '../helpers/boxes';
import { binaries } from '../helpers/engine';
import {
  type Fraction,
  fraction,
  isAtMost,
  over,
  plus,
  sign,
  times,
  ZERO,
} from '../helpers/fraction';
import { type Nd, nd } from '../helpers/nd';
import { type Sampler, sampler } from '../helpers/random';

type Draw = (random: Sampler, shape: readonly number[]) => Nd;
const FAMILIES: Readonly<Record<string, Draw>> = {
  ordinary: (random, shape) => random.array(shape),
  'sizes 1e-8 to 1e8': (random, shape) => random.spread(shape, -8, 8),
  // Every odd weight is minus the one before it, changed in its last bits.
  'cancelling pairs': (random, shape) => {
    const { data } = random.spread(shape, -3, 4);
    data.forEach((w, i) => {
      if (i % 2) data[i] = Math.fround(-data[i - 1]! * (1 + random.whole(5) * 2 ** -23) + w * 1e-9);
    });
    return nd(shape, Float32Array.from(data));
  },
  denormal: (random, shape) => random.spread(shape, -24, -18),
};

/** [units][features] in fractions. */
const table = ({ shape, data }: Nd): Fraction[][] =>
  Array.from({ length: shape[0]! }, (_, i) =>
    Array.from(data.subarray(i * shape[1]!, (i + 1) * shape[1]!), fraction),
  );

interface Ends {
  readonly lo: ArrayLike<number>;
  readonly hi: ArrayLike<number>;
}

/** a relu: the exact lines over an exact box. */
function throughRelu(a: readonly Fraction[], d: Fraction, { lo, hi }: Ends, slopes: Slopes) {
  let offset = d;
  const back = a.map((c, j) => {
    const [l, u] = [fraction(lo[j]!), fraction(hi[j]!)];
    if (sign(l) >= 0) return c;
    if (sign(u) <= 0) return ZERO;
    const width = plus(u, times(fraction(-1), l));
    const chord = over(u, width);
    const steep = isAtMost(plus(u, l), ZERO) ? ZERO : fraction(1);
    const low = slopes === 'parallel' ? chord : slopes === 'zero' ? ZERO : steep;
    if (sign(c) > 0) return times(c, low);
    offset = plus(offset, times(c, times(fraction(-1), times(chord, l))));
    return times(c, chord);
  });
  return { back, offset };
}

const product = (a: readonly Fraction[], w: readonly Fraction[][]): Fraction[] =>
  w[0]!.map((_, j) => a.reduce((sum, c, i) => plus(sum, times(c, w[i]![j]!)), ZERO));
const inner = (a: readonly Fraction[], b: readonly Fraction[]): Fraction =>
  a.reduce((sum, c, i) => plus(sum, times(c, b[i]!)), ZERO);

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 1 });
  });
  afterAll(() => engine.close());

  it.each(Object.keys(FAMILIES))('%s: at most the exact bound, with any slopes', (family) => {
    const random = sampler(71);
    const shapes = [
      [7, 5],
      [6, 7],
      [2, 6],
    ] as const;
    for (let round = 0; round < 30; round++) {
      const draw = FAMILIES[family]!;
      const weights = shapes.map((shape) => draw(random, shape));
      const biases = shapes.map(([units]) => random.array([units]));
      const network = sequential(
        'n',
        [5],
        [
          ['dense', { units: 7 }],
          ['relu'],
          ['dense', { units: 6 }],
          ['relu'],
          ['dense', { units: 2 }],
        ],
      );
      const model = modelFrom(engine, network, (name) => {
        const i = Number(name.slice(5, 6)) - 1;
        return (name.endsWith('bias') ? biases : weights)[i]!.data;
      });
      const box = boxAround(random.array([1, 5]), [0, 1e-6, 0.01, 1][round % 4]!);
      const rows = random.array([2, 2]);
      const slopes = (['adaptive', 'parallel', 'zero'] as const)[round % 3]!;
      const { found, hidden } = step(engine, () => {
        const ends = (t: Nd) => input(engine, t.data, t.shape);
        const set = { box: { lo: ends(box.lo), hi: ends(box.hi) } };
        const scene = hiddenBounds(model, set, { sound: true, slopes, hidden: 'interval' });
        const values = input(engine, rows.data, [2, 2]);
        const at = Int32Array.from([0, 0]);
        const boxes = [0, 2].map((v) => ({
          lo: scene.boxes[v]!.lo.read(),
          hi: scene.boxes[v]!.hi.read(),
        }));
        return { found: lowerBounds(scene, { sample: at, values }).read(), hidden: boxes };
      });
      const [w1, w2, w3] = weights.map(table) as [Fraction[][], Fraction[][], Fraction[][]];
      const [b1, b2, b3] = biases.map(({ data }) => [...data].map(fraction)) as [
        Fraction[],
        Fraction[],
        Fraction[],
      ];
      found.forEach((bound, r) => {
        let a = [...rows.data.subarray(2 * r, 2 * r + 2)].map((v) => fraction(Math.fround(v)));
        let d = inner(a, b3);
        for (const [w, b, at] of [
          [w3, b2, 1],
          [w2, b1, 0],
        ] as const) {
          const { back, offset } = throughRelu(product(a, w), d, hidden[at]!, slopes);
          [a, d] = [back, plus(offset, inner(back, b))];
        }
        product(a, w1).forEach((c, j) => {
          const [p, q] = [box.lo, box.hi].map((end) => times(c, fraction(end.data[j]!)));
          d = plus(d, isAtMost(p!, q!) ? p! : q!);
        });
        expect(isAtMost(fraction(bound), d), `${round} ${r} ${slopes}: ${bound}`).toBe(true);
      });
      freeModel(model);
    }
  });

  it.each(Object.keys(FAMILIES))('lowerDot, %s: never above the exact number', (family) => {
    const random = sampler(72);
    for (let round = 0; round < 60; round++) {
      const cols = 1 + random.whole(40);
      const [x, p, q] = [0, 1, 2].map(() => FAMILIES[family]!(random, [1, cols])) as [Nd, Nd, Nd];
      const found = step(engine, () => {
        const [a, b, c] = [x, p, q].map((t) => input(engine, t.data, t.shape));
        return lowerDot(a!, b!, c!, [0]).read()[0]!;
      });
      const exact = [...x.data].reduce(
        (sum, v, j) => plus(sum, times(fraction(v), fraction((v > 0 ? p : q).data[j]!))),
        ZERO,
      );
      expect(isAtMost(fraction(found), exact)).toBe(true);
      const sizes = [...x.data].reduce(
        (sum, v, j) => sum + Math.abs(v * (v > 0 ? p : q).data[j]!),
        0,
      );
      const near = fraction(
        Math.fround(found) + Math.abs(found) * 2 ** -22 + sizes * 1e-12 + 1e-44,
      );
      expect(isAtMost(exact, near)).toBe(true);
    }
  });
});

describe('rounding to float32', () => {
  it('goes to the neighbour on the right side', () => {
    const random = sampler(73);
    for (let round = 0; round < 5000; round++) {
      const x = random.real(-1, 1) * 2 ** Math.floor(random.real(-152, 127));
      const [down, up] = [roundDown(x), roundUp(Math.abs(x))];
      expect(Math.fround(down)).toBe(down);
      expect(down <= x && up >= Math.abs(x)).toBe(true);
      expect(x - down).toBeLessThanOrEqual(Math.max(Math.abs(x) * 2 ** -23, 2 ** -149));
    }
    expect([roundDown(1), roundDown(0), roundDown(-1), roundDown(1 + 2 ** -24)]).toEqual([
      1, 0, -1, 1,
    ]);
    expect(roundDown(1 - 2 ** -26)).toBe(1 - 2 ** -24);
  });
});
