/**
 * Products of a network whose weights are their non-zeros alone: dense layers and convolutions,
 * groups and all, as layers of the same kind. Interval bounds go through them as through the dense
 * ones, centre and radius in one pass; predictions go through a plan (domain/sparse-plan.ts). A radius
 * that is no number is kept where it meets zeros only, which a dense execution multiplies.
 *
 * Cost: 4 flops a non-zero and output for both; tables of 4 bytes a non-zero, made when first used.
 */
import type { GraphNode } from '../nn/graph';
import type { AffineLayer, ParamSpec, ProductSizes } from '../nn/layer';
import type { Engine } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import { add, reshape } from '../tensor/ops/core';
import { withNaN } from '../tensor/ops/interval';
import { sizeOf } from '../tensor/shape';
import {
  forwardPass,
  marginsOf,
  overSplitInput,
  type Planes,
  phasesOf,
  planesOf,
} from '../tensor/sparse';
import {
  copyCall,
  encode,
  type Keep,
  type NonZeros,
  type SparsePass,
  splitCalls,
  viewOfImages,
  viewOfPlanes,
} from '../tensor/sparse-calls';
import { empty, filled, input, step, type Tensor } from '../tensor/tensor';

export interface SparseNode {
  readonly engine: Engine;
  readonly node: GraphNode;
  /** For tables that stay. */
  readonly keep: Keep;
  /** The non-zeros of a weight without groups, their places decoded at each call. */
  nonZeros(): NonZeros;
}

/** Whether a layer is a product with a weight, dense or a convolution. */
export const isProduct = ({ layer }: GraphNode): boolean =>
  layer.role === 'affine' && layer.product !== undefined;

/** The sizes of a product, as of one without groups. */
export function productSizes({ layer, inputShapes, options }: GraphNode): ProductSizes {
  const { product } = layer as AffineLayer;
  return product!(inputShapes[0]!, { ...options, groups: 1 } as never)!;
}

/** Changes positions in [oc, c / groups, kh, kw] to positions in [oc, c, kh, kw]. */
export function withoutGroups(
  positions: Int32Array,
  { shape }: ParamSpec,
  [c, , , oc]: ProductSizes,
): void {
  const [, depth, ...kernel] = shape as [number, number, ...number[]];
  const area = sizeOf(kernel);
  if (depth === c) return;
  const perGroup = (oc * depth) / c;
  positions.forEach((at, i) => {
    const row = Math.floor(at / (depth * area));
    positions[i] = at + (row * (c - depth) + Math.floor(row / perGroup) * depth) * area;
  });
}

/** The node with its weight out of the parameters. */
export function sparseNode(job: SparseNode): GraphNode {
  const { node } = job;
  const sizes = productSizes(node);
  const dense = node.layer as AffineLayer;
  const { weight: _, ...params } = node.params;
  let pass: SparsePass | undefined;
  const both = (c: Tensor, r: Tensor, bias: Ptr): [Tensor, Tensor] => {
    pass ??= encodeImages(job, sizes);
    const encoded = pass;
    // The planes are gone once the results are copied.
    return step(job.engine, () => pairOf(job, sizes, encoded, c, r, bias));
  };
  const raise = (y: Tensor, extra: Tensor | undefined): Tensor =>
    extra ? add(y, reshape(extra, [extra.size, ...node.shape.slice(1).map(() => 1)])) : y;
  let last: readonly [Int32Array, Float32Array] | undefined;
  const layer: AffineLayer = {
    ...dense,
    product: () => sizes,
    apply: (x, p) => both(x, x, p.bias?.ptr ?? 0)[0],
    applyAbs: (r, _, __, extra) => withNaN(raise(both(r, r, 0)[1], extra), r),
    applyBoth(c, r, p, _, extra) {
      const [y, s] = both(c, r, p.bias?.ptr ?? 0);
      return [y, withNaN(raise(s, extra), r)];
    },
    transpose(g) {
      last ??= copied(job);
      return transposed(g, sizes, ...last, node.inputShapes[0]!);
    },
  };
  return { ...node, layer, params };
}

function copied({ engine, nonZeros }: SparseNode): readonly [Int32Array, Float32Array] {
  const { count, values, places } = nonZeros();
  const ptr = engine.memory.alloc(4 * count);
  try {
    places(ptr);
    return [engine.memory.i32(ptr, count).slice(), engine.memory.f32(values, count).slice()];
  } finally {
    engine.memory.free(ptr);
  }
}

const isStrided = ([, , , , , , sh, sw]: ProductSizes): boolean => sh * sw > 1;

/** Planes of single images: their groups go along planes, over lines of one length. */
function encodeImages({ engine, keep, nonZeros }: SparseNode, sizes: ProductSizes): SparsePass {
  const [c, h, w, oc, , , sh, sw, , , , , oh, ow] = sizes;
  const whole = forwardPass(sizes);
  const pass = isStrided(sizes) ? overSplitInput(whole) : whole;
  const shape = isStrided(sizes) ? phasesOf([c, h, w], [sh, sw]) : ([c, h, w] as const);
  const margins = marginsOf([pass], shape);
  const target = planesOf([oc, oh, ow], 1, undefined, planesOf(shape, 1, margins).line);
  const source = planesOf(shape, 1, margins, target.line);
  return encode({ engine, keep, weight: nonZeros(), sizes, pass, source, target });
}

/** Images of planes one after the other. */
const viewOf = (ptr: Ptr, planes: Planes) => ({
  ...viewOfPlanes(ptr, planes),
  image: planes.size,
});

/** W c + b and |W| r. */
function pairOf(
  { engine, node }: SparseNode,
  sizes: ProductSizes,
  pass: SparsePass,
  c: Tensor,
  r: Tensor,
  bias: Ptr,
): [Tensor, Tensor] {
  const { rows, groups, starts, values, offsets, places, masks, source, target } = pass;
  const [channels, h, w, , , , sh, sw] = sizes;
  const shape = [channels, h, w] as const;
  const n = c.shape[0]!;
  const [x, s] = [c, r].map((images) => {
    const { ptr } = filled(engine, [n * source.size], 0);
    const views = [viewOfImages(images.ptr, shape), viewOf(ptr, source)] as const;
    const calls = isStrided(sizes)
      ? splitCalls(engine, n, shape, [sh, sw], ...views)
      : [copyCall(engine, n, shape, ...views)];
    for (const call of calls) engine.start(call, 0);
    return ptr;
  }) as [Ptr, Ptr];
  const out = [0, 1].map(() => empty(engine, [n * target.size]).ptr) as [Ptr, Ptr];
  engine.run(
    ...(['sparse_pair', rows, n, groups, starts, values, offsets, places, masks, bias] as const),
    ...([x, s, 4 * source.size, ...out, 4 * target.size, 4 * target.channel] as const),
  );
  return out.map((planes) => {
    const y = empty(engine, [n, ...node.shape]);
    const to = viewOfImages(y.ptr, target.shape);
    engine.start(copyCall(engine, n, target.shape, viewOf(planes, target), to), 0);
    return y;
  }) as [Tensor, Tensor];
}

/** W^T g, weight by weight: the last layer's, for a few classes. */
function transposed(
  g: Tensor,
  [c, h, w, oc, kh, kw, sh, sw, pt, pl, dh, dw, oh, ow]: ProductSizes,
  positions: Int32Array,
  values: Float32Array,
  shape: readonly number[],
): Tensor {
  const from = g.read();
  const n = g.shape[0]!;
  const [inputs, outputs] = [c * h * w, oc * oh * ow];
  const into = new Float32Array(n * inputs);
  positions.forEach((at, entry) => {
    const [kx, ky] = [at % kw, Math.floor(at / kw) % kh];
    const pair = Math.floor(at / (kh * kw));
    const [i, o] = [pair % c, Math.floor(pair / c)];
    for (let y = 0; y < oh; y++)
      for (let x = 0; x < ow; x++) {
        const [iy, ix] = [y * sh - pt + ky * dh, x * sw - pl + kx * dw];
        if (iy < 0 || ix < 0 || iy >= h || ix >= w) continue;
        const [to, of] = [(i * h + iy) * w + ix, (o * oh + y) * ow + x];
        for (let b = 0; b < n; b++)
          into[b * inputs + to]! += from[b * outputs + of]! * values[entry]!;
      }
  });
  return input(g.engine, into, [n, ...shape]);
}
