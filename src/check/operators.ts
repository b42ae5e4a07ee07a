/**
 * Affine layers as rows of weights, one output at a time: `row(i, term)` calls `term(j, w)` for every
 * input j that output i reads with weight w. One description serves values, bounds and the backward
 * pass. Written from the layers' definitions (docs/formats.md), sharing nothing with their kernels.
 *
 * Cost: one call a multiply-add, about 5 nanoseconds.
 */
import type { GraphNode } from '../nn/graph';
import { both, fourSides } from '../nn/layers/window';

export type Term = (j: number, w: number) => void;

export interface Operator {
  row(i: number, term: Term): void;
  /** b_i. */
  bias(i: number): number;
  /** Roundings that a term can meet in float32; 0 where values are only moved. */
  readonly roundings: number;
  /** Multiply-adds, or a little more. */
  readonly work: number;
}

/** Parameters of a node by local name. */
export type Numbers = (name: string) => Float32Array | undefined;
type Size3 = readonly [number, number, number];
type Build = (node: GraphNode, numbers: Numbers) => Operator;

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
/** Beyond the longest sum: the bias, and what a mean is divided or multiplied by. */
const EXTRA = 4;

/** An operator that moves values: output i is input `from(i)`, or zero where that is negative. */
function moved(node: GraphNode, from: (i: number) => number): Operator {
  const row = (i: number, term: Term): void => {
    const j = from(i);
    if (j >= 0) term(j, 1);
  };
  return { row, bias: () => 0, roundings: 0, work: product(node.shape) };
}

function summed(
  node: GraphNode,
  longest: number,
  row: Operator['row'],
  bias: Operator['bias'] = () => 0,
): Operator {
  return { row, bias, roundings: longest + EXTRA, work: product(node.shape) * longest };
}

const dense: Build = (node, numbers) => {
  const weight = numbers('weight')!;
  const bias = numbers('bias');
  const count = product(node.inputShapes[0]!);
  const row = (i: number, term: Term): void => {
    for (let j = 0; j < count; j++) term(j, weight[i * count + j]!);
  };
  return summed(node, count, row, (i) => bias?.[i] ?? 0);
};

/** Calls `visit` for the places [y, x] of a window that lie inside of the plane. */
function inWindow(
  { start, kernel, dilation, size }: Record<'start' | 'kernel' | 'dilation' | 'size', Pair>,
  visit: (y: number, x: number, ky: number, kx: number) => void,
): void {
  for (let ky = 0; ky < kernel[0]; ky++)
    for (let kx = 0; kx < kernel[1]; kx++) {
      const y = start[0] + ky * dilation[0];
      const x = start[1] + kx * dilation[1];
      if (y >= 0 && x >= 0 && y < size[0] && x < size[1]) visit(y, x, ky, kx);
    }
}

type Pair = readonly [number, number];

interface Window {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly dilation: Pair;
  readonly pad: readonly number[];
}

type Sides = Parameters<typeof fourSides>[0];
type Count = Parameters<typeof both>[0];

function windowOf({ options: o }: GraphNode): Window {
  const kernel = both(o.kernel as Count);
  return {
    kernel,
    stride: both((o.stride ?? kernel) as Count),
    dilation: both((o.dilation ?? 1) as Count),
    pad: fourSides(o.padding as Sides),
  };
}

/** [channel, y, x] of output i, and where its window starts. */
function placeOf(node: GraphNode, { stride, pad }: Window, i: number) {
  const [, h, w] = node.shape as Size3;
  const [channel, y, x] = [Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w];
  const start: Pair = [y * stride[0] - pad[0]!, x * stride[1] - pad[1]!];
  return { channel, start };
}

const conv2d: Build = (node, numbers) => {
  const weight = numbers('weight')!;
  const bias = numbers('bias');
  const [channels, h, w] = node.inputShapes[0] as Size3;
  const [outputs, oh, ow] = node.shape as Size3;
  const window = windowOf(node);
  const { kernel, dilation } = window;
  const groups = node.options.groups as number;
  const depth = channels / groups;
  const area = kernel[0] * kernel[1];
  const row = (i: number, term: Term): void => {
    const { channel, start } = placeOf(node, window, i);
    const first = Math.floor(channel / (outputs / groups)) * depth;
    inWindow({ start, kernel, dilation, size: [h, w] }, (y, x, ky, kx) => {
      for (let d = 0; d < depth; d++)
        term(
          ((first + d) * h + y) * w + x,
          weight[(channel * depth + d) * area + ky * kernel[1] + kx]!,
        );
    });
  };
  return summed(node, depth * area, row, (i) => bias?.[Math.floor(i / (oh * ow))] ?? 0);
};

/** Input positions of each window, for both pools. */
export function windows(node: GraphNode): (i: number) => number[] {
  const [, h, w] = node.inputShapes[0] as Size3;
  const window = windowOf(node);
  return (i) => {
    const { channel, start } = placeOf(node, window, i);
    const found: number[] = [];
    inWindow({ ...window, start, size: [h, w] }, (y, x) => found.push((channel * h + y) * w + x));
    return found;
  };
}

const avgPool: Build = (node) => {
  const places = windows(node);
  const [kh, kw] = windowOf(node).kernel;
  const all = node.options.countPadding as boolean;
  const row = (i: number, term: Term): void => {
    const inside = places(i);
    const share = 1 / (all ? kh * kw : inside.length);
    for (const j of inside) term(j, share);
  };
  return summed(node, kh * kw, row);
};

/** One scale and shift a channel, or a value. */
const channelwise: Build = (node, numbers) => {
  const [scale, shift] = [numbers('scale')!, numbers('shift')!];
  const each = product(node.shape) / scale.length;
  const at = (i: number): number => Math.floor(i / each);
  const row = (i: number, term: Term): void => term(i, scale[at(i)]!);
  return summed(node, 1, row, (i) => shift[at(i)]!);
};

/** Coordinates of position i of a shape. */
function coordinates(shape: readonly number[], i: number): number[] {
  const found: number[] = [];
  for (let axis = shape.length - 1, rest = i; axis >= 0; axis--) {
    found[axis] = rest % shape[axis]!;
    rest = Math.floor(rest / shape[axis]!);
  }
  return found;
}

const positionOf = (shape: readonly number[], at: readonly number[]): number =>
  at.reduce((position, c, axis) => position * shape[axis]! + c, 0);

const reduce: Build = (node) => {
  const shape = node.inputShapes[0]!;
  const axes = node.options.axes as readonly number[];
  const sizes = shape.map((size, axis) => (axes.includes(axis) ? size : 1));
  const count = product(sizes);
  const share = node.options.mean ? 1 / count : 1;
  const row = (i: number, term: Term): void => {
    const base = coordinates(node.shape, i);
    for (let k = 0; k < count; k++) {
      const offset = coordinates(sizes, k);
      const at = base.map((c, axis) => c + offset[axis]!);
      term(positionOf(shape, at), share);
    }
  };
  return summed(node, count, row);
};

const same: Build = (node) => moved(node, (i) => i);

const permute: Build = (node) => {
  const order = node.options.order as readonly number[];
  return moved(node, (i) => {
    const at: number[] = [];
    for (const [axis, c] of coordinates(node.shape, i).entries()) at[order[axis]!] = c;
    return positionOf(node.inputShapes[0]!, at);
  });
};

const select: Build = (node) => {
  const { axis, indices } = node.options as { axis: number; indices: readonly number[] };
  return moved(node, (i) => {
    const at = coordinates(node.shape, i);
    at[axis] = indices[at[axis]!]!;
    return positionOf(node.inputShapes[0]!, at);
  });
};

const pad: Build = (node) => {
  const before = node.options.before as readonly number[];
  const shape = node.inputShapes[0]!;
  return moved(node, (i) => {
    const at = coordinates(node.shape, i).map((c, axis) => c - before[axis]!);
    return at.every((c, axis) => c >= 0 && c < shape[axis]!) ? positionOf(shape, at) : -1;
  });
};

/** Operators by the layer's name in the registry; those of canonical networks only. */
export const operators: Readonly<Record<string, Build>> = {
  dense,
  conv2d,
  'avg-pool': avgPool,
  scale: channelwise,
  elementwise: channelwise,
  reduce,
  flatten: same,
  reshape: same,
  permute,
  select,
  pad,
};

/** Which input, and which of its values, each output of a concatenation is. */
export function concatenated(node: GraphNode): (i: number) => readonly [input: number, j: number] {
  const axis = node.options.axis as number;
  return (i) => {
    const at = coordinates(node.shape, i);
    let input = 0;
    while (at[axis]! >= node.inputShapes[input]![axis]!) {
      at[axis]! -= node.inputShapes[input]![axis]!;
      input++;
    }
    return [input, positionOf(node.inputShapes[input]!, at)];
  };
}
