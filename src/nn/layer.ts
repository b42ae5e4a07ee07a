/**
 * Layers. A layer declares its role (affine, pointwise or join) and implements that role's interface. Every
 * abstract domain (values, intervals, ...) is written against roles alone, so a new layer works in all domains
 * and a new domain with all layers.
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

/** Parameters that are all dense tensors. */
export type TensorParams = Readonly<Record<string, Tensor>>;

/** One parameter tensor of a layer: its shape, how it is initialised, and whether it is trained and pruned. */
export interface ParamSpec {
  readonly shape: Shape;
  /** Initial value: `weight` is drawn by the initialiser; a number fills the tensor; a list gives every element. */
  readonly init: 'weight' | number | readonly number[];
  /** Fan-in: how many inputs one output sums over; scales the initialiser. */
  readonly fanIn: number;
  /** True for kernels of convolutions and dense layers: the weights that pruning may remove and sparsities count. */
  readonly prunable: boolean;
  /** False for statistics, which no optimiser touches. */
  readonly trainable: boolean;
  /** True where it multiplies channels, one number each: small ones say that a channel matters little. */
  readonly gain?: boolean;
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
  /** The window of a max or average pooling without padding; undefined for any other layer. */
  window?(o: InferOutput<S>): PoolWindow | undefined;
  /** Multiply-adds per sample. */
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
  /** The same of a training batch, the statistics of that batch, and their new running values. */
  deriveInBatch?(
    p: TensorParams,
    o: InferOutput<S>,
    batch: { readonly x: Tensor; readonly key: RandomKey },
  ): {
    readonly params: TensorParams;
    readonly statistics?: TensorParams;
    readonly updates?: TensorParams;
  };
  /** Whether values pass as they are outside of training. */
  readonly onlyInTraining?: boolean;
}

/** y_i = f(x_i). f is non-decreasing, in float32 as computed too, unless the layer has a `range`. */
export interface PointwiseLayer<S extends OptionsSchema = OptionsSchema> extends Base<S> {
  readonly role: 'pointwise';
  f(x: Tensor, o: InferOutput<S>): Tensor;
  /**
   * Least and greatest value over boxes [lo, hi], as computed by `f` at points of the boxes. Left out where
   * these are the values at the ends.
   */
  range?(lo: Tensor, hi: Tensor, o: InferOutput<S>): readonly [lo: Tensor, hi: Tensor];
  /**
   * Linear relaxation of f on [lo, hi]: slope and offset of the lower line, then of the upper one. Scalars
   * in f64; linear bounds call it for every neuron (those of max(x, 0) are written out).
   */
  relax(lo: number, hi: number, o: InferOutput<S>): readonly [number, number, number, number];
  /**
   * Of functions s x below 0 and t x above it with s <= t (ReLU, leaky ReLU): [s, t]. For unstable neurons,
   * lo < 0 < hi, a line through 0 of any slope in [s, t] is a lower bound; alpha-CROWN optimises that slope.
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
   * Absolute error of an execution in addition to `error`, in units of 2^-24: for functions that runtimes
   * clamp far out, where no relative error holds. Default: 0.
   */
  readonly absolute?: number;
  /** Further error in units of 2^-24 |x|: where f is x times a number in [0, 1]. Default: 0. */
  readonly inputError?: number;
  /** True for f = max(0, x), which plans fuse into the product before it (plan/plan.ts). */
  readonly isReLU?: boolean;
}

/** For every output of a maximum, sample after sample: the input that its linear relaxation is in. */
export interface MaxSelection {
  /** Position in the input sample of the entry with the greatest lower bound. */
  readonly index: Int32Array;
  /** Greatest upper bound among the other entries; -infinity where there are none. */
  readonly others: Float32Array;
}

/** A sum, concatenation or maximum of several tensors (or of windows of one): non-decreasing in every input. */
export interface JoinLayer<S extends OptionsSchema = OptionsSchema> extends Base<S> {
  readonly role: 'join';
  combine(xs: readonly Tensor[], o: InferOutput<S>): Tensor;
  /** Roundings behind one output: 0 for maxima and concatenation, inputs - 1 for a sum. */
  roundings(inputs: number): number;
  /** Of linear joins: the vector-Jacobian product for each input, whose sample has the given shape. */
  transpose?(g: Tensor, inputs: readonly Shape[], o: InferOutput<S>): Tensor[];
  /** Of maxima of one input: which entry bounds relax in, for boxes [n, ...]. A join has this or `transpose`. */
  pick?(lo: Tensor, hi: Tensor, o: InferOutput<S>): MaxSelection;
}

export type Layer = AffineLayer | PointwiseLayer | JoinLayer;

// Registries hold layers of different options under one type; each keeps its own inside.
export const affineLayer = <S extends OptionsSchema>(layer: AffineLayer<S>): Layer =>
  layer as unknown as Layer;
export const pointwiseLayer = <S extends OptionsSchema>(layer: PointwiseLayer<S>): Layer =>
  layer as unknown as Layer;
export const joinLayer = <S extends OptionsSchema>(layer: JoinLayer<S>): Layer =>
  layer as unknown as Layer;
