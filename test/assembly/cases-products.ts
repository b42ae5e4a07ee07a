/** Cases of the products, convolutions and poolings, against direct loops in f64. */
import { PANEL, packedSize } from '../../src/runtime/kernels';
import { type Case, type CaseMaker, type CaseTable, indices } from './case';
import type { Machine, Random } from './harness';

/** A long sum of products in f32 may be off by this much (terms are below 4). */
const near = (length: number) => ({ rel: 1e-6, abs: 1e-6 * (length + 1) });

function packB(k: number, n: number, flip: boolean): CaseMaker {
  return (m, rng) => {
    const values = rng.floats(k * n);
    const b = m.floats(values);
    const packed = m.room(packedSize(k, n));
    const [row, col] = flip ? [1, k] : [n, 1];
    const want = [...indices(Math.ceil(n / PANEL), k, PANEL)].map(([p, i, j]) => {
      const column = p! * PANEL + j!;
      return column < n ? values[i! * row + column * col]! : 0;
    });
    return {
      label: `${k}x${n}${flip ? ' transposed' : ''}`,
      args: [k, n, b, row, col, packed],
      outputs: [{ at: packed, want }],
    };
  };
}

function gemm(
  shape: [number, number, number],
  flip: boolean,
  bias: boolean,
  add: number,
  relu = 0,
): CaseMaker {
  const [rows, n, k] = shape;
  return (m, rng) => {
    const [va, vb, vc, vbias] = [
      rng.floats(rows * k),
      rng.floats(k * n),
      rng.floats(rows * n),
      rng.floats(n),
    ];
    const [ar, ac] = flip ? [1, rows] : [k, 1];
    const packed = new Float32Array(packedSize(k, n));
    for (const [i, j] of indices(k, n)) {
      packed[Math.floor(j! / PANEL) * PANEL * k + i! * PANEL + (j! % PANEL)] = vb[i! * n + j!]!;
    }
    const args = [rows, n, k, m.floats(va), ar, ac, m.floats(packed)];
    args.push(bias ? m.floats(vbias) : 0);
    const c = m.floats(vc);
    const want = [...indices(rows, n)].map(([i, j]) => {
      let sum = (bias ? vbias[j!]! : 0) + (add ? vc[i! * n + j!]! : 0);
      for (let l = 0; l < k; l++) sum += va[i! * ar + l * ac]! * vb[l * n + j!]!;
      return relu ? Math.max(0, sum) : sum;
    });
    return {
      label: `${rows}x${k}x${n}${flip ? ' A^T' : ''}${bias ? ' bias' : ''}${add ? ' +=' : ''}${relu ? ' relu' : ''}`,
      args: [...args, c, add, relu],
      outputs: [{ at: c, want, ...near(k) }],
    };
  };
}

/** X W^T with the rows of W as they lie. */
function gemv([rows, n, k]: [number, number, number], bias: boolean, relu: number): CaseMaker {
  return (m, rng) => {
    const [vx, vw, vb] = [rng.floats(rows * k), rng.floats(n * k), rng.floats(n)];
    const pointers = [m.floats(vx), m.floats(vw), bias ? m.floats(vb) : 0];
    const y = m.room(rows * n);
    const want = [...indices(rows, n)].map(([i, j]) => {
      let sum = bias ? vb[j!]! : 0;
      for (let l = 0; l < k; l++) sum += vx[i! * k + l]! * vw[j! * k + l]!;
      return relu ? Math.max(0, sum) : sum;
    });
    return {
      label: `${rows}x${k}x${n}${bias ? ' bias' : ''}${relu ? ' relu' : ''}`,
      args: [rows, n, k, ...pointers, y, relu],
      outputs: [{ at: y, want, ...near(k) }],
    };
  };
}

interface Conv {
  readonly x: readonly [number, number, number, number];
  readonly oc: number;
  readonly k: readonly [number, number];
  readonly s: readonly [number, number];
  readonly p: readonly [number, number];
  readonly d?: readonly [number, number];
  readonly groups?: number;
}

const CONVS: readonly Conv[] = [
  { x: [0, 1, 4, 4], oc: 1, k: [3, 3], s: [1, 1], p: [1, 1] },
  { x: [1, 1, 1, 1], oc: 1, k: [1, 1], s: [1, 1], p: [0, 0] },
  { x: [2, 3, 5, 7], oc: 5, k: [3, 3], s: [1, 1], p: [1, 1] },
  { x: [3, 2, 8, 8], oc: 4, k: [4, 4], s: [2, 2], p: [1, 1] },
  { x: [2, 1, 28, 28], oc: 3, k: [4, 4], s: [2, 2], p: [1, 1] },
  { x: [3, 2, 14, 14], oc: 6, k: [4, 4], s: [2, 2], p: [1, 1] },
  { x: [1, 5, 9, 6], oc: 7, k: [3, 2], s: [2, 3], p: [2, 0] },
  { x: [2, 2, 11, 10], oc: 3, k: [3, 3], s: [2, 1], p: [2, 2], d: [2, 3] },
  { x: [1, 3, 12, 9], oc: 2, k: [2, 3], s: [3, 2], p: [3, 1], d: [2, 2] },
  { x: [1, 2, 6, 6], oc: 9, k: [5, 5], s: [1, 1], p: [4, 4] },
  { x: [2, 4, 4, 4], oc: 3, k: [1, 1], s: [3, 3], p: [0, 0] },
  { x: [1, 1, 3, 40], oc: 2, k: [3, 3], s: [1, 1], p: [1, 1] },
  { x: [1, 1, 40, 40], oc: 2, k: [3, 3], s: [1, 1], p: [1, 1] },
  { x: [1, 2, 2, 600], oc: 5, k: [2, 3], s: [1, 2], p: [0, 1] },
  { x: [9, 2, 14, 14], oc: 5, k: [4, 4], s: [2, 2], p: [1, 1] },
  { x: [2, 3, 11, 9], oc: 6, k: [3, 4], s: [2, 2], p: [2, 1], d: [3, 1] },
  { x: [2, 2, 5, 5], oc: 3, k: [2, 2], s: [1, 1], p: [0, 0], d: [2, 1] },
  { x: [2, 1, 23, 23], oc: 9, k: [3, 3], s: [1, 1], p: [1, 1] },
  { x: [1, 4, 7, 19], oc: 3, k: [3, 3], s: [1, 2], p: [1, 1], d: [1, 2] },
  { x: [1, 130, 3, 3], oc: 5, k: [3, 3], s: [1, 1], p: [1, 1] },
];

/** Convolutions in groups, depthwise ones among them. */
const GROUPED: readonly Conv[] = [
  { x: [0, 2, 4, 4], oc: 2, k: [3, 3], s: [1, 1], p: [1, 1], groups: 2 },
  { x: [1, 1, 1, 1], oc: 1, k: [1, 1], s: [1, 1], p: [0, 0], groups: 1 },
  { x: [2, 3, 5, 7], oc: 3, k: [3, 3], s: [1, 1], p: [1, 1], groups: 3 },
  { x: [2, 4, 13, 17], oc: 8, k: [3, 3], s: [1, 1], p: [1, 1], groups: 4 },
  { x: [3, 6, 8, 8], oc: 4, k: [4, 4], s: [2, 2], p: [1, 1], groups: 2 },
  { x: [1, 4, 28, 28], oc: 4, k: [3, 3], s: [2, 2], p: [1, 1], groups: 4 },
  { x: [2, 4, 11, 10], oc: 6, k: [3, 3], s: [2, 1], p: [2, 2], d: [2, 3], groups: 2 },
  { x: [1, 3, 12, 9], oc: 3, k: [2, 3], s: [3, 2], p: [3, 1], d: [2, 2], groups: 3 },
  { x: [2, 4, 4, 4], oc: 4, k: [1, 1], s: [3, 3], p: [0, 0], groups: 2 },
  { x: [1, 2, 3, 40], oc: 2, k: [5, 5], s: [1, 1], p: [2, 2], groups: 2 },
  { x: [1, 2, 2, 61], oc: 2, k: [2, 3], s: [1, 3], p: [0, 2], groups: 2 },
  { x: [17, 3, 9, 7], oc: 3, k: [3, 3], s: [2, 2], p: [1, 1], groups: 3 },
  { x: [2, 2, 9, 12], oc: 4, k: [3, 5], s: [1, 2], p: [-1, -2], groups: 2 },
  { x: [1, 2, 3, 2], oc: 2, k: [3, 3], s: [2, 3], p: [3, 4], groups: 2 },
  // Groups wide enough for the dense kernels, where these fit and where not.
  { x: [2, 8, 9, 11], oc: 8, k: [3, 3], s: [1, 1], p: [1, 1], groups: 2 },
  { x: [3, 10, 12, 9], oc: 14, k: [3, 2], s: [2, 2], p: [2, 1], d: [1, 2], groups: 2 },
  { x: [2, 8, 10, 10], oc: 8, k: [3, 3], s: [3, 3], p: [1, 1], groups: 2 },
  { x: [2, 2, 7, 9], oc: 12, k: [3, 3], s: [1, 1], p: [1, 1], groups: 2 },
  { x: [2, 12, 7, 9], oc: 4, k: [3, 3], s: [2, 1], p: [1, 1], groups: 2 },
  { x: [1, 8, 21, 23], oc: 8, k: [3, 3], s: [1, 1], p: [1, 1], groups: 2 },
  // Every end of a line and every number of lines of a tile.
  ...[...indices(17, 5)].flatMap(([w, h]): Conv[] => [
    { x: [1, 2, h! + 1, w! + 1], oc: 2, k: [3, 3], s: [1, 1], p: [1, 1], groups: 2 },
    { x: [2, 1, 2 * h! + 1, 2 * w! + 1], oc: 1, k: [3, 3], s: [2, 2], p: [1, 1], groups: 1 },
  ]),
];

function geometry({ x: [n, c, h, w], oc, k, s, p, d = [1, 1], groups }: Conv) {
  const [depth, outputs] = [c / (groups ?? 1), oc / (groups ?? 1)];
  const out = (size: number, i: 0 | 1) =>
    Math.floor((size + 2 * p[i] - d[i] * (k[i] - 1) - 1) / s[i]) + 1;
  const [oh, ow] = [out(h, 0), out(w, 1)];
  const args = [n, c, h, w, oc, ...k, ...s, ...p, ...d, oh, ow, ...(groups ? [groups] : [])];
  /** Calls back with the flat indices of every product of the convolution. */
  const each = (visit: (x: number, w: number, y: number) => void) => {
    for (const [i, o, oy, ox] of indices(n, oc, oh, ow)) {
      const y = ((i! * oc + o!) * oh + oy!) * ow + ox!;
      for (const [part, ky, kx] of indices(depth, ...k)) {
        const ch = Math.floor(o! / outputs) * depth + part!;
        const iy = oy! * s[0] - p[0] + ky! * d[0];
        const ix = ox! * s[1] - p[1] + kx! * d[1];
        if (iy < 0 || ix < 0 || iy >= h || ix >= w) continue;
        const weight = ((o! * depth + part!) * k[0] + ky!) * k[1] + kx!;
        visit(((i! * c + ch) * h + iy) * w + ix, weight, y);
      }
    }
  };
  const sizes = { x: n * c * h * w, w: oc * depth * k[0] * k[1], y: n * oc * oh * ow };
  return {
    args,
    each,
    sizes,
    plane: oh * ow,
    label: `[${n},${c},${h},${w}] ${oc} ${k} s${s} p${p} d${d} ${groups ?? ''}`,
  };
}

/** Weights as the kernel wants them: as they are, or transformed. */
type Weights = (m: Machine, weights: Float32Array, spec: Conv) => number;
const plain: Weights = (m, weights) => m.floats(weights);

function conv(spec: Conv, bias: boolean, relu = 0, weights = plain, slack = 1): CaseMaker {
  return (m, rng) => {
    const { args, each, sizes, plane, label } = geometry(spec);
    const [vx, vw, vb] = [rng.floats(sizes.x), rng.floats(sizes.w), rng.floats(spec.oc)];
    const pointers = [m.floats(vx), weights(m, vw, spec), bias ? m.floats(vb) : 0];
    const y = m.room(sizes.y);
    const want = Array.from({ length: sizes.y }, (_, i) =>
      bias ? vb[Math.floor(i / plane) % spec.oc]! : 0,
    );
    each((i, w, o) => {
      want[o]! += vx[i]! * vw[w]!;
    });
    return {
      label: label + (bias ? ' bias' : '') + (relu ? ' relu' : ''),
      args: [...args, ...pointers, y, relu],
      outputs: [
        {
          at: y,
          want: relu ? want.map((sum) => Math.max(0, sum)) : want,
          ...near(slack * spec.x[1] * spec.k[0] * spec.k[1]),
        },
      ],
    };
  };
}

/** What direct.ts takes. */
function fitsDirect(spec: Conv): boolean {
  const [{ s }, ow] = [spec, geometry(spec).args.at(-1)!];
  return s[0] === s[1] && s[0] <= 2 && ow >= 4;
}

/** G of a line of 2 or 3 taps: values of its polynomial at 0, 1, -1 (halved) and infinity. */
function pointsOf(line: readonly number[]): number[] {
  const at = (point: number) => line.reduce((sum, g, i) => sum + g * point ** i, 0) / 2;
  return [line[0]!, at(1), at(-1), line.at(-1)!];
}

/** [16][oc][c s s], transformed line by line and column by column. */
function winogradWeights({ x: [, c], oc, k: [k], s: [s] }: Conv, weights: ArrayLike<number>) {
  const r = k / s;
  const u = new Array<number>(16 * oc * c * s * s);
  for (const [o, ch, py, px] of indices(oc, c, s, s)) {
    const tap = (i: number, j: number) =>
      weights[((o! * c + ch!) * k + i * s + py!) * k + j * s + px!]!;
    const lines = [...indices(r)].map(([i]) => pointsOf([...indices(r)].map(([j]) => tap(i!, j!))));
    for (const [j] of indices(4))
      pointsOf(lines.map((line) => line[j!]!)).forEach((value, i) => {
        u[((4 * i + j!) * oc + o!) * c * s * s + (ch! * s + py!) * s + px!] = value;
      });
  }
  return u;
}

const transformed: Weights = (m, weights, spec) => m.floats(winogradWeights(spec, weights));

const winogradTransform =
  (spec: Conv): CaseMaker =>
  (m, rng) => {
    const [{ oc, k, s }, c] = [spec, spec.x[1]];
    const weights = rng.floats(oc * c * k[0] * k[1]);
    const want = winogradWeights(spec, weights);
    const wt = m.floats(weights);
    const u = m.room(want.length);
    return {
      label: JSON.stringify(spec),
      args: [oc, c, k[0], s[0], wt, c * k[0] * k[1], k[0] * k[1], 0, u],
      outputs: [{ at: u, want, ...near(9) }],
    };
  };

const WINOGRADS: readonly Conv[] = [
  { x: [0, 1, 4, 4], oc: 1, k: [3, 3], s: [1, 1], p: [1, 1] },
  { x: [1, 1, 1, 1], oc: 1, k: [3, 3], s: [1, 1], p: [1, 1] },
  { x: [2, 3, 5, 7], oc: 5, k: [3, 3], s: [1, 1], p: [1, 1] },
  { x: [1, 4, 16, 16], oc: 6, k: [3, 3], s: [1, 1], p: [1, 1] },
  { x: [11, 2, 2, 2], oc: 3, k: [3, 3], s: [1, 1], p: [1, 1] },
  { x: [1, 17, 9, 31], oc: 4, k: [3, 3], s: [1, 1], p: [0, 2] },
  { x: [1, 520, 3, 3], oc: 7, k: [3, 3], s: [1, 1], p: [1, 1] },
  { x: [3, 2, 8, 8], oc: 4, k: [4, 4], s: [2, 2], p: [1, 1] },
  { x: [2, 3, 14, 14], oc: 6, k: [4, 4], s: [2, 2], p: [1, 1] },
  { x: [5, 1, 9, 6], oc: 2, k: [4, 4], s: [2, 2], p: [0, 3] },
  { x: [2, 3, 7, 10], oc: 5, k: [2, 2], s: [1, 1], p: [1, 0] },
];

function convInputGrad(spec: Conv): CaseMaker {
  return (m, rng) => {
    const { args, each, sizes, label } = geometry(spec);
    const [vy, vw] = [rng.floats(sizes.y), rng.floats(sizes.w)];
    const pointers = [m.floats(vy), m.floats(vw)];
    const dx = m.room(sizes.x);
    const want = new Array<number>(sizes.x).fill(0);
    each((i, w, o) => {
      want[i]! += vy[o]! * vw[w]!;
    });
    const length = spec.oc * spec.k[0] * spec.k[1];
    return {
      label,
      args: [...args, ...pointers, dx],
      outputs: [{ at: dx, want, ...near(length) }],
    };
  };
}

function convWeightGrad(spec: Conv): CaseMaker {
  return (m, rng) => {
    const { args, each, sizes, plane, label } = geometry(spec);
    const [vx, vy] = [rng.floats(sizes.x), rng.floats(sizes.y)];
    const pointers = [m.floats(vx), m.floats(vy)];
    const dw = m.room(sizes.w);
    const want = new Array<number>(sizes.w).fill(0);
    each((i, w, o) => {
      want[w]! += vx[i]! * vy[o]!;
    });
    const length = spec.x[0] * plane;
    return {
      label,
      args: [...args, ...pointers, dw],
      outputs: [{ at: dw, want, ...near(length) }],
    };
  };
}

type Pool = readonly [
  shape: readonly number[],
  k: readonly number[],
  s: readonly number[],
  p: readonly number[],
];
const POOLS: readonly Pool[] = [
  [
    [0, 2, 4, 4],
    [2, 2],
    [2, 2],
    [0, 0],
  ],
  [
    [2, 3, 6, 8],
    [2, 2],
    [2, 2],
    [0, 0],
  ],
  [
    [1, 2, 7, 5],
    [3, 3],
    [2, 2],
    [1, 1],
  ],
  [
    [2, 1, 5, 5],
    [3, 2],
    [1, 1],
    [1, 0],
  ],
  [
    [1, 3, 4, 4],
    [4, 4],
    [1, 1],
    [0, 0],
  ],
  [
    [2, 1, 9, 22],
    [3, 3],
    [2, 2],
    [1, 1],
  ],
  [
    [1, 2, 3, 17],
    [2, 5],
    [1, 1],
    [1, 2],
  ],
  [
    [1, 1, 4, 30],
    [2, 2],
    [2, 3],
    [0, 0],
  ],
];

type PoolWindow = { readonly at: readonly number[]; readonly y: number };

/** The kernel's arguments and, for every output, the inputs inside its window. */
function windows([shape, k, s, p]: Pool) {
  const [n, c, h, w] = shape as [number, number, number, number];
  const out = (size: number, i: number) => Math.floor((size + 2 * p[i]! - k[i]!) / s[i]!) + 1;
  const [oh, ow] = [out(h, 0), out(w, 1)];
  const list: PoolWindow[] = [...indices(n * c, oh, ow)].map(([plane, oy, ox], y) => {
    const at: number[] = [];
    for (const [ky, kx] of indices(...k)) {
      const iy = oy! * s[0]! - p[0]! + ky!;
      const ix = ox! * s[1]! - p[1]! + kx!;
      if (iy >= 0 && ix >= 0 && iy < h && ix < w) at.push((plane! * h + iy) * w + ix);
    }
    return { at, y };
  });
  return { args: [n, c, h, w, ...k, ...s, ...p, oh, ow], list, size: n * c * h * w };
}

/** First maximum of a window; a NaN is one. */
function firstMax(values: Float32Array, at: readonly number[]): number {
  let best = at[0]!;
  for (const i of at) {
    if (Number.isNaN(values[best]!)) break;
    if (values[i]! > values[best]! || Number.isNaN(values[i]!)) best = i;
  }
  return best;
}

function pool(
  spec: Pool,
  make: (m: Machine, rng: Random, w: ReturnType<typeof windows>) => Omit<Case, 'label'>,
): CaseMaker {
  return (m, rng) => ({ label: JSON.stringify(spec), ...make(m, rng, windows(spec)) });
}

const maxPool = (spec: Pool) =>
  pool(spec, (m, rng, { args, list, size }) => {
    const values = rng.wild(size);
    const x = m.floats(values);
    const y = m.room(list.length);
    const want = list.map(({ at }) => values[firstMax(values, at)]!);
    return { args: [...args, x, y], outputs: [{ at: y, want }] };
  });

const maxPoolGrad = (spec: Pool) =>
  pool(spec, (m, rng, { args, list, size }) => {
    // Few distinct values: ties must go to the first.
    const values = Float32Array.from(rng.ints(size, 3));
    const grad = rng.floats(list.length);
    const pointers = [m.floats(values), m.floats(grad)];
    const dx = m.room(size);
    const want = new Array<number>(size).fill(0);
    for (const { at, y } of list) want[firstMax(values, at)]! += grad[y]!;
    return { args: [...args, ...pointers, dx], outputs: [{ at: dx, want, abs: 1e-5 }] };
  });

const avgPool = (spec: Pool) =>
  pool(spec, (m, rng, { args, list, size }) => {
    const values = rng.floats(size);
    const x = m.floats(values);
    const y = m.room(list.length);
    const area = spec[1][0]! * spec[1][1]!;
    const want = list.map(({ at }) => at.reduce((sum, i) => sum + values[i]!, 0) / area);
    return { args: [...args, x, y], outputs: [{ at: y, want, abs: 1e-5 }] };
  });

const avgPoolGrad = (spec: Pool) =>
  pool(spec, (m, rng, { args, list, size }) => {
    const grad = rng.floats(list.length);
    const dy = m.floats(grad);
    const dx = m.room(size);
    const area = spec[1][0]! * spec[1][1]!;
    const want = new Array<number>(size).fill(0);
    for (const { at, y } of list) for (const i of at) want[i]! += grad[y]! / area;
    return { args: [...args, dy, dx], outputs: [{ at: dx, want, abs: 1e-5 }] };
  });

const SHAPES: readonly [number, number, number][] = [
  [0, 3, 4],
  [3, 0, 4],
  [3, 5, 0],
  [1, 1, 1],
  [1, 40, 9],
  [2, 9, 33],
  [3, 17, 5],
  [4, 8, 16],
  [5, 100, 31],
  [17, 23, 300],
  [70, 12, 7],
  [131, 10, 20],
  [6, 33, 600],
];

export const PRODUCTS: CaseTable = {
  pack_b: [
    [0, 5],
    [3, 0],
    [1, 1],
    [7, 8],
    [5, 17],
    [33, 24],
  ].flatMap(([k, n]) => [packB(k!, n!, false), packB(k!, n!, true)]),
  gemm: SHAPES.flatMap((shape) => [
    gemm(shape, false, false, 0),
    gemm(shape, true, true, 0),
    gemm(shape, false, true, 1),
    gemm(shape, false, true, 0, 1),
  ]),
  gemv: SHAPES.flatMap((shape) => [gemv(shape, false, 0), gemv(shape, true, 1)]),
  conv2d: CONVS.flatMap((spec) => [conv(spec, false), conv(spec, true), conv(spec, true, 1)]),
  conv2d_direct: CONVS.filter(fitsDirect).flatMap((spec) => [
    conv(spec, false),
    conv(spec, true, 1),
  ]),
  winograd_weights: WINOGRADS.map(winogradTransform),
  conv2d_winograd: WINOGRADS.flatMap((spec) => [
    conv(spec, false, 0, transformed, 8),
    conv(spec, true, 1, transformed, 8),
  ]),
  conv2d_input_grad: CONVS.map(convInputGrad),
  conv2d_weight_grad: CONVS.map(convWeightGrad),
  conv2d_grouped: GROUPED.flatMap((spec) => [conv(spec, false), conv(spec, true, 1)]),
  conv2d_grouped_input_grad: GROUPED.map(convInputGrad),
  conv2d_grouped_weight_grad: GROUPED.map(convWeightGrad),
  max_pool: POOLS.map(maxPool),
  max_pool_grad: POOLS.map(maxPoolGrad),
  avg_pool: POOLS.map(avgPool),
  avg_pool_grad: POOLS.map(avgPoolGrad),
};
