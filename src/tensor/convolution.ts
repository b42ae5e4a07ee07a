/**
 * The shape of a convolution of one sample, by named fields; the kernels' order of arguments is
 * written down here alone. A dense layer is a convolution of 1 x 1 planes whose samples are [features].
 */
import type { ConvGeometry } from '../runtime/kernels';
import type { Shape } from './shape';

export interface ConvShape {
  /** Whether samples and weights are flat: [features] and [units, features]. */
  readonly flat: boolean;
  /** Equal blocks of channels, each convolved by itself. */
  readonly groups: number;
  readonly inChannels: number;
  readonly height: number;
  readonly width: number;
  readonly outChannels: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly strideY: number;
  readonly strideX: number;
  readonly padTop: number;
  readonly padLeft: number;
  readonly dilationY: number;
  readonly dilationX: number;
  readonly outHeight: number;
  readonly outWidth: number;
}

/** Stride, padding (bottom and right follow from the output size) and dilation of a convolution. */
export interface ConvOptions {
  readonly stride: readonly [number, number];
  /** top, left, bottom, right */
  readonly pad: readonly [number, number, number, number];
  readonly dilation: readonly [number, number];
  /** Default 1. */
  readonly groups?: number;
}

/** [h, w] of the output for an input plane and kernel of the given sizes. */
export function convSize(
  [h, w]: readonly [number, number],
  [kh, kw]: readonly [number, number],
  { stride, pad, dilation }: ConvOptions,
): [number, number] {
  return [
    Math.floor((h + pad[0] + pad[2] - dilation[0] * (kh - 1) - 1) / stride[0]) + 1,
    Math.floor((w + pad[1] + pad[3] - dilation[1] * (kw - 1) - 1) / stride[1]) + 1,
  ];
}

/** The shape of a convolution of samples [c, h, w] with weights [oc, c / groups, kh, kw], which must fit. */
export function convShape(sample: Shape, weight: Shape, o: ConvOptions): ConvShape {
  const { groups = 1 } = o;
  const [inChannels, height, width] = sample as [number, number, number];
  const [outChannels, , kernelHeight, kernelWidth] = weight as [number, number, number, number];
  const [outHeight, outWidth] = convSize([height, width], [kernelHeight, kernelWidth], o);
  // Written out: spreads of parts take ten times as long, and shapes are made at every pass.
  return {
    flat: false,
    groups,
    inChannels,
    height,
    width,
    outChannels,
    kernelHeight,
    kernelWidth,
    strideY: o.stride[0],
    strideX: o.stride[1],
    padTop: o.pad[0],
    padLeft: o.pad[1],
    dilationY: o.dilation[0],
    dilationX: o.dilation[1],
    outHeight,
    outWidth,
  };
}

/** The shape of a dense layer. */
export const denseShape = (features: number, units: number): ConvShape => ({
  flat: true,
  groups: 1,
  inChannels: features,
  height: 1,
  width: 1,
  outChannels: units,
  kernelHeight: 1,
  kernelWidth: 1,
  strideY: 1,
  strideX: 1,
  padTop: 0,
  padLeft: 0,
  dilationY: 1,
  dilationX: 1,
  outHeight: 1,
  outWidth: 1,
});

/** The shape as the kernels take it, for a batch. */
export const geometryOf = (s: ConvShape, batch: number): ConvGeometry => [
  ...([batch, s.inChannels, s.height, s.width, s.outChannels] as const),
  ...([s.kernelHeight, s.kernelWidth, s.strideY, s.strideX, s.padTop, s.padLeft] as const),
  ...([s.dilationY, s.dilationX, s.outHeight, s.outWidth] as const),
];

/** Whether a convolution is the product with one matrix: one position in, one out, and no padding. */
export const isMatrix = (s: ConvShape): boolean =>
  s.height * s.width * s.kernelHeight * s.kernelWidth * s.outHeight * s.outWidth === 1 &&
  s.groups === 1 &&
  s.padTop === 0 &&
  s.padLeft === 0;

export const inputOf = (s: ConvShape): readonly [number, number, number] => [
  s.inChannels,
  s.height,
  s.width,
];
export const outputOf = (s: ConvShape): readonly [number, number, number] => [
  s.outChannels,
  s.outHeight,
  s.outWidth,
];

/** [oc, c / groups, kh, kw], or [units, features]. */
export const weightShapeOf = (s: ConvShape): Shape =>
  s.flat
    ? [s.outChannels, s.inChannels]
    : [s.outChannels, s.inChannels / s.groups, s.kernelHeight, s.kernelWidth];

/** Products behind one output. */
export const depthOf = (s: ConvShape): number =>
  (s.inChannels / s.groups) * s.kernelHeight * s.kernelWidth;
