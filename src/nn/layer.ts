/**
 * What a layer is. A layer declares a role and writes the few facts of that role; every domain
 * (values, intervals, ...) interprets roles, so no domain and no layer know of each other.
 *
 * Tensors carry the batch as their first axis; shapes in `shape()` and `params()` are those of one
 * sample. `p` holds the layer's own tensors by local name (`weight`, `bias`, ...), `o` its options.
 */
import type { InferOutput } from 'valibot';
import type { OptionsSchema } from '../options';
import type { RandomKey } from '../tensor/ops/random';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';

/** Multiples of unit vectors over the outputs of one sample. */
export interface Units {
  readonly index: Int32Array;
  readonly factor: Float32Array;
}

export type Params = Readonly<Record<string, Tensor>>;

/** One tensor of a layer: how it begins and how it is treated. */
export interface ParamSpec {
  readonly shape: Shape;
  /** A weight matrix (drawn by the initialiser), or a constant. */
  readonly init: 'weight' | number | readonly number[];
  /** Inputs that one output sums over; scales the initialiser. */
  readonly fanIn: number;
  /** Convolution and dense kernels: what pruning ratios count. */
  readonly prunable: boolean;
  /** False for statistics, which no optimiser touches. */
  readonly trainable: boolean;
}

/**
 * How channels, the positions on the first axis of a sample, go through a layer; filter pruning
 * (prune/channels.ts) goes by it.
 */
export interface Flow {
  /**
   * `make`: new channels, each from all of the input's. `pass`: channel i from channel i of every
   * input, which ties the inputs. `repeat`: every channel several times, one after the other.
   * `join`: the inputs' channels side by side. `fixed`: anything else; none of them may go.
   */
  readonly way: 'make' | 'pass' | 'repeat' | 'join' | 'fixed';
  /** Of `make`: the option that holds the number of channels. */
  readonly count?: string;
  /** Options that hold one number a channel. */
  readonly lists?: readonly string[];
}

interface Base<S extends OptionsSchema> {
  readonly about: string;
  readonly options: S;
  /** Shape of the output sample; raises an error for inputs that do not fit. */
  shape(inputs: readonly Shape[], o: InferOutput<S>, who: string): Shape;
  params?(inputs: readonly Shape[], o: InferOutput<S>): Readonly<Record<string, ParamSpec>>;
  /** Left out: `pass` for pointwise layers, `fixed`, which is always right, for the others. */
  flow?(o: InferOutput<S>): Flow;
  /** Where the layer is the maximum or the mean of windows that lie inside of the planes. */
  window?(o: InferOutput<S>): PoolWindow | undefined;
  /** Multiply-adds a sample. */
  macs?(input: Shape, output: Shape, o: InferOutput<S>): number;
}

/**
 * The sizes of an affine layer that is one convolution with `weight` [oc, c, kh, kw] and, if any,
 * `bias` [oc], for one sample; a dense layer is one of 1 x 1 planes. As the kernels take them.
 */
export type ProductSizes = readonly [
  ...[c: number, h: number, w: number, oc: number, kh: number, kw: number],
  ...[sh: number, sw: number, pt: number, pl: number, dh: number, dw: number],
  ...[oh: number, ow: number],
];

export interface PoolWindow {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly average: boolean;
}

/** What `terms` of a product counts for a scale and a shift that `lower` folds in (docs/numerics.md, lemma 6). */
export const FOLDED = 3;

/** y = W x + b. */
export interface AffineLayer<S extends OptionsSchema = OptionsSchema> extends Base<S> {
  readonly role: 'affine';
  /** W x + b. */
  apply(x: Tensor, p: Params, o: InferOutput<S>): Tensor;
  /** |W| r (+ extra, shaped like `bias`). Where `p` has |weight| as `absolute` it need not be formed. */
  applyAbs(r: Tensor, p: Params, o: InferOutput<S>, extra?: Tensor): Tensor;
  /** The two at once, where that is faster. */
  applyBoth?(
    c: Tensor,
    r: Tensor,
    p: Params,
    o: InferOutput<S>,
    extra?: Tensor,
  ): readonly [Tensor, Tensor];
  /**
   * W^T g for g shaped like the output; `input` is the shape of one input sample. Of a training batch
   * g has the same number of rows for every sample, those of a sample together.
   */
  transpose(g: Tensor, p: Params, o: InferOutput<S>, input: Shape): Tensor;
  /** b, one number a channel (or unit) or a value, if there is one. */
  bias?(p: Params): Tensor | undefined;
  /**
   * Longest sum behind one output, the bias and, of products, `FOLDED` included; 0 where values are only
   * moved (or scaled by numbers >= 0 in training), so that bounds go through end by end.
   */
  terms(input: Shape, o: InferOutput<S>): number;
  /** Longest sum behind one element of `transpose`, 0 where values only move. Left out: 2 + outputs. */
  backTerms?(input: Shape, o: InferOutput<S>): number;
  /**
   * Rows of W, which are the transposes of unit vectors: row r is `factor[r]` times that of output
   * `index[r]`, shaped like the input. Left out: by `transpose`. Not differentiated.
   */
  rows?(units: Units, p: Params, o: InferOutput<S>, input: Shape): Tensor;
  /** Where the layer is one convolution or product: what compiled plans go by (domain/plan.ts). */
  product?(input: Shape, o: InferOutput<S>): ProductSizes | undefined;
  /** True where an output is the input at its place times a number of its channel, plus another. */
  readonly channelwise?: boolean;
  /** True where the output is the input under another shape. */
  readonly alias?: boolean;
  /**
   * The tensors `apply` really uses, where they are derived: statistics folded to a scale and shift,
   * or, with a `batch`, those of this training batch (and the statistics' new values).
   */
  effective?(
    p: Params,
    o: InferOutput<S>,
    batch?: { readonly x: Tensor; readonly key: RandomKey },
  ): { readonly params: Params; readonly updates?: Params };
}

/** y_i = f(x_i), with f non-decreasing, as computed too, or with a `range`. */
export interface PointwiseLayer<S extends OptionsSchema = OptionsSchema> extends Base<S> {
  readonly role: 'pointwise';
  f(x: Tensor, o: InferOutput<S>): Tensor;
  /**
   * Least and greatest value over boxes [lo, hi], as computed by `f` at points of the boxes. Left out where
   * these are the values at the ends.
   */
  range?(lo: Tensor, hi: Tensor, o: InferOutput<S>): readonly [lo: Tensor, hi: Tensor];
  /**
   * Two lines that bound f on [lo, hi]: slope and offset of the lower, then of the upper one. Scalars
   * in f64; linear bounds vectorise it.
   */
  relax(lo: number, hi: number, o: InferOutput<S>): readonly [number, number, number, number];
  /**
   * Of functions s x below 0 and t x above it, s <= t: [s, t]. Where 0 is crossed every slope between
   * them gives a lower line through 0, of which linear bounds may take any.
   */
  kink?(o: InferOutput<S>): readonly [below: number, above: number];
  /** f in f64 on options rounded to float32, as the kernels take them: the reference. */
  scalar(x: number, o: InferOutput<S>): number;
  /**
   * Relative error of the float32 kernel against `scalar`, in units of 2^-24 and besides underflow
   * (2^-149); 0 where it is exact.
   */
  readonly error: number;
  /**
   * Error of executions besides that, whatever the size of f, in units of 2^-24: runtimes
   * that cut f off have no relative error to speak of. Default: 0.
   */
  readonly absolute?: number;
  /** Error besides in units of 2^-24 |x|: where f is x times a number in [0, 1]. Default: 0. */
  readonly inputError?: number;
  /** True for f = max(0, x), which products write along with their sums (domain/plan.ts). */
  readonly rectifies?: boolean;
}

/** For every output of every sample of a maximum, sample after sample. */
export interface Picked {
  /** Position in the input sample of the entry with the greatest lower end. */
  readonly index: Int32Array;
  /** Greatest upper end among the other entries; -infinity where there are none. */
  readonly others: Float32Array;
}

/** Several tensors (or windows of one) to one, non-decreasing in every input. */
export interface JoinLayer<S extends OptionsSchema = OptionsSchema> extends Base<S> {
  readonly role: 'join';
  combine(xs: readonly Tensor[], o: InferOutput<S>): Tensor;
  /** Roundings behind one output: 0 for maxima and concatenation, inputs - 1 for a sum. */
  terms(inputs: number): number;
  /** Of linear joins: the gradient of each input, whose sample has the given shape. */
  transpose?(g: Tensor, inputs: readonly Shape[], o: InferOutput<S>): Tensor[];
  /** Of maxima of one input, for boxes [n, ...]. A join has this or `transpose`. */
  pick?(lo: Tensor, hi: Tensor, o: InferOutput<S>): Picked;
}

export type Layer = AffineLayer | PointwiseLayer | JoinLayer;

// Registries hold layers of different options under one type; each keeps its own inside.
export const affineLayer = <S extends OptionsSchema>(layer: AffineLayer<S>): Layer =>
  layer as unknown as Layer;
export const pointwiseLayer = <S extends OptionsSchema>(layer: PointwiseLayer<S>): Layer =>
  layer as unknown as Layer;
export const joinLayer = <S extends OptionsSchema>(layer: JoinLayer<S>): Layer =>
  layer as unknown as Layer;
