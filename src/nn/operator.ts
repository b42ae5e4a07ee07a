/**
 * Linear operators: an affine layer y = W x + b as the rest of the library sees it. Values, intervals, linear
 * bounds, plans and the canonical form work with operators and do not know which layer made one. An operator
 * is a cheap object, made for one forward computation or plan. Its structure is known without parameters; its
 * methods read them.
 */
import type { Engine } from '../runtime/engine';
import type { SparseWeight, Weight } from '../sparse/weight';
import type { ConvShape } from '../tensor/convolution';
import { type Shape, sizeOf } from '../tensor/shape';
import { openTape } from '../tensor/tape';
import { input, Tensor } from '../tensor/tensor';

/** Parameters of one layer by local name; prunable ones may be sparse. */
export type Params = Readonly<Record<string, Weight>>;

/** Rows that are multiples of unit vectors over the outputs of one sample: row r is factor[r] e_{index[r]}. */
export interface OneHotRows {
  readonly index: Int32Array;
  readonly factor: Float32Array;
}

/** What is known of an operator without its parameters. */
export interface LinearStructure {
  /** Of a product with a weight, dense layers among them: the shape of its convolution. */
  readonly conv?: ConvShape | undefined;
  /** Of y = scale x + shift: whether all values of a channel share their two numbers. */
  readonly perChannel?: boolean;
  /** Whether the output is the input under another shape. */
  readonly reshapes?: boolean;
  /**
   * Most terms that are summed into one output, the bias included and, for products, `FOLDED_TERMS`: n of the
   * rounding error gamma(n). 0 where values are only moved (or scaled by numbers >= 0 in training), so that
   * lower and upper bounds pass through one by one.
   */
  readonly accumulationLength: number;
  /** Most terms that are summed into one element of `transpose`; 0 where values only move. */
  readonly transposeAccumulationLength: number;
}

export interface LinearOperator extends LinearStructure {
  /** Whether convolutions may use Winograd's algorithm, whose rounding sound bounds do not cover. Default: false. */
  readonly allowWinograd?: boolean;
  /** W of a product (a dense layer or convolution). */
  readonly weight?: Weight | undefined;
  /** b, if there is one: one number per channel (or unit), or one per value. */
  readonly bias?: Tensor | undefined;
  /** W x + b. Of layers that depend on the training batch x may have rows as g of `transpose`. */
  apply(x: Tensor): Tensor;
  /** |W| r (+ extra, shaped like `bias`), |W| by element: propagates radii of intervals and sizes of errors. */
  applyAbs(r: Tensor, extra?: Tensor): Tensor;
  /**
   * W^T g for g shaped like the output. For layers that depend on the training batch, g
   * has equally many rows for every sample, those of one sample next to each other.
   */
  transpose(g: Tensor): Tensor;
  /**
   * W^T of multiples of unit vectors, cheaper than `transpose`: row r is `factor[r]` times the row of W of
   * output `index[r]`, shaped like the input. Left out: computed by `transpose`. No gradients flow.
   */
  rows?(units: OneHotRows): Tensor;
}

/** Terms that the accumulation length of a product counts for a batch norm that `lower` may fold into it (docs/numerics.md, lemma 6). */
export const FOLDED_TERMS = 3;

/** Narrows a parameter that is never sparse, as pruning does not apply to it; throws for a sparse one. */
export function tensorOf(weight: Weight): Tensor {
  if (weight instanceof Tensor) return weight;
  throw new TypeError('a parameter that no pattern thins out');
}

/**
 * Memoises `make()` while its result is valid: in the step() whose memory holds it, and under the autograd
 * tape that recorded it, so that gradients still flow through it.
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

/** One-hot rows as a dense tensor [rows, ...shape]. */
export function oneHotRows({ index, factor }: OneHotRows, engine: Engine, shape: Shape): Tensor {
  const columns = sizeOf(shape);
  const rows = new Float32Array(index.length * columns);
  index.forEach((place, r) => {
    rows[r * columns + place] = factor[r]!;
  });
  return input(engine, rows, [index.length, ...shape]);
}
