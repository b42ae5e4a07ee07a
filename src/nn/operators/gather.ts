/**
 * The operator of layers without parameters that move values, or add them up times numbers >= 0: so
 * |W| = W, and bounds that are only moved are exact.
 */
import type { Tensor } from '../../tensor/tensor';
import type { LinearOperator } from '../operator';

export interface Gather {
  /** W x. */
  forward(x: Tensor): Tensor;
  /** W^T g. */
  back(g: Tensor): Tensor;
  /** Whether the output is the input under another shape. */
  readonly reshapes?: boolean;
  /** Longest sum behind one output (docs/numerics.md); default 0: nothing is rounded. */
  readonly accumulationLength?: number;
  /** The same of the transpose. */
  readonly transposeAccumulationLength?: number;
}

export const gather = ({
  forward,
  back,
  reshapes = false,
  accumulationLength = 0,
  transposeAccumulationLength = 0,
}: Gather): LinearOperator => ({
  ...{ reshapes, accumulationLength, transposeAccumulationLength },
  apply: forward,
  applyAbs: (r) => forward(r),
  transpose: back,
});
