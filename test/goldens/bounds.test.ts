/**
 * Interval bounds of the golden networks against those of auto_LiRPA: equal within the tolerance
 * when not rounded outwards, and never inside of them when sound.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freeModel } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { binaries } from '../helpers/engine';
import { intervalBounds } from './compute';
import {
  boundsOf,
  type CaseRecord,
  f64,
  MODELS,
  PRESENT,
  tensorsOf,
  toleranceOf,
  worst,
} from './goldens';
import { FORMATS, type Golden, openGolden } from './open';

if (!PRESENT) it.skip('skipped: ../shared/goldens is absent', () => undefined);

/** Tested in linear.test.ts and alpha.test.ts: balls of other norms, and linear bounds. */
const OTHER_CASES = ['kw_mnist', 'lirpa_mnist_fc_3layer', 'oval_cifar_base'].flatMap((name) => [
  `${name} L2`,
  `${name} L1`,
]);
const OTHER_METHODS = [
  'CROWN',
  'CROWN-IBP',
  'CROWN-same-slope',
  'KW-dual',
  'alpha-CROWN-20-fixed-interm',
  'alpha-CROWN-20-joint',
];

const isBall = ({ norm }: CaseRecord): boolean => norm === 'inf';
const radiusOf = ({ eps_pixel: eps = 0, clip_to_pixel_box: clip }: CaseRecord) => ({ eps, clip });

/** Every file of a network; the binary makes no difference to the reader. */
const CASES = [
  ...FORMATS.map((format) => ({ format, binary: 'simd' as const })),
  ...binaries()
    .slice(1)
    .map((binary) => ({ format: FORMATS[0], binary })),
];

describe.skipIf(!PRESENT)('what is recorded', () => {
  it('is tested here, or with linear bounds', () => {
    const records = Object.keys(MODELS).map(boundsOf);
    const others = records.flatMap(({ model, cases }) =>
      cases.filter((c) => !isBall(c)).map(({ norm }) => `${model} L${norm}`),
    );
    expect(others.sort()).toEqual([...OTHER_CASES].sort());
    const methods = records.flatMap(({ cases }) => cases.flatMap((c) => Object.keys(c.methods)));
    expect([...new Set(methods)].sort()).toEqual([...OTHER_METHODS, 'IBP'].sort());
  });
});

describe.skipIf(!PRESENT).each(CASES)('interval bounds, $format, $binary', ({ binary, format }) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1, binary });
  });
  afterAll(() => engine.close());

  describe.each(Object.keys(MODELS))('%s', (name) => {
    let golden: Golden;
    beforeAll(async () => {
      golden = await openGolden(engine, name, format);
    });
    afterAll(() => freeModel(golden.model));

    it.each([false, true])('sound: %s', (sound) => {
      const { model, batch, record } = golden;
      const check = sound ? outside : near;
      const balls = record.cases.filter(isBall);
      expect(balls.length).toBeGreaterThanOrEqual(3);
      for (const each of balls) {
        const found = intervalBounds(model, batch, radiusOf(each), sound);
        const ibp = each.methods.IBP!;
        const what = `${each.dtype}, eps ${each.eps_pixel}`;
        check(name, found.logits, ibp.logits_lb.flat(), ibp.logits_ub.flat(), `logits, ${what}`);
        check(
          name,
          found.margins,
          ibp.margins_lb.flat(),
          ibp.margins_ub!.flat(),
          `margins, ${what}`,
        );
      }
      const { before } = intervalBounds(model, batch, radiusOf(balls[0]!), sound);
      nearBefore(name, before, check);
    });
  });
});

type Ends = { readonly lo: Float32Array; readonly hi: Float32Array };
type Check = (
  name: string,
  found: Ends,
  lo: ArrayLike<number>,
  hi: ArrayLike<number>,
  what: string,
) => void;

const near: Check = (name, found, lo, hi, what) => {
  expect(worst(found.lo, lo).error, `lower, ${what}`).toBeLessThan(toleranceOf(name));
  expect(worst(found.hi, hi).error, `upper, ${what}`).toBeLessThan(toleranceOf(name));
};

/** Outwards of the recorded ends, up to what float64 itself can be wrong. */
const outside: Check = (_, found, lo, hi, what) => {
  const slack = (value: number): number => 1e-12 * (1 + Math.abs(value));
  expect(found.lo.length, what).toBe(lo.length);
  const inside = found.lo.filter((v, i) => !(v <= lo[i]! + slack(lo[i]!))).length;
  const above = found.hi.filter((v, i) => !(v >= hi[i]! - slack(hi[i]!))).length;
  expect([inside, above], what).toEqual([0, 0]);
};

/** Pre-activation bounds of the first two inputs. */
function nearBefore(name: string, before: readonly Ends[], check: Check): void {
  const tensors = tensorsOf(name);
  before.forEach(({ lo, hi }, i) => {
    const ends = ['lb', 'ub'].map((end) => f64(tensors.get(`interm/IBP/relu${i}/${end}`)!));
    const first = { lo: lo.subarray(0, ends[0]!.length), hi: hi.subarray(0, ends[1]!.length) };
    check(name, first, ends[0]!, ends[1]!, `before activation ${i}`);
  });
  expect(tensors.has(`interm/IBP/relu${before.length}/lb`)).toBe(false);
}
