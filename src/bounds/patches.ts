/**
 * Patches: the part of the planes that a backward pass from single values of a node has to look at. Through
 * a convolution a value reads one patch of each plane, so its coefficients are zeros elsewhere and need not
 * be formed (auto_LiRPA, Xu et al. 2020). All rows of a pass have patches of one size at a node; where they
 * lie follows from the position of the row's value. A patch may leave the planes: tables are 0 there, and
 * coefficients count for nothing. Convolutions read only coefficients that are 0 outside.
 *
 * Cost of a row: that of the patches, in place of that of the planes.
 */

import type { InputSet } from '../domain/balls';
import type { NodeWith } from '../domain/domain';
import type { Graph, GraphNode } from '../nn/graph';
import type { AffineLayer } from '../nn/layer';
import type { LinearOperator, OneHotRows } from '../nn/operator';
import { gatheredCost } from '../runtime/costs';
import type { Engine } from '../runtime/engine';
import { PANEL } from '../runtime/kernels';
import { toDense } from '../sparse/weight';
import { type ConvShape, inputOf, outputOf } from '../tensor/convolution';
import { mul, reshape } from '../tensor/ops/core';
import { addWindows, type Corners, takeWindows } from '../tensor/ops/patches';
import { convolutionInputGrad, convolutionRows, matmul } from '../tensor/ops/product';
import type { RowIndices } from '../tensor/ops/rows';
import { embed, takeRows } from '../tensor/ops/shape';
import { type Shape, sizeOf } from '../tensor/shape';
import { input, type Tensor } from '../tensor/tensor';

type Two = readonly [number, number];

/** Patch of the value at position p of the target: rows and columns of the planes from `step` p + `origin` on. */
export interface Patch {
  readonly step: Two;
  readonly origin: Two;
  readonly size: Two;
}

/** Patches by position of the node; where there is none, all of the node's values count. */
export type Patches = ReadonlyMap<number, Patch>;

/** One value of each channel. */
export const POINT: Patch = { step: [1, 1], origin: [0, 0], size: [1, 1] };
/** Patches beyond this share of a plane are not worth their tables. */
const MOST = 0.7;

const both = (f: (axis: 0 | 1) => number): Two => [f(0), f(1)];

/** The patches behind values of the target; a ball's dual norm is that of all inputs. */
export function patchesOf(
  { nodes, network }: Graph,
  target: number,
  { ball }: Pick<InputSet, 'ball'>,
): Patches {
  const found = new Map<number, Patch>();
  const planes = (v: number): Shape => (v < 0 ? network.input : nodes[v]!.shape);
  if (planes(target).length === 3) found.set(target, POINT);
  const reached = new Set([target]);
  /** Nodes whose coefficients may not be 0 outside of the planes. */
  const dirty = new Set<number>();
  for (let v = target; v >= 0; v--) {
    if (!reached.has(v)) continue;
    const node = nodes[v]!;
    const patch = found.get(v);
    const usable = patch && isSmall(patch, node.shape) && !(dirty.has(v) && mixes(node));
    const before = usable ? patchBefore(node, patch) : undefined;
    if (!before) found.delete(v);
    for (const i of node.inputs) {
      if (node.layer.role !== 'pointwise' && (dirty.has(v) || mixes(node))) dirty.add(i);
      const all = before && (reached.has(i) ? union(found.get(i), before) : before);
      if (all) found.set(i, all);
      else found.delete(i);
      reached.add(i);
    }
  }
  const last = found.get(-1);
  if (last && (ball || !isSmall(last, network.input))) found.delete(-1);
  return found;
}

const isSmall = ({ size }: Patch, [, h, w]: Shape): boolean => size[0] * size[1] < MOST * h! * w!;

const mixes = (node: GraphNode): boolean => convOf(node) !== undefined;

/** The convolution of planes that a node is, if it is one. */
function convOf({ structure }: GraphNode): ConvShape | undefined {
  const conv = structure?.conv;
  return conv && !conv.flat ? conv : undefined;
}

/** The patch of a node's inputs; none where its layer does not go by patches. */
function patchBefore(node: GraphNode, patch: Patch): Patch | undefined {
  const { layer, inputShapes, structure } = node;
  const isSum = layer.role === 'join' && !layer.pick && layer.roundings(inputShapes.length) > 0;
  const isScale = structure?.perChannel === true;
  if (layer.role === 'pointwise' || isSum || isScale) return patch;
  const conv = convOf(node);
  if (!conv) return undefined;
  const stride = [conv.strideY, conv.strideX] as const;
  const pad = [conv.padTop, conv.padLeft] as const;
  const extent = [
    (conv.kernelHeight - 1) * conv.dilationY,
    (conv.kernelWidth - 1) * conv.dilationX,
  ] as const;
  return {
    step: both((a) => patch.step[a] * stride[a]),
    origin: both((a) => patch.origin[a] * stride[a] - pad[a]),
    size: both((a) => (patch.size[a] - 1) * stride[a] + extent[a] + 1),
  };
}

/** The least patch that holds both; none where their steps differ. */
function union(a: Patch | undefined, b: Patch): Patch | undefined {
  if (!a || a.step[0] !== b.step[0] || a.step[1] !== b.step[1]) return undefined;
  const origin = both((axis) => Math.min(a.origin[axis], b.origin[axis]));
  const end = (w: Patch, axis: 0 | 1): number => w.origin[axis] + w.size[axis];
  const size = both((axis) => Math.max(end(a, axis), end(b, axis)) - origin[axis]);
  return { step: a.step, origin, size };
}

/** Positions of rows' values: rows of one sample and position, one after the other, share an index. */
export interface PatchPositions {
  /** Index of each row's position. */
  readonly index: Int32Array;
  /** Sample and place, by index. */
  readonly sample: Int32Array;
  readonly place: readonly [Int32Array, Int32Array];
}

export function positionsOf(
  samples: RowIndices,
  { index: places }: OneHotRows,
  [, h, w]: Shape,
): PatchPositions {
  const index = new Int32Array(places.length);
  const [sample, y, x]: number[][] = [[], [], []];
  let [before, count] = [-1, 0];
  for (let r = 0; r < places.length; r++) {
    const position = places[r]! % (h! * w!);
    const key = samples[r]! * h! * w! + position;
    if (key !== before) {
      count = sample!.push(samples[r]!);
      y!.push(Math.floor(position / w!));
      x!.push(position % w!);
    }
    before = key;
    index[r] = count - 1;
  }
  return {
    index,
    sample: Int32Array.from(sample!),
    place: [Int32Array.from(y!), Int32Array.from(x!)],
  };
}

const cornersAt = (
  { step, origin }: Patch,
  places: readonly [Int32Array, Int32Array],
  image: Int32Array,
): Corners => ({
  image,
  top: places[0].map((y) => step[0] * y + origin[0]),
  left: places[1].map((x) => step[1] * x + origin[1]),
});

/** RowIndices of a table [samples or 1, ...planes], one for each spot. */
export function tableThrough(
  patch: Patch,
  { sample, place }: PatchPositions,
  table: Tensor,
): Tensor {
  const image = table.shape[0] === 1 ? sample.map(() => 0) : sample;
  return takeWindows(table, cornersAt(patch, place, image), patch.size);
}

/** Coefficients of a patch as those of another that holds it, or of all values of a shape. */
export function widen(
  values: Tensor,
  own: Patch,
  wanted: Patch | undefined,
  { index, place }: PatchPositions,
  shape: Shape,
): Tensor {
  if (!wanted) {
    const places = [place[0], place[1]].map((p) => index.map((at) => p[at]!));
    const corners = cornersAt(
      own,
      places as [Int32Array, Int32Array],
      index.map((_, r) => r),
    );
    return addWindows(values, corners, [index.length, ...shape]);
  }
  return ([0, 1] as const).reduce((y, axis) => {
    const size = wanted.size[axis];
    if (size === y.shape[axis + 2]) return y;
    return embed(y, axis + 2, own.origin[axis] - wanted.origin[axis], y.shape.with(axis + 2, size));
  }, values);
}

/** Multiples of unit vectors as patches of one place. */
export function pointsOf({ index, factor }: OneHotRows, engine: Engine, shape: Shape): Tensor {
  const [c, h, w] = shape as [number, number, number];
  const rows = new Float32Array(index.length * c);
  index.forEach((place, r) => {
    rows[r * c + Math.floor(place / (h * w))] = factor[r]!;
  });
  return input(engine, rows, [index.length, c, 1, 1]);
}

/** Coefficients of a node's output as those of its input, and their patch. */
export function throughPatch(
  node: NodeWith<AffineLayer>,
  w: LinearOperator,
  g: Tensor | OneHotRows,
  patch: Patch,
): { readonly values: Tensor; readonly patch: Patch } {
  const before = patchBefore(node, patch)!;
  const whole = convOf(node);
  if (!whole) {
    const values = 'factor' in g ? pointsOf(g, w.bias!.engine, node.shape) : g;
    return { values: w.transpose(values), patch: before };
  }
  // The same convolution, of what the patch sees.
  const conv: ConvShape = {
    ...whole,
    ...{ height: before.size[0], width: before.size[1], padTop: 0, padLeft: 0 },
    ...{ outHeight: patch.size[0], outWidth: patch.size[1] },
  };
  const weight = toDense(w.weight!);
  const shape = inputOf(conv);
  if ('factor' in g) {
    const area = whole.outHeight * whole.outWidth;
    const channel = g.index.map((place) => Math.floor(place / area));
    const rows = takeRows(matrixOf(weight, conv), channel);
    const scaled = mul(rows, input(weight.engine, g.factor, [g.factor.length, 1]));
    return { values: reshape(scaled, [channel.length, ...shape]), patch: before };
  }
  const rows = g.shape[0]!;
  const outputs = sizeOf(outputOf(conv));
  // Gathering costs more than zeros where planes are small.
  if (conv.groups === 1 && sizeOf(shape) * outputs < gathering(conv)) {
    const flat = matmul(reshape(g, [rows, outputs]), matrixOf(weight, conv));
    return { values: reshape(flat, [rows, ...shape]), patch: before };
  }
  return { values: convolutionInputGrad(g, weight, conv, w), patch: before };
}

/** The matrix of a convolution of one small image, [outputs, inputs]. */
function matrixOf(weight: Tensor, conv: ConvShape): Tensor {
  const outputs = sizeOf(outputOf(conv));
  const units = {
    index: Int32Array.from({ length: outputs }, (_, i) => i),
    factor: new Float32Array(outputs).fill(1),
  };
  return reshape(convolutionRows(units, weight, conv), [outputs, sizeOf(inputOf(conv))]);
}

/** Cost of the gathering transpose for an image of many: of a whole panel of them, nothing is padding. */
function gathering(s: ConvShape): number {
  const read = s.outChannels / (s.strideY * s.strideX);
  const [h, w] = [s.height, s.width];
  const kernel = [s.kernelHeight, s.kernelWidth] as const;
  return gatheredCost(PANEL, read, h, w, s.inChannels, ...kernel, 1, 1, 0, 0, 1, 1, h, w) / PANEL;
}
