/** The corner cases that docs/numerics.md argues about: cancellation in sums, overflow, long sums. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { project } from '../../src/attack/ascent';
import { propagate } from '../../src/domain/domain';
import { ball, interval } from '../../src/domain/interval';
import { gamma, roundUp, U, underflowError } from '../../src/domain/rounding';
import { INPUT, type Network } from '../../src/nn/graph';
import { freeModel, type Model, modelFrom } from '../../src/nn/model';
import { leastMargins } from '../../src/plan/margins';
import { type Engine, load } from '../../src/runtime/engine';
import { toInfSup, toMidRad } from '../../src/tensor/ops/interval';
import { input, step } from '../../src/tensor/tensor';
import { binaries } from '../helpers/engine';
import { sampler } from '../helpers/random';

const OUTWARD = { relative: 4 * U, absolute: 2 ** -148 };

describe.each(binaries())('rounding arguments in the %s binary', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1, binary });
  });
  afterAll(() => engine.close());

  const modelOf = (network: Network, weights: Record<string, number[]>): Model =>
    modelFrom(engine, network, (name) => weights[name]!);

  it('changes of description only widen, for numbers of every size', () => {
    const random = sampler(1);
    const count = 4000;
    const draw = (): Float32Array => Float32Array.from(random.spread([count], -46, 30).data);
    const [a, b] = [draw(), draw()];
    // Half of them narrow, where the two ends nearly agree.
    for (let i = 0; i < count; i += 2) b[i] = a[i]! * (1 + 1e-7);
    const lo = a.map((x, i) => Math.min(x, b[i]!));
    const hi = a.map((x, i) => Math.max(x, b[i]!));
    const [c, r, low, high] = step(engine, () => {
      const [centre, radius] = toMidRad(
        input(engine, lo, [count]),
        input(engine, hi, [count]),
        OUTWARD,
      );
      const ends = toInfSup(centre, radius, OUTWARD);
      return [centre, radius, ...ends].map((t) => t.read());
    });
    for (let i = 0; i < count; i++) {
      expect(hi[i]! - c![i]!).toBeLessThanOrEqual(r![i]!);
      expect(c![i]! - lo[i]!).toBeLessThanOrEqual(r![i]!);
      expect(low![i]).toBeLessThanOrEqual(lo[i]!);
      expect(high![i]).toBeGreaterThanOrEqual(hi[i]!);
    }
  });

  it('what an attack projects lies in the certified box', () => {
    const random = sampler(2);
    const x = Float32Array.from({ length: 2000 }, () => random.real());
    for (const eps of [1e-7, 0.01, 8 / 255, 0.1, 1 / 3]) {
      const far = x.map((value, i) => value + (i % 2 ? 2 : -2) * eps);
      const [at, lo, hi] = step(engine, () => {
        const clean = input(engine, x, [1, 2000]);
        const box = ball(clean, eps, { sound: true });
        const inside = project({ x: clean, eps, norm: 'linf' }, input(engine, far, [1, 2000]));
        return [inside, box.lo, box.hi].map((t) => t.read());
      });
      at!.forEach((value, i) => {
        expect(value).toBeGreaterThanOrEqual(lo![i]!);
        expect(value).toBeLessThanOrEqual(hi![i]!);
        expect(lo![i]).toBeLessThanOrEqual(Math.max(0, x[i]! - eps));
        expect(hi![i]).toBeGreaterThanOrEqual(Math.min(1, x[i]! + eps));
      });
    }
  });

  it('a sum of three whose terms cancel holds every order of addition', () => {
    const network: Network = {
      name: 'cancel',
      input: [1],
      nodes: [
        { name: 'a', layer: 'scale', inputs: [INPUT] },
        { name: 'b', layer: 'scale', inputs: [INPUT] },
        { name: 'c', layer: 'scale', inputs: [INPUT] },
        { name: 'sum', layer: 'add', inputs: ['a', 'b', 'c'] },
      ],
    };
    // Three constants: the box of the input cannot widen them.
    const model = modelOf(network, {
      'a.scale': [0],
      'a.shift': [1e8],
      'b.scale': [0],
      'b.shift': [1],
      'c.scale': [0],
      'c.shift': [-1e8],
    });
    const [lo, hi] = step(engine, () => {
      const point = input(engine, [0.5], [1, 1]);
      const domain = interval({ sound: true });
      const box = propagate(model.graph, model.params, domain, ball(point, 1e-3, { sound: true }));
      return [box.lo.read()[0]!, box.hi.read()[0]!];
    });
    const orders = [
      Math.fround(Math.fround(1e8 + 1) - 1e8),
      Math.fround(Math.fround(1e8 - 1e8) + 1),
    ];
    expect(orders).toEqual([0, 1]);
    for (const value of orders) {
      expect(lo).toBeLessThanOrEqual(value);
      expect(hi).toBeGreaterThanOrEqual(value);
    }
    freeModel(model);
  });

  it('the join itself accounts for cancellation, not only the layers before it', () => {
    const network: Network = {
      name: 'join',
      input: [1],
      nodes: [{ name: 'sum', layer: 'add', inputs: [INPUT, INPUT] }],
    };
    const model = modelOf(network, {});
    const node = model.graph.nodes[0]!;
    const at = (x: number) => {
      const t = input(engine, [x], [1, 1]);
      return { lo: t, hi: t };
    };
    const [lo, hi] = step(engine, () => {
      const box = interval({ sound: true }).join(node as never, [at(1e8), at(1), at(-1e8)]);
      return [box.lo.read()[0]!, box.hi.read()[0]!];
    });
    expect(lo).toBeLessThanOrEqual(0);
    expect(hi).toBeGreaterThanOrEqual(1);
  });

  it('nothing is certified where some order of execution could overflow', () => {
    const network: Network = {
      name: 'overflow',
      input: [4],
      nodes: [
        { name: 'big', layer: 'dense', options: { units: 1 } },
        { name: 's', layer: 'sigmoid' },
        { name: 'out', layer: 'dense', options: { units: 2 } },
      ],
    };
    const margin = (size: number): number => {
      const model = modelOf(network, {
        'big.weight': [size, -size, size, -size],
        'big.bias': [0],
        'out.weight': [0.01, 0],
        'out.bias': [1, 0],
      });
      const ones = new Float32Array(4).fill(1);
      const [least] = leastMargins(model, ones, [0], 1e-3, { sound: true });
      freeModel(model);
      return least!;
    };
    expect(margin(10)).toBeGreaterThan(0.9);
    // (3e38 + 3e38) + (-3e38 - 3e38) is NaN, though the chain from left to right gives 0.
    expect(margin(3e38)).toBeNaN();
  });
});

describe('constants', () => {
  it('gamma grows with n and proves nothing for sums too long for it', () => {
    expect(gamma(1)).toBeGreaterThan(U);
    expect(gamma(1000)).toBeGreaterThan(1000 * U);
    expect(gamma(2 ** 22)).toBe(Number.POSITIVE_INFINITY);
    expect(gamma(2 ** 25)).toBe(Number.POSITIVE_INFINITY);
  });

  it('roundUp never goes below, and at most one step above', () => {
    for (const x of [
      0,
      2 ** -160,
      2 ** -149,
      1e-40,
      0.1,
      8 / 255,
      1 / 3,
      1,
      1 + 2 ** -30,
      123456.7,
    ]) {
      const up = roundUp(x);
      expect(Math.fround(up)).toBe(up);
      expect(up).toBeGreaterThanOrEqual(x);
      expect(up).toBeLessThanOrEqual(x * (1 + 2 * U) + 2 ** -149);
    }
  });

  it('underflowError covers three errors of underflow a term', () => {
    for (const n of [0, 1, 10, 1000, 1e6])
      expect(underflowError(2 * n)).toBeGreaterThanOrEqual(
        (3 * n + 2) * 2 ** -150 * (1 + 2 ** -10),
      );
  });
});
