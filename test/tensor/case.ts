/** One case of an operation: what the engine runs and the float64 reference it must agree with. */
import type { Engine } from '../../src/runtime/engine';
import type { Tensor } from '../../src/tensor/tensor';
import type { Nd } from '../helpers/nd';

export interface OpCase {
  /** The export of `src/tensor/ops/` under test. */
  readonly op: string;
  readonly about: string;
  readonly inputs: readonly Nd[];
  readonly run: (xs: readonly Tensor[], engine: Engine) => Tensor;
  readonly reference: (xs: readonly Nd[]) => Nd;
  /** False for operations through which no gradient flows. */
  readonly differentiable?: boolean;
}
