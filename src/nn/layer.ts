/**
 * What a layer is. A layer declares a role and writes the few facts of that role; every domain
 * (values, intervals, ...) interprets roles, so no domain and no layer know of each other.
 *
 * Tensors carry the batch as their first axis; shapes in `shape()` and `params()` are those of one
 * sample. `p` holds the layer's own tensors by local name (`weight`, `bias`, ...), `o` its options.
 */
import type { InferOutput } from 'valibot';
import type { OptionsSchema } from '../options';
import type { SumOptions } from '../tensor/ops/product';
import type { RandomKey } from '../tensor/ops/random';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import type { LinearOperator, Params } from './operator';

/** Parameters that are tensors all of them. */
export type TensorParams = Readonly<Record<string, Tensor>>;

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
 * How the channels of an output, the positions on the first axis of a sample, depend on those of the inputs;
 * filter pruning (prune/channels.ts) goes by it.
 */
export interface ChannelDependency {
  /**
   * `producer`: new channels, each from all of the input's. `elementwise`: channel i from channel i of every
   * input, which ties the inputs. `flatten`: every channel several times, one after the other.
   * `concat`: the inputs' channels side by side. `fixed`: anything else; none of them may go.
   */
  readonly kind: 'producer' | 'elementwise' | 'flatten' | 'concat' | 'fixed';
  /** Of `producer`: the option that holds the number of channels. */
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
  /** Left out: `elementwise` for pointwise layers, `fixed`, which is always right, for the others. */
  channelDependency?(o: InferOutput<S>): ChannelDependency;
  /** Where the layer is the maximum or the mean of windows that lie inside of the planes. */
  window?(o: InferOutput<S>): PoolWindow | undefined;
  /** Multiply-adds a sample. */
  macs?(input: Shape, output: Shape, o: InferOutput<S>): number;
}

export interface PoolWindow {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly average: boolean;
}

/** y = W x + b. */
export interface AffineLayer<S extends OptionsSchema = OptionsSchema> extends Base<S> {
  readonly role: 'affine';
  /**
   * W and b for inputs of shape `input`, of one sample. Reads no parameter itself, only in the methods of
   * what it returns. `sums` is for convolutions to pass on.
   */
  operator(p: Params, o: InferOutput<S>, input: Shape, sums?: SumOptions): LinearOperator;
  /** The tensors that the operator takes, where they are derived: statistics folded to a scale and shift. */
  derive?(p: TensorParams, o: InferOutput<S>): TensorParams;
  /** The same of a training batch, and the statistics' new values. */
  deriveInBatch?(
    p: TensorParams,
    o: InferOutput<S>,
    batch: { readonly x: Tensor; readonly key: RandomKey },
  ): { readonly params: TensorParams; readonly updates?: TensorParams };
  /** Whether values pass as they are outside of training. */
  readonly onlyInTraining?: boolean;
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
   * Slopes at the breakpoint of functions s x below 0 and t x above it, s <= t: [s, t]. For unstable neurons,
   * whose box holds 0 inside, every slope between them gives a lower line through 0.
   */
  breakpointSlopes?(o: InferOutput<S>): readonly [below: number, above: number];
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
  /** True for f = max(0, x), which products write along with their sums (plan/plan.ts). */
  readonly isReLU?: boolean;
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
  roundings(inputs: number): number;
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
