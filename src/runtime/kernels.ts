/**
 * Every kernel of `assembly/`, once: its arguments by name and type, and how a call may be split.
 *
 * An entry is a function from the kernel's arguments (without workspace and row range) to a
 * `Split`. The engine calls the WebAssembly export of the same name as
 * `export(...args, [work,] r0, r1)` on every thread with its own rows `[r0, r1)` and its own
 * workspace. Dispatch, the pool, the tests and the benches all read this table.
 *
 * Pointers are byte offsets into the linear memory; strides count elements. `0` is "absent" for
 * pointers marked optional (`?`).
 */
export interface Split {
  /** Number of rows the call may be divided into. */
  readonly rows: number;
  /** Elementary operations of the whole call; small calls stay on one thread. */
  readonly cost: number;
  /** Bytes of private workspace a thread needs; absent means the export has no `work` argument. */
  readonly work?: number;
}

/** Tells addresses from other numbers where types are checked, and nowhere else. */
declare const kind: unique symbol;
/** A byte offset into the linear memory, as memory and arena give it: no other number is one. */
export type Ptr = number & { readonly [kind]: 'address' };
/** A pointer that may be 0 for "absent". */
export type OptionalPtr = Ptr | 0;
/** A non-negative 32-bit count, which no address is. */
export type Size = number & { readonly [kind]?: 'number' };
/** A signed 32-bit integer: strides, seeds, flags. */
export type Int = Size;
/** Rounded to f32 at the call. */
export type Scalar = Size;

/** The address of element `i` (4 bytes each) of what begins at `ptr`. */
export const element = (ptr: Ptr, i: number): Ptr => (ptr + 4 * i) as Ptr;

/** Columns of a panel of a packed matrix: `pack_b` writes `packedSize(k, n)` elements. */
export const PANEL = 8;

/** Elements (not bytes) of the packed form of a [k, n] matrix. */
export function packedSize(k: Size, n: Size): number {
  return Math.ceil(n / PANEL) * PANEL * k;
}

/**
 * Labels a kernel's arguments. `split` needs only as many of them as it reads; the type of the
 * table's entry has all.
 */
function kernel<A extends readonly number[]>(split: (...args: A) => Split) {
  return split;
}

type Unary = [n: Size, x: Ptr, y: Ptr];
type Broadcast = [
  ...[d0: Size, d1: Size, d2: Size],
  ...[a: Ptr, a0: Int, a1: Int, a2: Int],
  ...[b: Ptr, b0: Int, b1: Int, b2: Int],
  y: Ptr,
];
type Reduce = [outer: Size, reduce: Size, inner: Size, x: Ptr, y: Ptr];
/** Sizes of x [n, c, h, w], weights [oc, c, kh, kw] and y [n, oc, oh, ow]; strides, padding at
 * the top and left (bottom and right follow from oh and ow), dilations. */
export type ConvGeometry = [
  ...[n: Size, c: Size, h: Size, w: Size, oc: Size, kh: Size, kw: Size],
  ...[sh: Size, sw: Size, pt: Int, pl: Int, dh: Size, dw: Size, oh: Size, ow: Size],
];
/** Sizes of x [n, c, h, w], the window, its strides and padding, and of y [n, c, oh, ow]. */
export type PoolGeometry = [
  ...[n: Size, c: Size, h: Size, w: Size, kh: Size, kw: Size],
  ...[sh: Size, sw: Size, pt: Int, pl: Int, oh: Size, ow: Size],
];
type RandomFill = [
  ...[rows: Size, cols: Size, seedLo: Int, seedHi: Int, stream: Int, index: OptionalPtr],
  ...[a: Scalar, b: Scalar, y: Ptr],
];

/** Whether `conv2d_direct` takes a convolution (assembly/direct.ts). */
export function fitsDirect(...[, , , , , , , sh, sw, , , , , , ow]: ConvGeometry): boolean {
  return sh === sw && sh <= 2 && ow >= 4;
}

type SparseMatrix = [
  ...[m: Size, n: Size, tiles: Size, starts: Ptr, values: Ptr, offsets: Ptr, places: Ptr],
  masks: OptionalPtr,
];
type SparseProduct = [
  ...[...SparseMatrix, bias: OptionalPtr, x: Ptr, xImage: Int],
  ...[y: Ptr, yImage: Int, yRow: Int, lo: Scalar, hi: Scalar],
];

const elementwise = (flops: number) => kernel<Unary>((n) => ({ rows: n, cost: flops * n }));
const scaled = (flops: number) =>
  kernel<[n: Size, slope: Scalar, x: Ptr, y: Ptr]>((n) => ({ rows: n, cost: flops * n }));
const broadcast = kernel<Broadcast>((d0, d1, d2) => ({ rows: d0 * d1, cost: d0 * d1 * d2 }));
const reduction = kernel<Reduce>((outer, reduce, inner) => ({
  rows: outer * inner,
  cost: outer * reduce * inner,
}));
const randomFill = (flops: number) =>
  kernel<RandomFill>((rows, cols) => ({ rows, cost: flops * rows * cols, work: 160 }));

const convCost = (...[n, c, , , oc, kh, kw, , , , , , , oh, ow]: ConvGeometry) =>
  2 * n * oc * oh * ow * c * kh * kw;

/** Workspace of `run_panels` in conv.ts: taps, tile, places and as many panels as stay cached. */
function panelWork(taps: number, depth: number): number {
  const panels = Math.max(1, Math.min(8, Math.floor(8192 / Math.max(depth, 1))));
  return 12 * taps + 256 + 256 + Math.max(32 * depth * panels, Math.min(8 * 32 * depth, 262144));
}

/** Panels of 8 tiles and workspace of winograd.ts: places, padded planes, V and M. */
function winogradPanels(
  ...[n, depth, oc, m, oh, ow]: readonly [
    ...[n: number, depth: number, oc: number, m: number, oh: number, ow: number],
  ]
): { rows: number; work: number } {
  const [down, across] = [Math.ceil(oh / m), Math.ceil(ow / m)];
  const group = Math.max(2, Math.min(8, Math.floor(1024 / Math.max(depth + oc, 1))));
  const images = Math.min(n, Math.floor((8 * group - 2) / (down * across)) + 2);
  const planes = images * (down * m + 4 - m) * (across * m + 4 - m);
  const panel = 16 * (32 * depth + 64) + 512 * oc;
  return {
    rows: Math.ceil((n * down * across) / 8),
    work: group * (128 + panel) + 4 * planes,
  };
}

/** Panels of all phases of the input gradient. */
function phasePanels(n: number, h: number, w: number, sh: number, sw: number): number {
  let panels = 0;
  for (let py = 0; py < Math.min(sh, h); py++) {
    for (let px = 0; px < Math.min(sw, w); px++) {
      panels += Math.ceil((n * Math.ceil((h - py) / sh) * Math.ceil((w - px) / sw)) / 8);
    }
  }
  return panels;
}

/** Kernel rows (or columns) that meet in one phase, at most. */
const phaseTaps = (k: number, stride: number, dilation: number) =>
  dilation === 1 ? Math.ceil(k / stride) : k;

/** Workspace of conv_weight_grad.ts: columns, positions, a panel, padded planes and totals. */
function weightGradWork(
  ...[n, c, oc, kh, kw, sh, sw, dh, dw, oh, ow]: readonly [
    ...[n: number, c: number, oc: number, kh: number, kw: number, sh: number, sw: number],
    ...[dh: number, dw: number, oh: number, ow: number],
  ]
): number {
  const block = 384;
  const blocks = Math.max(1, Math.min(oh, Math.ceil((oh * ow) / block)));
  const lines = Math.ceil(oh / blocks);
  const images = blocks > 1 ? 1 : Math.max(1, Math.min(n, Math.floor(block / (oh * ow || 1))));
  const seen = ((lines - 1) * sh + (kh - 1) * dh + 1) * ((ow - 1) * sw + (kw - 1) * dw + 1);
  const group = Math.max(1, Math.min(c, 32, Math.floor(65536 / Math.max(1, oc * kh * kw))));
  const columns = group * kh * kw;
  const positions = images * lines * ow;
  return 4 * (columns + 9 * positions + group * images * seen + columns * 8 * Math.ceil(oc / 8));
}

/** Workspace of direct.ts: tables of taps and quads, padded planes. */
function directWorkspace(...[, c, , , , kh, kw, s, , , , dh, dw, oh, ow]: ConvGeometry): number {
  const quads = oh * Math.ceil(ow / 4);
  const [down, right] = [Math.floor(((kh - 1) * dh) / s), Math.floor(((kw - 1) * dw) / s)];
  return 4 * (c * kh * kw + 2 * quads + 2 + c * s * s * (oh + down) * (ow + right));
}

/** Workspace of the input gradient of conv.ts: weights of a phase, and panels or lines. */
function inputGradWorkspace(...[, c, h, w, oc, kh, kw, sh, sw, , , dh, dw]: ConvGeometry): number {
  const depth = oc * phaseTaps(kh, sh, dh) * phaseTaps(kw, sw, dw);
  // Of narrow.ts, which takes up to 4 channels: taps, tile, table and a padded image.
  const ph = Math.ceil(h / sh) + Math.floor(((kh - 1) * dh) / sh);
  const pw = Math.ceil(w / sw) + Math.floor(((kw - 1) * dw) / sw) + 7;
  const lines = c > 4 ? 0 : 12 * kh * kw + 128 + 4 * depth + 4 * oc * ph * pw;
  return 4 * c * depth + Math.max(panelWork(kh * kw, depth), lines);
}

/** Elements of a plane as grouped.ts copies it. */
function groupedPlane(...[, , , , , kh, kw, sh, sw, , , dh, dw, oh, ow]: ConvGeometry): number {
  const run = 4 * Math.ceil(ow / 4) + Math.floor(((kw - 1) * dw) / sw);
  return ((oh - 1) * sh + (kh - 1) * dh + 1) * sw * run;
}

/**
 * Split of a kernel of grouped.ts, from its rows and from its workspace: elements of its own way, and bytes of
 * the dense kernel's on one group of one image.
 */
function groupedSplit(
  args: readonly number[],
  rows: (n: number, groups: number) => number,
  own: (depth: number, plane: number, area: number, grad: number) => number,
  dense: (...one: ConvGeometry) => number,
): Split {
  const g = args.slice(0, 15) as ConvGeometry;
  const [n, c, h, w, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow] = g;
  const groups = args[15]!;
  const [depth, outputs] = [c / groups, oc / groups];
  const elements = own(depth, groupedPlane(...g), kh * kw, oh * 4 * Math.ceil(ow / 4));
  return {
    rows: rows(n, groups),
    cost: convCost(...g) / groups,
    work: Math.max(
      4 * elements,
      dense(1, depth, h, w, outputs, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow),
    ),
  };
}

/** Cost of a kernel of sparse.ts, which does not say how many non-zeros: as if a row had 16. */
const sparseCost = (m: number, n: number, tiles: number) => 512 * m * n * tiles;

const poolSplit = (...[n, c, , , kh, kw, , , , , oh, ow]: [...PoolGeometry, ...Ptr[]]): Split => ({
  rows: n * c,
  cost: n * c * oh * ow * kh * kw,
});
const pool = kernel<[...PoolGeometry, from: Ptr, to: Ptr]>(poolSplit);

export const KERNELS = {
  // Products (gemm.ts). packed is [ceil(n / PANEL)][k][PANEL]; strides let A and B be transposed.
  pack_b: kernel<[k: Size, n: Size, b: Ptr, bRow: Int, bCol: Int, packed: Ptr]>((k, n) => ({
    rows: Math.ceil(n / PANEL),
    cost: k * n,
  })),
  gemm: kernel<
    [
      ...[m: Size, n: Size, k: Size, a: Ptr, aRow: Int, aCol: Int, packed: Ptr],
      ...[bias: OptionalPtr, c: Ptr, accumulate: Int, relu: Int],
    ]
  >((m, n, k) => ({ rows: m, cost: 2 * m * n * k, work: 128 + 64 * 256 * 4 })),

  gemv: kernel<[m: Size, n: Size, k: Size, x: Ptr, wt: Ptr, bias: OptionalPtr, y: Ptr, relu: Int]>(
    (m, n, k) => ({ rows: n, cost: 2 * m * n * k }),
  ),

  // Convolution (conv.ts, conv_weight_grad.ts, winograd.ts).
  conv2d: kernel<[...ConvGeometry, x: Ptr, weight: Ptr, bias: OptionalPtr, y: Ptr, relu: Int]>(
    (n, c, h, w, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow) => ({
      rows: Math.ceil((n * oh * ow) / PANEL),
      cost: convCost(n, c, h, w, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow),
      work: panelWork(kh * kw, c * kh * kw),
    }),
  ),
  conv2d_direct: kernel<
    [...ConvGeometry, x: Ptr, weight: Ptr, bias: OptionalPtr, y: Ptr, relu: Int]
  >((...args) => {
    const g = args.slice(0, 15) as ConvGeometry;
    return { rows: g[0] * g[13], cost: convCost(...g), work: directWorkspace(...g) };
  }),
  conv2d_input_grad: kernel<[...ConvGeometry, dy: Ptr, weight: Ptr, dx: Ptr]>(
    (n, c, h, w, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow) => {
      return {
        rows: phasePanels(n, h, w, sh, sw),
        cost: convCost(n, c, h, w, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow),
        work: inputGradWorkspace(n, c, h, w, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow),
      };
    },
  ),
  conv2d_weight_grad: kernel<[...ConvGeometry, x: Ptr, dy: Ptr, dweight: Ptr]>(
    (n, c, h, w, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow) => {
      const cost = convCost(n, c, h, w, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow);
      return {
        rows: Math.ceil((c * kh * kw) / 4),
        cost,
        work: weightGradWork(n, c, oc, kh, kw, sh, sw, dh, dw, oh, ow),
      };
    },
  ),

  // Convolution with groups (grouped.ts); weights are [oc, c / groups, kh, kw].
  conv2d_grouped: kernel<
    [...ConvGeometry, groups: Size, x: Ptr, weight: Ptr, bias: OptionalPtr, y: Ptr, relu: Int]
  >((...args) =>
    groupedSplit(
      args,
      (n, groups) => n * groups,
      (depth, plane, area) => depth * (area + plane),
      directWorkspace,
    ),
  ),
  conv2d_grouped_input_grad: kernel<[...ConvGeometry, groups: Size, dy: Ptr, weight: Ptr, dx: Ptr]>(
    (...args) =>
      groupedSplit(
        args,
        (n, groups) => n * groups,
        (_, plane, area) => area + plane,
        inputGradWorkspace,
      ),
  ),
  conv2d_grouped_weight_grad: kernel<
    [...ConvGeometry, groups: Size, x: Ptr, dy: Ptr, dweight: Ptr]
  >((...args) =>
    groupedSplit(
      args,
      (_, groups) => groups,
      (depth, plane, area, grad) => depth * (area + plane) + grad,
      (_n, c, _h, _w, oc, kh, kw, sh, sw, _pt, _pl, dh, dw, oh, ow) =>
        4 * oc * c * kh * kw + weightGradWork(1, c, oc, kh, kw, sh, sw, dh, dw, oh, ow),
    ),
  ),

  winograd_weights: kernel<
    [...[oc: Size, c: Size, k: Size, s: Size], ...[wt: Ptr, wo: Int, wi: Int, flip: Int, u: Ptr]]
  >((oc, c, _, s) => ({ rows: oc, cost: 64 * oc * c * s * s, work: 208 })),
  conv2d_winograd: kernel<[...ConvGeometry, x: Ptr, u: Ptr, bias: OptionalPtr, y: Ptr, relu: Int]>(
    (n, c, _h, _w, oc, kh, _kw, s, _sw, _pt, _pl, _dh, _dw, oh, ow) => {
      const { rows, work } = winogradPanels(n, c * s * s, oc, 5 - kh / s, oh, ow);
      return { rows, cost: 256 * rows * oc * c * s * s, work };
    },
  ),

  // Sparse products (sparse.ts, sparse_blocks.ts) over tables made by src/sparse/tables.ts. Strides count bytes.
  sparse_product: kernel<SparseProduct>((m, n, tiles) => ({
    rows: m * n * Math.ceil(tiles / 2),
    cost: sparseCost(m, n, tiles),
  })),
  sparse_blocks: kernel<SparseProduct>((m, n, tiles) => ({
    rows: Math.ceil(m / 4) * n * tiles,
    cost: sparseCost(m, n, tiles),
  })),
  sparse_bounds: kernel<
    [
      ...[m: Int, tiles: Int, starts: Ptr, values: Ptr, offsets: Ptr, places: Ptr],
      ...[masks: OptionalPtr, bias: OptionalPtr, x: Ptr, r: Ptr, y: Ptr, s: Ptr, yRow: Int],
      ...[form: Ptr, lifts: Ptr, flag: Ptr],
    ]
  >((m, tiles) => ({ rows: m * tiles, cost: 2 * sparseCost(m, 1, tiles), work: 8192 })),
  sparse_vector: kernel<
    [
      ...[m: Size, starts: Ptr, values: Ptr, offsets: Ptr, bias: OptionalPtr, x: Ptr, y: Ptr],
      ...[lo: Scalar, hi: Scalar],
    ]
  >((m) => ({ rows: m, cost: 64 * m })),
  sparse_sampled: kernel<
    [
      ...[m: Size, nnz: Size, n: Size, tiles: Size, starts: Ptr, offsets: Ptr, places: Ptr],
      ...[x: Ptr, xImage: Int, dy: Ptr, yImage: Int, yRow: Int, dvalues: Ptr],
    ]
  >((m, nnz, n, tiles) => ({ rows: m, cost: 32 * nnz * n * tiles, work: 16 * nnz + 16 })),
  sparse_rows: kernel<
    [
      ...[m: Size, nnz: Size, c: Size, area: Size, positions: Ptr, inChannel: Ptr, inKernel: Ptr],
      ...[starts: Ptr, offsets: Ptr],
    ]
  >((m, nnz) => ({ rows: m, cost: 8 * nnz })),
  pool_lanes: kernel<
    [
      ...[c: Size, oh: Size, ow: Size, lanes: Size, kh: Size, kw: Size, sh: Size, sw: Size],
      ...[x: Ptr, xChannel: Int, xLine: Int, y: Ptr, yChannel: Int, yLine: Int, average: Int],
    ]
  >((c, oh, ow, lanes, kh, kw) => ({ rows: c * oh, cost: c * oh * ow * lanes * kh * kw })),

  // Elementwise, one input (unary.ts). y may be x.
  relu: elementwise(1),
  relu_grad: kernel<[n: Size, x: Ptr, g: Ptr, y: Ptr]>((n) => ({ rows: n, cost: n })),
  sigmoid: elementwise(4),
  tanh: elementwise(4),
  normal_cdf: elementwise(8),
  exp: elementwise(4),
  log: elementwise(4),
  abs: elementwise(1),
  sign: elementwise(1),
  sqrt: elementwise(1),
  reciprocal: elementwise(1),
  square: elementwise(1),
  leaky_relu: scaled(1),
  leaky_step: scaled(1),
  affine: kernel<[n: Size, alpha: Scalar, beta: Scalar, x: Ptr, y: Ptr]>((n) => ({
    rows: n,
    cost: n,
  })),
  clamp: kernel<[n: Size, lo: Scalar, hi: Scalar, x: Ptr, y: Ptr]>((n) => ({ rows: n, cost: n })),

  // Elementwise, none or two inputs (linear.ts).
  lincomb: kernel<[n: Size, alpha: Scalar, a: Ptr, beta: Scalar, b: Ptr, y: Ptr]>((n) => ({
    rows: n,
    cost: n,
  })),
  fill: kernel<[n: Size, value: Scalar, y: Ptr]>((n) => ({ rows: n, cost: n })),
  copy: elementwise(1),
  interval_to_centre: kernel<
    [
      ...[n: Size, lo: Ptr, hi: Ptr, c: Ptr, r: Ptr],
      ...[grow: Scalar, tiny: Scalar, alpha: Scalar, beta: Scalar],
    ]
  >((n) => ({ rows: n, cost: 4 * n })),
  interval_to_ends: kernel<
    [
      ...[n: Size, c: Ptr, r: Ptr, lo: Ptr, hi: Ptr],
      ...[grow: Scalar, tiny: Scalar, scale: Scalar, shift: Scalar],
    ]
  >((n) => ({ rows: n, cost: 4 * n })),

  // Elementwise, two broadcast inputs (binary.ts).
  add: broadcast,
  sub: broadcast,
  mul: broadcast,
  div: broadcast,
  maximum: broadcast,
  minimum: broadcast,
  greater: broadcast,
  greater_equal: broadcast,
  equal: broadcast,

  // Layouts (strided.ts). Indices are i32.
  copy_strided: kernel<
    [
      ...[d0: Size, d1: Size, d2: Size, d3: Size],
      ...[x: Ptr, x0: Int, x1: Int, x2: Int, x3: Int],
      ...[y: Ptr, y0: Int, y1: Int, y2: Int, y3: Int],
      accumulate: Int,
    ]
  >((d0, d1, d2, d3) => ({ rows: d0, cost: d0 * d1 * d2 * d3 })),
  take_rows: kernel<[count: Size, cols: Size, x: Ptr, index: Ptr, y: Ptr]>((count, cols) => ({
    rows: count,
    cost: count * cols,
  })),
  add_rows: kernel<[count: Size, cols: Size, x: Ptr, index: Ptr, y: Ptr]>((count, cols) => ({
    rows: cols,
    cost: count * cols,
  })),

  // Reductions (reduce.ts).
  sum: reduction,
  max_reduce: reduction,
  argmax: kernel<[rows: Size, cols: Size, x: Ptr, y: Ptr]>((rows, cols) => ({
    rows,
    cost: rows * cols,
  })),
  count_nonzero: kernel<Unary>((n) => ({ rows: 1, cost: n })),

  // Rows of coefficients against tables of lines (rows.ts); `at` and `index` are i32.
  relax_rows: kernel<
    [...[rows: Size, cols: Size, w: Ptr, x: Ptr, lowAt: Ptr, low: Ptr, upAt: Ptr, up: Ptr], y: Ptr]
  >((rows, cols) => ({ rows, cost: 2 * rows * cols })),
  lower_dot: kernel<
    [...[rows: Size, cols: Size, x: Ptr, at: Ptr, p: Ptr, q: Ptr, d: OptionalPtr], y: Ptr]
  >((rows, cols) => ({ rows, cost: 4 * rows * cols })),
  add_columns: kernel<[rows: Size, cols: Size, width: Size, x: Ptr, at: Ptr, index: Ptr, y: Ptr]>(
    (rows, cols) => ({ rows, cost: 4 * rows * cols }),
  ),
  take_columns: kernel<[rows: Size, cols: Size, width: Size, x: Ptr, at: Ptr, index: Ptr, y: Ptr]>(
    (rows, cols) => ({ rows, cost: 4 * rows * cols }),
  ),

  // Classification (softmax.ts). Labels are i32.
  softmax: kernel<[rows: Size, cols: Size, x: Ptr, y: Ptr]>((rows, cols) => ({
    rows,
    cost: 8 * rows * cols,
  })),
  cross_entropy: kernel<[rows: Size, cols: Size, logits: Ptr, labels: Ptr, loss: Ptr, probs: Ptr]>(
    (rows, cols) => ({ rows, cost: 8 * rows * cols }),
  ),
  cross_entropy_grad: kernel<[rows: Size, cols: Size, probs: Ptr, labels: Ptr, g: Ptr, dx: Ptr]>(
    (rows, cols) => ({ rows, cost: 2 * rows * cols }),
  ),

  // Pooling (pool.ts).
  max_pool: pool,
  max_pool_grad: kernel<[...PoolGeometry, x: Ptr, dy: Ptr, dx: Ptr]>(poolSplit),
  avg_pool: pool,
  avg_pool_grad: pool,

  // Optimisers (optim.ts), in place.
  sgd: kernel<
    [
      ...[n: Size, w: Ptr, g: Ptr, v: OptionalPtr],
      ...[lr: Scalar, momentum: Scalar, weightDecay: Scalar],
    ]
  >((n) => ({ rows: n, cost: 8 * n })),
  adam: kernel<
    [
      ...[n: Size, w: Ptr, g: Ptr, m: Ptr, v: Ptr, lr: Scalar, beta1: Scalar, beta2: Scalar],
      ...[eps: Scalar, weightDecay: Scalar, c1: Scalar, c2: Scalar],
    ]
  >((n) => ({ rows: n, cost: 16 * n })),

  // Random numbers (random.ts): (a, b) are (lo, hi) and (mean, std).
  philox: kernel<[n: Size, counter: Ptr, key: Ptr, y: Ptr]>((n) => ({
    rows: n,
    cost: 40 * n,
    work: 64,
  })),
  random_uniform: randomFill(10),
  random_normal: randomFill(40),

  // Pruning (prune.ts).
  mask_top_k: kernel<[n: Size, keep: Size, scores: Ptr, mask: Ptr]>((n) => ({
    rows: 1,
    cost: 10 * n,
    work: 1024,
  })),
} satisfies Record<string, (...args: never[]) => Split>;
