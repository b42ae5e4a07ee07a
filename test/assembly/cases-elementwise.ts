/** Cases of the elementwise kernels: unary, linear, interval, broadcast binary, optimisers. */
import { normalCdf } from '../../src/statistics';
import { type CaseMaker, type CaseTable, indices, SIZES } from './case';

type Fn = (x: number) => number;
const f = Math.fround;

/** Out of place and in place, over all sizes, with odd values. */
function unary(fn: Fn, extra: readonly number[] = [], rel?: number): CaseMaker[] {
  return [false, true].flatMap((alias) =>
    SIZES.map(
      (n): CaseMaker =>
        (m, rng) => {
          const values = rng.wild(n);
          const x = m.floats(values);
          const y = alias ? x : m.room(n);
          const want = Array.from(values, fn);
          return {
            label: `n=${n}${alias ? ' in place' : ''}`,
            args: [n, ...extra, x, y],
            outputs: [rel === undefined ? { at: y, want } : { at: y, want, rel }],
          };
        },
    ),
  );
}

const max = (a: number, b: number) =>
  Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.max(a, b);
const min = (a: number, b: number) =>
  Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.min(a, b);

/** Strides of each operand by kind: how it is broadcast over [d0, d1, d2]. */
const LAYOUTS: Record<string, (d: readonly number[]) => [number[], number]> = {
  full: ([d0, d1, d2]) => [[d1! * d2!, d2!, 1], d0! * d1! * d2!],
  scalar: () => [[0, 0, 0], 1],
  row: ([, , d2]) => [[0, 0, 1], d2!],
  channel: ([, d1]) => [[0, 1, 0], d1!],
  outer: ([d0]) => [[1, 0, 0], d0!],
  strided: ([d0, d1, d2]) => [[3 * d1! * d2!, 3 * d2!, 3], 3 * d0! * d1! * d2!],
};

function binary(fn: (a: number, b: number) => number): CaseMaker[] {
  const shapes = [
    [0, 3, 4],
    [2, 0, 3],
    [2, 3, 0],
    [1, 1, 1],
    [2, 3, 17],
    [3, 2, 5],
    [4, 3, 8],
  ];
  return shapes.flatMap((d) =>
    Object.keys(LAYOUTS).flatMap((la) =>
      ['full', 'row', 'channel', 'scalar', 'strided'].map(
        (lb): CaseMaker =>
          (m, rng) => {
            const [sa, na] = LAYOUTS[la]!(d);
            const [sb, nb] = LAYOUTS[lb]!(d);
            const va = rng.wild(Math.max(na, 1));
            const vb = rng.wild(Math.max(nb, 1));
            const a = m.floats(va);
            const b = m.floats(vb);
            const alias = la === 'full' && rng.next() < 0.5;
            const y = alias ? a : m.room(d[0]! * d[1]! * d[2]!);
            const want = [...indices(...d)].map((at) => {
              const dot = (s: number[]) => s.reduce((sum, stride, i) => sum + stride * at[i]!, 0);
              return fn(va[dot(sa)]!, vb[dot(sb)]!);
            });
            const args = [...d, a, ...sa, b, ...sb, y];
            return { label: `[${d}] ${la}, ${lb}`, args, outputs: [{ at: y, want }] };
          },
      ),
    ),
  );
}

function lincomb(n: number, alias: number): CaseMaker {
  return (m, rng) => {
    const [alpha, beta] = [f(0.3), f(-1.7)];
    const va = rng.wild(n);
    const vb = rng.wild(n);
    const a = m.floats(va);
    const b = m.floats(vb);
    const y = alias === 1 ? a : alias === 2 ? b : m.room(n);
    // Rounded separately, bit for bit.
    const want = Array.from(va, (v, i) => f(f(alpha * v) + f(beta * vb[i]!)));
    return {
      label: `n=${n} alias ${alias}`,
      args: [n, alpha, a, beta, b, y],
      outputs: [{ at: y, want, rel: 0, abs: 0 }],
    };
  };
}

type Four = readonly [grow: number, tiny: number, a: number, b: number];
const PLAIN: Four = [0, 0, 1, 0];
const WIDENED: Four = [1e-3, 1e-5, 1.25, 1e-2];

function toMidRad(n: number, [grow, tiny, alpha, beta]: Four): CaseMaker {
  return (m, rng) => {
    const vlo = rng.floats(n);
    const vhi = vlo.map((v) => v + rng.next());
    const [lo, hi] = [m.floats(vlo), m.floats(vhi)];
    const [c, r] = [m.room(n), m.room(n)];
    const centre = Array.from(vlo, (v, i) => f(f(0.5 * v) + f(0.5 * vhi[i]!)));
    const radius = centre.map((v, i) => {
      const d = Math.max(f(vhi[i]! - v), f(v - vlo[i]!));
      const e = f(f(d + f(d * f(grow))) + f(tiny));
      return f(f(f(alpha) * e) + f(f(beta) * Math.abs(v)));
    });
    const outputs = [
      { at: c, want: centre, rel: 0, abs: 0 },
      { at: r, want: radius, rel: 0, abs: 0 },
    ];
    const args = [n, lo, hi, c, r, grow, tiny, alpha, beta];
    return { label: `n=${n} grow=${grow}`, args, outputs };
  };
}

function toInfSup(n: number, [grow, tiny, scale, shift]: Four, large = false): CaseMaker {
  return (m, rng) => {
    const vc = rng.floats(n);
    // Radii that could overflow in sums are NaN with a scale.
    const vr = rng.floats(n).map((v, i) => (large && i % 2 === 0 ? 2 ** 80 : Math.abs(v)));
    const [c, r] = [m.floats(vc), m.floats(vr)];
    const far = Array.from(vr, (v) =>
      scale === 1 ? v : v >= 2 ** 80 ? Number.NaN : f(f(v * f(scale)) + f(shift)),
    );
    // In place: the ends replace centre and radius.
    const move = (v: number) => f(f(Math.abs(v) * f(grow)) + f(tiny));
    const lo = far.map((d, i) => f(vc[i]! - d)).map((v) => f(v - move(v)));
    const hi = far.map((d, i) => f(vc[i]! + d)).map((v) => f(v + move(v)));
    const outputs = [
      { at: c, want: lo, rel: 0, abs: 0 },
      { at: r, want: hi, rel: 0, abs: 0 },
    ];
    const args = [n, c, r, c, r, grow, tiny, scale, shift];
    return { label: `n=${n} grow=${grow} large=${large}`, args, outputs };
  };
}

function reluGrad(n: number, alias: boolean): CaseMaker {
  return (m, rng) => {
    const [vx, vg] = [rng.wild(n), rng.wild(n)];
    const [x, g] = [m.floats(vx), m.floats(vg)];
    const y = alias ? g : m.room(n);
    const want = Array.from(vx, (v, i) => (v > 0 ? vg[i]! : 0));
    return {
      label: `n=${n}${alias ? ' in place' : ''}`,
      args: [n, x, g, y],
      outputs: [{ at: y, want }],
    };
  };
}

function sgd(n: number, momentum: number): CaseMaker {
  return (m, rng) => {
    const [lr, decay, mu] = [f(0.1), f(0.01), f(momentum)];
    const [vw, vg, vv] = [rng.floats(n), rng.floats(n), rng.floats(n)];
    const [w, g] = [m.floats(vw), m.floats(vg)];
    const v = momentum ? m.floats(vv) : 0;
    const d = Array.from(vg, (x, i) => x + decay * vw[i]!);
    const speed = d.map((x, i) => (momentum ? mu * vv[i]! + x : x));
    const tolerance = { rel: 1e-6, abs: 1e-6 };
    const outputs = [{ at: w, want: speed.map((x, i) => vw[i]! - lr * x), ...tolerance }];
    if (v) outputs.push({ at: v, want: speed, ...tolerance });
    return { label: `n=${n} momentum=${momentum}`, args: [n, w, g, v, lr, mu, decay], outputs };
  };
}

function adam(n: number): CaseMaker {
  return (m, rng) => {
    const [lr, b1, b2, eps, decay] = [f(0.01), f(0.9), f(0.999), f(1e-8), f(0.1)];
    const [c1, c2] = [f(1 / (1 - 0.9 ** 3)), f(1 / (1 - 0.999 ** 3))];
    const [vw, vg, v1] = [rng.floats(n), rng.floats(n), rng.floats(n)];
    const v2 = rng.floats(n).map(Math.abs);
    const [w, g, first, second] = [m.floats(vw), m.floats(vg), m.floats(v1), m.floats(v2)];
    const d = Array.from(vg, (x, i) => x + decay * vw[i]!);
    const n1 = d.map((x, i) => b1 * v1[i]! + (1 - b1) * x);
    const n2 = d.map((x, i) => b2 * v2[i]! + (1 - b2) * x * x);
    const weight = d.map((_, i) => vw[i]! - (lr * c1 * n1[i]!) / (Math.sqrt(c2 * n2[i]!) + eps));
    const outputs = [
      { at: w, want: weight, rel: 1e-6, abs: 1e-6 },
      { at: first, want: n1, rel: 1e-6, abs: 1e-6 },
      { at: second, want: n2, rel: 1e-6, abs: 1e-6 },
    ];
    const args = [n, w, g, first, second, lr, b1, b2, eps, decay, c1, c2];
    return { label: `n=${n}`, args, outputs };
  };
}

const slope = f(0.1);

export const ELEMENTWISE: CaseTable = {
  relu: unary((x) => max(x, 0)),
  relu_grad: SIZES.flatMap((n) => [reluGrad(n, false), reluGrad(n, true)]),
  sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  tanh: unary(Math.tanh),
  normal_cdf: unary(normalCdf),
  exp: unary(Math.exp),
  log: unary(Math.log),
  abs: unary(Math.abs),
  sign: unary(Math.sign),
  sqrt: unary(Math.sqrt),
  reciprocal: unary((x) => 1 / x),
  square: unary((x) => x * x),
  leaky_relu: unary((x) => (x > 0 ? x : f(slope * x)), [slope]),
  leaky_step: unary((x) => (x > 0 ? 1 : slope), [slope]),
  affine: unary((x) => f(f(f(1.3) * x) + f(0.7)), [1.3, 0.7], 0),
  clamp: unary((x) => min(max(x, -1), f(0.5)), [-1, 0.5]),
  copy: unary((x) => x),
  fill: SIZES.map(
    (n): CaseMaker =>
      (m) => {
        const y = m.room(n);
        return {
          label: `n=${n}`,
          args: [n, 2.5, y],
          outputs: [{ at: y, want: new Array(n).fill(2.5) }],
        };
      },
  ),
  lincomb: SIZES.flatMap((n) => [0, 1, 2].map((alias) => lincomb(n, alias))),
  interval_to_centre: SIZES.flatMap((n) => [toMidRad(n, PLAIN), toMidRad(n, WIDENED)]),
  interval_to_ends: SIZES.flatMap((n) =>
    [false, true].flatMap((large) => [toInfSup(n, PLAIN, large), toInfSup(n, WIDENED, large)]),
  ),
  add: binary((a, b) => a + b),
  sub: binary((a, b) => a - b),
  mul: binary((a, b) => a * b),
  div: binary((a, b) => a / b),
  maximum: binary(max),
  minimum: binary(min),
  greater: binary((a, b) => (a > b ? 1 : 0)),
  greater_equal: binary((a, b) => (a >= b ? 1 : 0)),
  equal: binary((a, b) => (a === b ? 1 : 0)),
  sgd: SIZES.flatMap((n) => [sgd(n, 0), sgd(n, 0.9)]),
  adam: SIZES.map(adam),
};
