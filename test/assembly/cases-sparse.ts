/** Cases of the sparse products and of pooling with lanes, against direct loops in f64. */
import { type Case, type CaseMaker, type CaseTable, indices } from './case';
import type { Machine, Random } from './harness';

const TILE = 16;
/** Elements of one image of x, in which every offset and place stays. */
const EXTENT = 90;

interface Spec {
  readonly m: number;
  readonly n: number;
  readonly tiles: number;
  /** Non-zeros a row; rows with fewer lie between. */
  readonly most: number;
  readonly masked?: boolean;
  readonly bias?: boolean;
  readonly clamp?: readonly [lo: number, hi: number];
  /** Inputs with NaN and infinities. */
  readonly wild?: boolean;
}

const SPECS: readonly Spec[] = [
  { m: 3, n: 0, tiles: 2, most: 3 },
  { m: 0, n: 2, tiles: 2, most: 3 },
  { m: 3, n: 1, tiles: 0, most: 3 },
  { m: 1, n: 1, tiles: 1, most: 0, bias: true },
  { m: 1, n: 1, tiles: 1, most: 1 },
  { m: 5, n: 2, tiles: 2, most: 7, bias: true, clamp: [0, Infinity] },
  { m: 4, n: 3, tiles: 3, most: 17, masked: true },
  { m: 17, n: 1, tiles: 5, most: 40, bias: true, masked: true, clamp: [-1, 2] },
  { m: 7, n: 2, tiles: 3, most: 9, wild: true },
  { m: 7, n: 2, tiles: 4, most: 9, wild: true, clamp: [0, 6] },
];

/** More rows than wait in a workspace. */
const TALL: Spec = { m: 131, n: 2, tiles: 3, most: 3, masked: true, bias: true };

/** A random matrix and where its tiles lie, as the kernels take them. */
function sparse({ m, n, tiles, most, masked, bias, wild }: Spec, machine: Machine, rng: Random) {
  const counts = Array.from({ length: m }, (_, r) =>
    r % 3 === 1 ? 0 : r % 3 ? rng.int(most + 1) : most,
  );
  const starts = [0];
  for (const count of counts) starts.push(starts.at(-1)! + count);
  const nnz = starts.at(-1)!;
  const values = rng.floats(nnz);
  const offsets = rng.ints(nnz, EXTENT - 3 * TILE).map((i) => 4 * i);
  const yRow = TILE * tiles + 3;
  const places = Array.from({ length: tiles }, (_, g) => [
    4 * rng.int(2 * TILE),
    4 * (TILE * g + 1),
  ]);
  const masks = rng.ints(tiles * TILE, 2).map((bit) => -bit);
  const biases = rng.floats(m);
  // Without numbers whose products are infinite in f32 only.
  const draw = (): Float32Array =>
    (wild ? rng.wild(n * EXTENT) : rng.floats(n * EXTENT)).map((v) =>
      Number.isFinite(v) && Math.abs(v) > 1e37 ? 1 : v,
    );
  const at = {
    starts: machine.ints(starts),
    values: machine.floats(values),
    offsets: machine.ints(offsets),
    places: machine.ints(places.flat()),
    masks: masked ? machine.ints(masks) : 0,
    bias: bias ? machine.floats(biases) : 0,
  };
  /** Row r, the non-zeros of it, output index and lane, of every output. */
  const each = (visit: (r: number, image: number, g: number, lane: number, y: number) => void) => {
    for (const [image, r, g, lane] of indices(n, m, tiles, TILE)) {
      const y = (image! * m + r!) * yRow + places[g!]![1]! / 4 + lane!;
      visit(r!, image!, g!, lane!, y);
    }
  };
  const input = (image: number, g: number, v: number, lane: number): number =>
    image * EXTENT + places[g]![0]! / 4 + offsets[v]! / 4 + lane;
  const toTile = (g: number): number => places[g]![1]! / 4;
  const kept = (g: number, lane: number): boolean => !masked || masks[g * TILE + lane] !== 0;
  const biasOf = (r: number): number => (bias ? biases[r]! : 0);
  const size = n * m * yRow;
  return { at, starts, values, offsets, nnz, yRow, size, each, input, toTile, kept, biasOf, draw };
}

/** f64 sums; what a kernel leaves alone keeps the bits of `machine`. */
function outputs(machine: Machine, y: number, size: number): number[] {
  return Array.from(machine.f32.subarray(y >> 2, (y >> 2) + size));
}

const clampTo = (v: number, lo: number, hi: number): number =>
  Number.isNaN(v) ? v : Math.min(Math.max(v, lo), hi);

const near = (length: number) => ({ rel: 1e-6, abs: 1e-6 * (length + 1) });

function product(spec: Spec): CaseMaker {
  return (machine, rng) => {
    const s = sparse(spec, machine, rng);
    const [lo, hi] = spec.clamp ?? [-Infinity, Infinity];
    const x = s.draw();
    const [px, y] = [machine.floats(x), machine.room(s.size)];
    const want = outputs(machine, y, s.size);
    s.each((r, image, g, lane, to) => {
      let sum = s.biasOf(r);
      for (let v = s.starts[r]!; v < s.starts[r + 1]!; v++)
        sum += s.values[v]! * x[s.input(image, g, v, lane)]!;
      want[to] = s.kept(g, lane) ? clampTo(sum, lo, hi) : 0;
    });
    const { m, n, tiles } = spec;
    return {
      label: JSON.stringify(spec),
      args: [
        ...[m, n, tiles, s.at.starts, s.at.values, s.at.offsets, s.at.places, s.at.masks],
        ...[s.at.bias, px, 4 * EXTENT, y, 4 * m * s.yRow, 4 * s.yRow, lo, hi],
      ],
      outputs: [{ at: y, want, ...near(spec.most) }],
    };
  };
}

/** The rows of `sparse` by four, over the offsets of the first: so m counts them. */
function blocks(spec: Spec): CaseMaker {
  return (machine, rng) => {
    const s = sparse({ ...spec, m: Math.ceil(spec.m / 4) }, machine, rng);
    const { m, n, tiles } = spec;
    const [lo, hi] = spec.clamp ?? [-Infinity, Infinity];
    const values = rng.floats(4 * s.nnz);
    const biases = rng.floats(m);
    const x = s.draw();
    const [px, y] = [machine.floats(x), machine.room(n * m * s.yRow)];
    const [pv, pb] = [machine.floats(values), spec.bias ? machine.floats(biases) : 0];
    const want = outputs(machine, y, n * m * s.yRow);
    for (const [image, r, g, lane] of indices(n, m, tiles, TILE)) {
      const block = Math.floor(r! / 4);
      let sum = spec.bias ? biases[r!]! : 0;
      for (let v = s.starts[block]!; v < s.starts[block + 1]!; v++)
        sum += values[4 * v + (r! % 4)]! * x[s.input(image!, g!, v, lane!)]!;
      const to = (image! * m + r!) * s.yRow + s.toTile(g!) + lane!;
      want[to] = s.kept(g!, lane!) ? clampTo(sum, lo, hi) : 0;
    }
    return {
      label: JSON.stringify(spec),
      args: [
        ...[m, n, tiles, s.at.starts, pv, s.at.offsets, s.at.places, s.at.masks],
        ...[pb, px, 4 * EXTENT, y, 4 * m * s.yRow, 4 * s.yRow, lo, hi],
      ],
      outputs: [{ at: y, want, ...near(spec.most) }],
    };
  };
}

/** [scale, floor, grow, tiny, alpha, beta, under] of what `sparse_bounds` makes of its sums. */
const FORM = [1.25, 0, 1e-2, 1e-3, 1.5, 0.25, 1e-2] as const;

/** Sums alone, or of one image as ends, or as centre and fed radius. */
function pair(given: Spec, form?: 'ends' | 'fed'): CaseMaker {
  const spec = form ? { ...given, n: 1 } : given;
  return (machine, rng) => {
    const s = sparse(spec, machine, rng);
    const [x, radius] = [s.draw(), s.draw().map(Math.abs)];
    const [px, pr] = [machine.floats(x), machine.floats(radius)];
    const [y, t] = [machine.room(s.size), machine.room(s.size)];
    const lifts = rng.floats(spec.m).map(Math.abs);
    const [wantY, wantS] = [outputs(machine, y, s.size), outputs(machine, t, s.size)];
    let flagged = false;
    s.each((r, image, g, lane, to) => {
      let [centre, sum] = [s.biasOf(r), 0];
      for (let v = s.starts[r]!; v < s.starts[r + 1]!; v++) {
        const at = s.input(image, g, v, lane);
        centre += s.values[v]! * x[at]!;
        sum += Math.abs(s.values[v]!) * radius[at]!;
      }
      const far = FORM[0] * sum + lifts[r]!;
      if (form) flagged ||= !(far < 2 ** 76);
      const [a, b] = form ? boundsOf(form, centre, far) : [centre, sum];
      wantY[to] = s.kept(g, lane) ? a : 0;
      wantS[to] = s.kept(g, lane) ? b : 0;
    });
    const { m, n, tiles } = spec;
    const flag = machine.floats([0]);
    // The last word is a whole number.
    const table = [...FORM, form === 'fed' ? 2 ** -149 : 0];
    return {
      label: `${JSON.stringify(spec)} ${form}`,
      args: [
        ...[...(form ? [m] : [m, n]), tiles, s.at.starts, s.at.values, s.at.offsets],
        ...[s.at.places, s.at.masks, s.at.bias, px, pr],
        ...(form
          ? [y, t, 4 * s.yRow, machine.floats(table), machine.floats(lifts), flag]
          : [4 * EXTENT, y, t, 4 * m * s.yRow, 4 * s.yRow]),
      ],
      outputs: [
        { at: y, want: wantY, ...near(4 * spec.most) },
        { at: t, want: wantS, ...near(4 * spec.most) },
        { at: flag, want: [flagged ? Number.NaN : 0] },
      ],
    };
  };
}

function boundsOf(form: 'ends' | 'fed', c: number, r: number): [number, number] {
  const [, floor, grow, tiny, alpha, beta, under] = FORM;
  const out = form === 'ends' ? (v: number) => Math.abs(v) * grow + tiny : () => 0;
  const [lo, hi] = [c - r - out(c - r), c + r + out(c + r)].map((v) =>
    clampTo(v, floor, Infinity),
  ) as [number, number];
  if (form === 'ends') return [lo, hi];
  const m = (lo + hi) / 2;
  return [m, alpha * (hi - m) + beta * Math.abs(m) + under];
}

function vector(spec: Spec): CaseMaker {
  return (machine, rng) => {
    const s = sparse({ ...spec, n: 1 }, machine, rng);
    const [lo, hi] = spec.clamp ?? [-Infinity, Infinity];
    const x = s.draw();
    const [px, y] = [machine.floats(x), machine.room(spec.m)];
    const want = Array.from({ length: spec.m }, (_, r) => {
      let sum = s.biasOf(r);
      for (let v = s.starts[r]!; v < s.starts[r + 1]!; v++)
        sum += s.values[v]! * x[s.offsets[v]! / 4]!;
      return clampTo(sum, lo, hi);
    });
    return {
      label: JSON.stringify(spec),
      args: [spec.m, s.at.starts, s.at.values, s.at.offsets, s.at.bias, px, y, lo, hi],
      outputs: [{ at: y, want, ...near(spec.most) }],
    };
  };
}

function sampled(spec: Spec): CaseMaker {
  return (machine, rng) => {
    const s = sparse({ ...spec, wild: false }, machine, rng);
    const [x, dy] = [s.draw(), rng.floats(s.size)];
    const [px, pdy, out] = [machine.floats(x), machine.floats(dy), machine.room(s.nnz)];
    const want = new Array<number>(s.nnz).fill(0);
    s.each((r, image, g, lane, at) => {
      for (let v = s.starts[r]!; v < s.starts[r + 1]!; v++)
        want[v]! += x[s.input(image, g, v, lane)]! * dy[at]!;
    });
    const { m, n, tiles } = spec;
    return {
      label: JSON.stringify(spec),
      args: [
        ...[m, s.nnz, n, tiles, s.at.starts, s.at.offsets, s.at.places, px, 4 * EXTENT],
        ...[pdy, 4 * m * s.yRow, 4 * s.yRow, out],
      ],
      outputs: [{ at: out, want, ...near(n * tiles * TILE) }],
    };
  };
}

type Pool = readonly [
  ...[c: number, oh: number, ow: number, lanes: number],
  ...[kh: number, kw: number, sh: number, sw: number],
];
const POOLS: readonly Pool[] = [
  [0, 2, 2, 4, 2, 2, 2, 2],
  [2, 3, 4, 1, 2, 2, 2, 2],
  [3, 2, 2, 8, 2, 2, 2, 2],
  [2, 2, 3, 7, 3, 2, 1, 2],
  [1, 1, 1, 16, 1, 1, 1, 1],
  [2, 1, 1, 6, 4, 4, 4, 4],
  [2, 3, 11, 1, 2, 2, 2, 2],
  [1, 2, 9, 1, 3, 3, 1, 1],
  [2, 2, 8, 1, 3, 2, 2, 2],
  [1, 2, 5, 1, 2, 3, 1, 3],
];

function poolLanes(spec: Pool, average: number): CaseMaker {
  return (machine, rng): Case => {
    const [c, oh, ow, lanes, kh, kw, sh, sw] = spec;
    const line = ((ow - 1) * sw + kw + 1) * lanes;
    const channel = ((oh - 1) * sh + kh) * line + 5;
    const [yLine, yChannel] = [(ow + 1) * lanes, oh * (ow + 1) * lanes + 3];
    const x = average ? rng.floats(c * channel) : rng.wild(c * channel);
    const [px, y] = [machine.floats(x), machine.room(c * yChannel)];
    const want = outputs(machine, y, c * yChannel);
    for (const [i, oy, ox, l] of indices(c, oh, ow, lanes)) {
      const seen = [...indices(kh, kw)].map(
        ([ky, kx]) => x[i! * channel + (oy! * sh + ky!) * line + (ox! * sw + kx!) * lanes + l!]!,
      );
      const value = average ? seen.reduce((a, b) => a + b, 0) / (kh * kw) : Math.max(...seen);
      want[i! * yChannel + oy! * yLine + ox! * lanes + l!] = value;
    }
    return {
      label: JSON.stringify([...spec, average]),
      args: [...spec, px, 4 * channel, 4 * line, y, 4 * yChannel, 4 * yLine, average],
      outputs: [{ at: y, want, abs: 1e-5 }],
    };
  };
}

type Weight = readonly [m: number, c: number, area: number, density: number];
const WEIGHTS: readonly Weight[] = [
  [1, 1, 1, 1],
  [3, 5, 1, 0.4],
  [17, 3, 9, 0],
  [4, 7, 9, 0.1],
  [5, 2, 6, 1],
  [131, 17, 1, 0.05],
];

const rows =
  ([m, c, area, density]: Weight): CaseMaker =>
  (machine, rng): Case => {
    const all = Array.from({ length: m * c * area }, (_, i) => i);
    const positions = all.filter(() => rng.int(1000) < 1000 * density);
    const [inChannel, inKernel] = [rng.ints(c, 5000), rng.ints(area, 5000)];
    const starts = Array.from(
      { length: m + 1 },
      (_, r) => positions.filter((at) => at < r * c * area).length,
    );
    const offsets = positions.map(
      (at) => inChannel[Math.floor(at / area) % c]! + inKernel[at % area]!,
    );
    const given = [positions, inChannel, inKernel].map((table) => machine.ints([...table]));
    const [to, of] = [machine.room(m + 1), machine.room(positions.length)];
    return {
      label: JSON.stringify([m, c, area, density]),
      args: [m, positions.length, c, area, ...given, to, of],
      outputs: [
        { at: to, want: starts, type: 'i32' },
        { at: of, want: offsets, type: 'i32' },
      ],
    };
  };

export const SPARSE: CaseTable = {
  sparse_product: SPECS.map(product),
  sparse_blocks: [1, 2, 4].flatMap((k) => SPECS.map((spec) => blocks({ ...spec, m: k * spec.m }))),
  sparse_bounds: (['ends', 'fed'] as const).flatMap((form) =>
    [...SPECS, TALL].map((spec) => pair(spec, form)),
  ),
  sparse_vector: SPECS.map(vector),
  sparse_sampled: SPECS.map(sampled),
  sparse_rows: WEIGHTS.map(rows),
  pool_lanes: POOLS.flatMap((spec) => [poolLanes(spec, 0), poolLanes(spec, 1)]),
};
