/**
 * What an affine layer y = W x + b is for everyone else. Values, intervals, linear bounds, plans and the
 * canonical form ask operators; which layer made one they do not know. An operator is a cheap object,
 * made for one forward computation or plan. Its structure is known without parameters; its methods read
 * them.
 */
import type { Engine } from '../runtime/engine';
import type { SparseWeight, Weight } from '../sparse/weight';
import type { ConvShape } from '../tensor/convolution';
import { type Shape, sizeOf } from '../tensor/shape';
import { openTape } from '../tensor/tape';
import { input, Tensor } from '../tensor/tensor';

/** Tensors of one layer by local name; those that pruning may thin out can be sparse. */
export type Params = Readonly<Record<string, Weight>>;

/** Multiples of unit vectors over the outputs of one sample. */
export interface OneHotRows {
  readonly index: Int32Array;
  readonly factor: Float32Array;
}

/** All that is known of an operator without its parameters. */
export interface LinearStructure {
  /** Of a product with a weight, dense layers among them: the shape of its convolution. */
  readonly conv?: ConvShape | undefined;
  /** Of y = scale x + shift: whether all values of a channel share their two numbers. */
  readonly perChannel?: boolean;
  /** Whether the output is the input under another shape. */
  readonly reshapes?: boolean;
  /**
   * Longest sum behind one output, the bias included, and of products `FOLDED`; 0 where values are only
   * moved (or scaled by numbers >= 0 in training), so that bounds go through end by end.
   */
  readonly accumulationLength: number;
  /** Longest sum behind one element of `transpose`, 0 where values only move. */
  readonly transposeAccumulationLength: number;
}

export interface LinearOperator extends LinearStructure {
  /** Whether its convolutions may be Winograd's, of which no sound bound speaks. Default: false. */
  readonly allowWinograd?: boolean;
  /** W of a product. */
  readonly weight?: Weight | undefined;
  /** b, one number a channel (or unit) or a value, if there is one. */
  readonly bias?: Tensor | undefined;
  /** W x + b. */
  apply(x: Tensor): Tensor;
  /** |W| r (+ extra, shaped like `bias`). */
  applyAbs(r: Tensor, extra?: Tensor): Tensor;
  /**
   * W^T g for g shaped like the output. Of a training batch g has the same number of rows for every
   * sample, those of a sample together.
   */
  transpose(g: Tensor): Tensor;
  /**
   * Rows of W, which are the transposes of unit vectors: row r is `factor[r]` times that of output
   * `index[r]`, shaped like the input. Left out: by `transpose`. Not differentiated.
   */
  rows?(units: OneHotRows): Tensor;
}

/** What the accumulation length of a product counts for a scale and a shift that `lower` folds in (docs/numerics.md, lemma 6). */
export const FOLDED = 3;

/** A parameter that is always a tensor. */
export function tensorOf(weight: Weight): Tensor {
  if (weight instanceof Tensor) return weight;
  throw new TypeError('a parameter that no pattern thins out');
}

/**
 * `make()`, made once as long as it may be used again: in the step it was made in, and under the tape
 * that saw it made, as gradients flow through it.
 */
export function memo<T extends Tensor | SparseWeight>(make: () => T): () => T {
  let made: { readonly value: T; readonly tape: object | undefined } | undefined;
  return () => {
    const isUsable = made && isAlive(made.value) && made.tape === openTape(made.value.engine);
    if (!made || !isUsable) {
      const value = make();
      made = { value, tape: openTape(value.engine) };
    }
    return made.value;
  };
}

const isAlive = (weight: Weight): boolean => {
  const { engine, epoch } = weight instanceof Tensor ? weight : weight.values;
  return engine.arena.isLive(epoch);
};

/** Rows of unit vectors as a tensor [rows, ...shape]. */
export function oneHotRows({ index, factor }: OneHotRows, engine: Engine, shape: Shape): Tensor {
  const columns = sizeOf(shape);
  const rows = new Float32Array(index.length * columns);
  index.forEach((place, r) => {
    rows[r * columns + place] = factor[r]!;
  });
  return input(engine, rows, [index.length, ...shape]);
}
