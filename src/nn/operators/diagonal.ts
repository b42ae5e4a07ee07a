/** The operator y = scale x + shift: one pair of numbers a channel, or one a value. */
import { add, mul, reshape } from '../../tensor/ops/core';
import { abs } from '../../tensor/ops/elementwise';
import type { Tensor } from '../../tensor/tensor';
import { type LinearOperator, memo, type Params, tensorOf } from '../operator';

/** One number a channel as [c, 1, ..., 1], one a value as the sample: ready to meet a batch. */
export function perChannel(t: Tensor, like: Tensor): Tensor {
  const [, channels, ...rest] = like.shape;
  return reshape(t, [channels!, ...(t.size === channels ? rest.map(() => 1) : rest)]);
}

export class DiagonalOperator implements LinearOperator {
  readonly accumulationLength = 2;
  readonly transposeAccumulationLength = 1;
  readonly #absolute = memo(() => abs(this.scale));

  /** `params` has `scale` and `shift`. */
  constructor(
    readonly params: Params,
    readonly perChannel: boolean,
  ) {}

  get scale(): Tensor {
    return tensorOf(this.params.scale!);
  }

  get bias(): Tensor {
    return tensorOf(this.params.shift!);
  }

  apply(x: Tensor): Tensor {
    return add(mul(x, perChannel(this.scale, x)), perChannel(this.bias, x));
  }

  applyAbs(r: Tensor, extra?: Tensor): Tensor {
    const y = mul(r, perChannel(this.#absolute(), r));
    return extra ? add(y, perChannel(extra, r)) : y;
  }

  transpose(g: Tensor): Tensor {
    return mul(g, perChannel(this.scale, g));
  }
}
