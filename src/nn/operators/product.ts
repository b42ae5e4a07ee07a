/**
 * The operator of dense layers and convolutions, with groups or without: y = W x + b with W [units,
 * features] or [oc, c / groups, kh, kw], in whatever representation the weight has.
 */

import { representationOf } from '../../sparse/choice';
import { sparseProduct, sparseRadius, sparseTranspose } from '../../sparse/product';
import { absolute, isSparse, toDense, type Weight } from '../../sparse/weight';
import { type ConvShape, depthOf } from '../../tensor/convolution';
import type { SumOptions } from '../../tensor/ops/product';
import type { Tensor } from '../../tensor/tensor';
import {
  FOLDED_TERMS,
  type LinearOperator,
  memo,
  type OneHotRows,
  type Params,
  tensorOf,
} from '../operator';
import { denseProduct, denseRows, denseTranspose } from './dense-product';

export class ProductOperator implements LinearOperator {
  readonly accumulationLength: number;
  readonly transposeAccumulationLength: number;
  readonly allowWinograd: boolean;
  readonly #absolute = memo(() => absolute(this.weight));

  /** `params` has `weight` and, with `hasBias`, `bias`. */
  constructor(
    readonly params: Params,
    readonly conv: ConvShape,
    hasBias: boolean,
    { allowWinograd = false }: SumOptions = {},
  ) {
    this.allowWinograd = allowWinograd;
    this.accumulationLength = depthOf(conv) + Number(hasBias) + FOLDED_TERMS;
    this.transposeAccumulationLength =
      (conv.outChannels / conv.groups) * conv.kernelHeight * conv.kernelWidth;
  }

  get weight(): Weight {
    return this.params.weight!;
  }

  get bias(): Tensor | undefined {
    const { bias } = this.params;
    return bias && tensorOf(bias);
  }

  apply(x: Tensor): Tensor {
    const w = representationOf(this.weight, this.conv, x.shape[0]!);
    if (isSparse(w)) return sparseProduct(x, w, this.conv, this.bias);
    return denseProduct(x, w, this.conv, this.bias, this);
  }

  applyAbs(r: Tensor, extra?: Tensor): Tensor {
    const w = representationOf(this.#absolute(), this.conv, r.shape[0]!);
    if (isSparse(w)) return sparseRadius(r, w, this.conv, extra);
    return denseProduct(r, w, this.conv, extra, this);
  }

  transpose(g: Tensor): Tensor {
    const w = representationOf(this.weight, this.conv, g.shape[0]!);
    if (isSparse(w)) return sparseTranspose(g, w, this.conv);
    return denseTranspose(g, w, this.conv, { allowWinograd: this.allowWinograd });
  }

  rows(units: OneHotRows): Tensor {
    return denseRows(units, toDense(this.weight), this.conv);
  }
}
