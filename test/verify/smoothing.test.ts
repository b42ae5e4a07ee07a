/**
 * Randomised smoothing of linear classifiers, whose smoothed answers and radii are known: sigma *
 * Phi^-1(P[class]) is the distance to the plane.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { predictorOf } from '../../src/domain/predictor';
import { sequential } from '../../src/nn/graph';
import { type Model, modelFrom } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { lowerConfidence, normalQuantile } from '../../src/statistics';
import type { Tensor } from '../../src/tensor/tensor';
import { type SmoothingOptions, smooth, stages } from '../../src/verify/smoothing';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const BASE: SmoothingOptions = { sigma: 0.25, n0: 100, n: 1000, alpha: 0.001, seed: 7 };
/** Class 1 where 3 x + 4 y > offset: at distance (3 x + 4 y - offset) / 5 from the plane. */
const plane = (on: Engine, offset: number): Model =>
  modelFrom(on, sequential('plane', [2], [['dense', { units: 2 }]]), (name) =>
    name === 'dense1.weight' ? [0, 0, 3, 4] : [0, -offset],
  );
const POINT = Float32Array.of(0.5, 0.5);

describe('smooth', () => {
  it('gives the radius of a class that always wins: sigma Phi^-1(alpha^(1/n))', () => {
    const model = plane(engine, -1000);
    for (const [n, alpha] of [
      [1, 0.001],
      [100, 0.001],
      [1000, 0.05],
    ] as const) {
      const { predicted, radius, draws } = smooth(model, POINT, 0, { ...BASE, n, alpha });
      const p = alpha ** (1 / n);
      if (p <= 0.5) expect([predicted, radius]).toEqual([null, 0]);
      else {
        expect(predicted).toBe(1);
        expect(Math.abs(radius - 0.25 * normalQuantile(p))).toBeLessThan(1e-9);
      }
      expect(draws).toBe(100 + n);
    }
  });

  it('comes close to the distance of the plane, from below', () => {
    for (const distance of [0.05, 0.2, 0.4]) {
      const model = plane(engine, 3.5 - 5 * distance);
      const { predicted, radius } = smooth(model, POINT, 3, { ...BASE, n: 20_000 });
      expect(predicted).toBe(1);
      expect(radius).toBeLessThan(distance);
      expect(radius).toBeGreaterThan(0.9 * distance - 0.01);
    }
  });

  it('abstains on the plane itself', () => {
    const found = smooth(plane(engine, 3.5), POINT, 0, BASE);
    expect(found).toMatchObject({ predicted: null, radius: 0 });
  });

  it('does not depend on the batch size or the threads', async () => {
    const several = await load({ threads: 2 });
    const options = { ...BASE, n0: 37, n: 1001 };
    const expected = smooth(plane(engine, 3), POINT, 5, options);
    for (const [on, batch] of [
      [engine, 1],
      [engine, 17],
      [several, 999],
      [several, 5000],
    ] as const)
      expect(smooth(plane(on, 3), POINT, 5, { ...options, batch })).toEqual(expected);
    several.close();
  });

  it('differs by image and by seed, and estimates on draws that did not choose', () => {
    const model = plane(engine, 3);
    const radius = (index: number, change: Partial<SmoothingOptions> = {}): number =>
      smooth(model, POINT, index, { ...BASE, ...change }).radius;
    expect(radius(1)).not.toBe(radius(0));
    expect(radius(0, { seed: 8 })).not.toBe(radius(0));
    expect(radius(0, { n0: 999 })).toBe(radius(0));
  });

  it('stops early where the radii are decided, and decides as without stopping', () => {
    for (const distance of [0.02, 0.1, 0.25, 0.5]) {
      const model = plane(engine, 3.5 - 5 * distance);
      const full = smooth(model, POINT, 0, { ...BASE, n: 20_000 });
      for (const target of [0.05, 0.2, 0.45]) {
        const found = smooth(model, POINT, 0, { ...BASE, n: 20_000, radii: [target] });
        expect(found.radius >= target).toBe(full.radius >= target);
        expect(found.draws).toBeLessThanOrEqual(full.draws);
        if (Math.abs(distance - target) > 0.08) expect(found.draws).toBeLessThan(0.3 * full.draws);
      }
      const several = smooth(model, POINT, 0, { ...BASE, n: 20_000, radii: [0.45, 0, 0.05] });
      expect(several.predicted).toBe(full.predicted);
    }
  });

  // A radius just beyond the truth is the false claim that stopping early could fall for.
  it.each([[[] as number[]], [[0.101]], [[0, 0.05, 0.101, 0.11]]])(
    'is wrong no more often than alpha, radii %j',
    (radii) => {
      const [alpha, images] = [0.2, 600];
      const model = plane(engine, 3);
      let wrong = 0;
      for (let index = 0; index < images; index++) {
        const options = { ...BASE, n0: 20, n: 640, alpha, radii, batch: 700 };
        if (smooth(model, POINT, index, options).radius > 0.1) wrong++;
      }
      // Four standard deviations of the count of such errors.
      expect(wrong).toBeLessThanOrEqual(alpha * images + 4 * Math.sqrt(alpha * 0.8 * images));
      if (radii.length === 0) expect(wrong).toBeGreaterThan(0.1 * images);
    },
  );

  it('abstains where outputs are NaN, whatever the class of such a row', () => {
    for (const bad of [0, 1]) {
      const weights = [0, 0, 0, 0];
      weights[2 * bad] = Number.NaN;
      const broken = modelFrom(
        engine,
        sequential('broken', [2], [['dense', { units: 2 }]]),
        (name) => (name === 'dense1.weight' ? weights : [1, 0]),
      );
      const { classes } = predictorOf(broken);
      for (const options of [BASE, { ...BASE, radii: [0, 0.1] }, { ...BASE, classes }])
        expect(smooth(broken, POINT, 0, options)).toMatchObject({ predicted: null, radius: 0 });
    }
  });

  it('counts draws without a class against the others', () => {
    const model = plane(engine, -1000);
    let draw = 0;
    // Every tenth draw has none: the bound is that of 900 of 1000.
    const classes = (x: Tensor): Int32Array =>
      Int32Array.from({ length: x.shape[0]! }, () => (draw++ % 10 ? 1 : -1));
    const { predicted, radius } = smooth(model, POINT, 0, { ...BASE, classes });
    expect(predicted).toBe(1);
    expect(radius).toBe(0.25 * normalQuantile(lowerConfidence(900, 1000, 0.001)));
  });

  // ../shared/cases/smoothing-noise: class 1 only above 1.2, image 1.0. Noise must leave [0, 1].
  it('does not clip the noise', () => {
    const step = modelFrom(engine, sequential('step', [1], [['dense', { units: 2 }]]), (name) =>
      name === 'dense1.weight' ? [0, 1] : [0, -1.2],
    );
    const options = { ...BASE, sigma: 0.5, n: 100_000 };
    const { predicted, radius } = smooth(step, Float32Array.of(1), 0, options);
    expect(predicted).toBe(0);
    // P[class 0] = Phi(0.4), so the true radius is the distance 0.2.
    expect(radius).toBeLessThan(0.2);
    expect(radius).toBeGreaterThan(0.18);
  });

  it('speaks of the sigma that noise was drawn with, the float32 one', () => {
    const model = plane(engine, -1000);
    const [sigma, p] = [0.1, 0.001 ** (1 / 1000)];
    const { radius } = smooth(model, POINT, 0, { ...BASE, sigma: 0.1 + 2 ** -31 });
    expect(Math.abs(radius - Math.fround(sigma) * normalQuantile(p))).toBeLessThan(1e-10);
  });

  it('refuses what makes no sense', () => {
    const model = plane(engine, 3);
    const attempt = (change: Partial<SmoothingOptions>) => () =>
      smooth(model, POINT, 0, { ...BASE, ...change });
    expect(attempt({ sigma: 0 })).toThrow(/sigma: expected/);
    for (const sigma of [1e-60, Number.NaN, Number.POSITIVE_INFINITY])
      expect(attempt({ sigma })).toThrow(/sigma: expected/);
    for (const pixel of [1.01, -0.01, Number.NaN])
      expect(() => smooth(model, Float32Array.of(0.5, pixel), 0, BASE)).toThrow(
        /smooth: image: expected pixels in \[0, 1\]/,
      );
    expect(attempt({ alpha: 0.5 })).toThrow(/alpha: expected/);
    expect(attempt({ n: 0 })).toThrow(/smooth: n: expected/);
    expect(attempt({ n0: 2 ** 32 })).toThrow(/n0: expected/);
    expect(attempt({ seed: -1 })).toThrow(/seed: expected/);
    expect(() => smooth(model, POINT, 2 ** 21, BASE)).toThrow(/index: expected/);
  });
});

describe('stages', () => {
  it('share alpha and end with all draws', () => {
    for (const n of [1, 3, 100, 100_000])
      for (const early of [false, true]) {
        const plan = stages(n, 0.001, early);
        expect(plan.reduce((sum, { alpha }) => sum + alpha, 0)).toBeLessThanOrEqual(0.001);
        expect(plan.at(-1)!.draws).toBe(n);
        plan.slice(1).forEach(({ draws }, i) => {
          expect(draws).toBeGreaterThanOrEqual(plan[i]!.draws);
        });
      }
    // Cohen et al., figure 1: of 100000 draws that all agree, at alpha 0.001, 3.8 sigma at most.
    expect(normalQuantile(lowerConfidence(100_000, 100_000, 0.001))).toBeCloseTo(3.8115, 3);
  });
});
