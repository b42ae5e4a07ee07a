/**
 * Sparse products worked out for the kernels of assembly/sparse.ts: where activations lie, which
 * offset a non-zero has, and where the output tiles begin. Pure arrays; nothing here runs
 * in a step. Dense layers are convolutions of 1 x 1 planes, transposed convolutions with stride are
 * a few convolutions without, and several images side by side are wider planes, so that one
 * encoding serves all.
 *
 * Cost: two looks at every non-zero.
 */
import { fail } from '../errors';
import type { OptionalPtr, Ptr } from '../runtime/kernels';
import type { ConvShape } from '../tensor/convolution';

/** Outputs of a tile: 4 vectors. */
export const TILE = 16;

/**
 * Where the elements of [c, h, w] of `lanes` images lie: [channels][lines][columns][lanes],
 * [lines][channels][columns][lanes] or [lines][columns][channels][lanes], with free room between.
 * Element (i, y, x, l) is at origin + i * channel + y * line + x * column + l. Lines share their
 * padding: the right end of one is the left end of the next.
 */
export interface Planes {
  readonly lanes: number;
  readonly shape: readonly [c: number, h: number, w: number];
  readonly origin: number;
  readonly channel: number;
  readonly line: number;
  readonly column: number;
  /** Elements of all, with what the last tile reads past the end. */
  readonly size: number;
}

/**
 * What lies together: planes, along which tiles may go; the lines of all channels, so that what a
 * tile of outputs reads is in few pages of memory; or, for whole tiles of lanes, the channels of a
 * position, so that it reads and writes runs of memory, not a place in every plane.
 */
export type Order = 'planes' | 'lines' | 'positions';

/** Positions kept free around a plane: top, left, bottom, right. */
export type Margins = readonly [top: number, left: number, bottom: number, right: number];

/** Planes with margins; `columns` asks for lines of at least so many positions. */
export function planesOf(
  shape: Planes['shape'],
  lanes: number,
  [top, left, bottom, right]: Margins = [0, 0, 0, 0],
  columns = 0,
  order: Order = 'planes',
): Planes {
  const [c, h, w] = shape;
  const pitch = Math.max(w + Math.max(left, right), columns);
  if (order !== 'planes') {
    const line = c * pitch * lanes;
    const [channel, column] = order === 'lines' ? [pitch * lanes, lanes] : [lanes, c * lanes];
    const origin = top * line + left * column;
    const size = origin + (h + bottom) * line + 2 * TILE;
    return { lanes, shape, origin, channel, line, column, size };
  }
  const origin = (top * pitch + left) * lanes;
  const end = origin + ((h - 1 + bottom) * pitch + w + right) * lanes;
  // Tiles along planes write zeros behind them.
  const room = lanes % TILE === 0 ? end : origin + TILE * Math.ceil((end - origin) / TILE);
  const channel = Math.max(end, room);
  const size = c * channel + 2 * TILE;
  return { lanes, shape, origin, channel, line: pitch * lanes, column: lanes, size };
}

/** Single numbers, one after the other: what `sparse_vector` writes. */
export const singles = (shape: Planes['shape']): Planes => ({
  ...{ lanes: 1, shape, origin: 0, channel: 1, line: 1, column: 1 },
  size: shape[0] + 2 * TILE,
});

type Pair = readonly [y: number, x: number];

/** A weight of a kernel and the position it reads for output (0, 0) of a pass. */
interface Tap {
  readonly weight: number;
  readonly at: Pair;
  /** Which of the planes a channel was split into. */
  readonly phase: number;
}

/**
 * A convolution, or one phase of a transposed one: output start + stride * g reads the taps at
 * at + step * g, for every g of the grid.
 */
export interface Pass {
  readonly grid: Pair;
  readonly step: Pair;
  readonly start: Pair;
  readonly stride: Pair;
  readonly taps: readonly Tap[];
  /** Which part of the output's channels it writes, of how many. */
  readonly part: readonly [index: number, count: number];
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const mod = (a: number, b: number): number => ((a % b) + b) % b;

/** The convolution itself. */
export function forwardPass(s: ConvShape): Pass {
  const taps = range(s.kernelHeight * s.kernelWidth).map((weight): Tap => {
    const [ky, kx] = [Math.floor(weight / s.kernelWidth), weight % s.kernelWidth];
    const at = [ky * s.dilationY - s.padTop, kx * s.dilationX - s.padLeft] as const;
    return { weight, at, phase: 0 };
  });
  return {
    ...{ grid: [s.outHeight, s.outWidth], step: [s.strideY, s.strideX], start: [0, 0] },
    ...{ stride: [1, 1], taps, part: [0, 1] },
  };
}

/** Its transpose: a pass for each phase of the input's positions, all with step 1. */
export function transposedPasses(s: ConvShape): Pass[] {
  const { height: h, width: w, strideY: sh, strideX: sw } = s;
  const { taps } = forwardPass(s);
  const phases = range(Math.min(sh, h)).flatMap((y) =>
    range(Math.min(sw, w)).map((x) => [y, x] as const),
  );
  return phases.map(([py, px]) => ({
    grid: [Math.ceil((h - py) / sh), Math.ceil((w - px) / sw)],
    step: [1, 1],
    start: [py, px],
    stride: [sh, sw],
    part: [0, 1],
    taps: taps
      .filter(({ at: [y, x] }) => mod(py - y, sh) === 0 && mod(px - x, sw) === 0)
      .map((tap) => ({ ...tap, at: [(py - tap.at[0]) / sh, (px - tap.at[1]) / sw] as const })),
  }));
}

/** The same pass over input planes split by `phasesOf`: step 1. */
export function overSplitInput(pass: Pass): Pass {
  const [sy, sx] = pass.step;
  const taps = pass.taps.map(({ weight, at: [y, x] }) => ({
    weight,
    at: [Math.floor(y / sy), Math.floor(x / sx)] as const,
    phase: mod(y, sy) * sx + mod(x, sx),
  }));
  return { ...pass, step: [1, 1], taps };
}

/** The same passes into output planes split by `phasesOf`: stride 1. */
export const intoSplitOutput = (passes: readonly Pass[]): Pass[] =>
  passes.map((pass, i) => ({
    ...pass,
    start: [0, 0],
    stride: [1, 1],
    part: [i, passes.length],
  }));

/** [c, h, w] as planes of every sy-th line and sx-th column: phase by phase, all c of each. */
export const phasesOf = ([c, h, w]: Planes['shape'], [sy, sx]: Pair): Planes['shape'] => [
  c * sy * sx,
  Math.ceil(h / sy),
  Math.ceil(w / sx),
];

/** What passes read outside of planes [h, w]. */
export function marginsOf(passes: readonly Pass[], [, h, w]: Planes['shape']): Margins {
  const all: Margins = [0, 0, 0, 0];
  return passes.reduce<Margins>((most, { grid, step, taps }) => {
    // By reduction: a kernel may have more taps than a call has arguments.
    const over = (least: number, d: 0 | 1, beyond: (at: number) => number): number =>
      taps.reduce((max, { at }) => Math.max(max, beyond(at[d])), least);
    const last = (d: 0 | 1): number => (grid[d] - 1) * step[d];
    return [
      over(most[0], 0, (y) => -y),
      over(most[1], 1, (x) => -x),
      over(most[2], 0, (y) => y + last(0) - h + 1),
      over(most[3], 1, (x) => x + last(1) - w + 1),
    ];
  }, all);
}

/** A sparse matrix: for each row its non-zeros. `entries` says which of those given they are. */
export interface Rows {
  readonly starts: Int32Array;
  readonly offsets: Int32Array;
  readonly entries: Int32Array;
}

const least = (taps: readonly Tap[], d: 0 | 1): number =>
  taps.reduce((min, { at }) => Math.min(min, at[d]), taps[0]?.at[d] ?? 0);

/** Where the elements are that are not 0, row-major. */
export function nonZeros(dense: ArrayLike<number>): Uint32Array {
  let count = 0;
  for (let i = 0; i < dense.length; i++) if (dense[i] !== 0) count++;
  const positions = new Uint32Array(count);
  for (let i = 0, n = 0; n < count; i++) if (dense[i] !== 0) positions[n++] = i;
  return positions;
}

/**
 * The rows of a pass over `source`: of a weight [oc, c / groups, kh, kw] as it lies, or of its transpose
 * (rows are then c), from the ascending places of its non-zeros. A row keeps their order.
 */
export function encodeRows(
  places: ArrayLike<number>,
  { inChannels: c, outChannels: oc, groups, kernelHeight, kernelWidth }: ConvShape,
  { taps }: Pass,
  source: Planes,
  transposed = false,
): Rows {
  const rows = transposed ? c : oc;
  const area = kernelHeight * kernelWidth;
  const [depth, perGroup] = [c / groups, oc / groups];
  const { inChannel, inKernel } = offsetsOf(transposed ? oc : c, area, taps, source);
  // By plain numbers: a fresh process runs these loops before they are compiled.
  const starts = new Int32Array(rows + 1);
  for (let n = 0; n < places.length; n++) {
    const at = places[n]!;
    const pair = Math.floor(at / area);
    if (inKernel[at - pair * area]! < 0) continue;
    const o = Math.floor(pair / depth);
    starts[1 + (transposed ? pair - (o - Math.floor(o / perGroup)) * depth : o)]!++;
  }
  for (let r = 0; r < rows; r++) starts[r + 1]! += starts[r]!;
  const next = starts.slice();
  const offsets = new Int32Array(starts[rows]!);
  const entries = new Int32Array(starts[rows]!);
  for (let n = 0; n < places.length; n++) {
    const at = places[n]!;
    const pair = Math.floor(at / area);
    const tap = inKernel[at - pair * area]!;
    if (tap < 0) continue;
    const o = Math.floor(pair / depth);
    const i = pair - (o - Math.floor(o / perGroup)) * depth;
    const to = next[transposed ? i : o]!++;
    offsets[to] = tap + inChannel[transposed ? o : i]!;
    entries[to] = n;
  }
  return { starts, offsets, entries };
}

/** Changes places in [oc, c / groups, kh, kw] to places in [oc, c, kh, kw]. */
export function withoutGroups(places: Int32Array, s: ConvShape): void {
  if (s.groups === 1) return;
  const [depth, area] = [s.inChannels / s.groups, s.kernelHeight * s.kernelWidth];
  const perGroup = s.outChannels / s.groups;
  places.forEach((at, i) => {
    const row = Math.floor(at / (depth * area));
    const before = row * (s.inChannels - depth) + Math.floor(row / perGroup) * depth;
    places[i] = at + before * area;
  });
}

/** An offset is one of a channel and one of a place in the kernel, -1 where the pass has no tap. */
export function offsetsOf(
  channels: number,
  area: number,
  taps: readonly Tap[],
  source: Planes,
): { readonly inChannel: Int32Array; readonly inKernel: Int32Array } {
  const inKernel = new Int32Array(area).fill(-1);
  const [top, left] = [least(taps, 0), least(taps, 1)];
  for (const { weight, at, phase } of taps) {
    const [y, x] = [at[0] - top, at[1] - left];
    const channel = phase * channels * source.channel;
    inKernel[weight] = 4 * (channel + y * source.line + x * source.column);
  }
  return { inChannel: channelOffsets(channels, source), inKernel };
}

/** Bytes from the first channel of the input to each; a dense layer after a flatten has many a plane. */
function channelOffsets(channels: number, { shape, channel, line, column }: Planes): Int32Array {
  const [planes, h, w] = shape;
  const each = channels > planes ? h * w : 1;
  return Int32Array.from({ length: channels }, (_, i) => {
    const within = i % each;
    return (
      4 * (Math.floor(i / each) * channel + Math.floor(within / w) * line + (within % w) * column)
    );
  });
}

/** Where the tiles of a pass lie; `masks` has a word a lane, 0 where a tile covers no output. */
export interface Places {
  readonly places: Int32Array;
  readonly masks: Int32Array | undefined;
}

/** One pass in linear memory: a sparse matrix in compressed rows, and the output tiles it is applied to. */
export interface CsrTables {
  readonly rows: number;
  readonly nnz: number;
  readonly starts: Ptr;
  readonly offsets: Ptr;
  readonly tiles: number;
  readonly places: Ptr;
  readonly masks: OptionalPtr;
}

/** The tiles of such tables; `put` says where it has written words. */
export const putTiles = (
  put: (words: Int32Array) => Ptr,
  { places, masks }: Places,
): Pick<CsrTables, 'tiles' | 'places' | 'masks'> => ({
  tiles: places.length / 2,
  places: put(places),
  masks: masks ? put(masks) : 0,
});

/**
 * Tiles along lines where they fill them, position by position where images do, and else along
 * whole planes, over the free room at the ends of lines, to which they write zeros: source and
 * target need lines of one length then.
 */
export function encodePlaces(pass: Pass, source: Planes, target: Planes): Places {
  const { grid, step, start, stride, taps, part } = pass;
  const { lanes } = source;
  const [gh, gw] = grid;
  const channel = ((part[0] * target.shape[0]) / part[1]) * target.channel;
  const from = (y: number, x: number): number =>
    source.origin +
    (least(taps, 0) + y * step[0]) * source.line +
    (least(taps, 1) + x * step[1]) * source.column;
  const to = (y: number, x: number): number =>
    channel +
    target.origin +
    (start[0] + y * stride[0]) * target.line +
    (start[1] + x * stride[1]) * target.column;
  const list: number[] = [];
  const put = (a: number, b: number): void => void list.push(4 * a, 4 * b);
  const run = gw * lanes;
  const adjoining = step[1] === 1 && stride[1] === 1;
  if (lanes % TILE === 0) {
    for (let y = 0; y < gh; y++)
      for (let x = 0; x < gw; x++)
        for (let l = 0; l < lanes; l += TILE) put(from(y, x) + l, to(y, x) + l);
  } else if (adjoining && run % TILE === 0) {
    for (let y = 0; y < gh; y++)
      for (let l = 0; l < run; l += TILE) put(from(y, 0) + l, to(y, 0) + l);
  } else {
    const even = source.line * step[0] === target.line * stride[0] && step[0] === 1;
    const end = target.origin + TILE * Math.ceil(((gh - 1) * target.line + run) / TILE);
    if (adjoining && run > TILE && !(even && end <= target.channel)) {
      // The last tile of a line overlaps the one before.
      for (let y = 0; y < gh; y++)
        for (let l = 0; l < run; l += TILE) {
          const at = Math.min(l, run - TILE);
          put(from(y, 0) + at, to(y, 0) + at);
        }
      return { places: Int32Array.from(list), masks: undefined };
    }
    if (!adjoining || (gh > 1 && !even))
      fail('sparse product', 'planes with lines of one length', [source.line, target.line]);
    return alongPlanes(grid, source, from(0, 0), to(0, 0));
  }
  return { places: Int32Array.from(list), masks: undefined };
}

function alongPlanes([gh, gw]: Pair, { line, lanes }: Planes, from: number, to: number): Places {
  const total = gh * gw === 0 ? 0 : (gh - 1) * line + gw * lanes;
  const firsts = range(Math.ceil(total / TILE)).map((t) => t * TILE);
  const inside = (i: number): boolean => i < total && i % line < gw * lanes;
  return {
    places: Int32Array.from(firsts.flatMap((i) => [4 * (from + i), 4 * (to + i)])),
    masks: Int32Array.from(firsts.flatMap((i) => range(TILE).map((l) => (inside(i + l) ? -1 : 0)))),
  };
}
