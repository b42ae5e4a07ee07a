/**
 * The operator of dense layers and convolutions, with groups or without: y = W x + b with W [units,
 * features] or [oc, c / groups, kh, kw], in whatever representation the weight has.
 */
import { sparseProduct, sparseRadius, sparseTranspose } from '../../sparse/product';
import { chooseRepresentation } from '../../sparse/representation';
import { absolute, isSparse, toDense, type Weight } from '../../sparse/weight';
import { type ConvShape, depthOf } from '../../tensor/convolution';
import { mul } from '../../tensor/ops/core';
import {
  convolution,
  convolutionInputGrad,
  convolutionRows,
  matmul,
} from '../../tensor/ops/product';
import { takeRows } from '../../tensor/ops/shape';
import { input, type Tensor } from '../../tensor/tensor';
import { FOLDED, type LinearOperator, memo, type Params, tensorOf, type Units } from '../operator';

export class ProductOperator implements LinearOperator {
  readonly kind: 'dense' | 'convolution';
  readonly accumulationLength: number;
  readonly transposeAccumulationLength: number;
  readonly #absolute = memo(() => absolute(this.weight));

  /** `params` has `weight` and, with `hasBias`, `bias`. */
  constructor(
    readonly params: Params,
    readonly conv: ConvShape,
    hasBias: boolean,
  ) {
    this.kind = conv.flat ? 'dense' : 'convolution';
    this.accumulationLength = depthOf(conv) + Number(hasBias) + FOLDED;
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
    const w = this.#chosen(this.weight, x);
    return isSparse(w) ? sparseProduct(x, w, this.conv, this.bias) : this.#dense(x, w, this.bias);
  }

  applyAbs(r: Tensor, extra?: Tensor): Tensor {
    const w = this.#chosen(this.#absolute(), r);
    return isSparse(w) ? sparseRadius(r, w, this.conv, extra) : this.#dense(r, w, extra);
  }

  transpose(g: Tensor): Tensor {
    const w = this.#chosen(this.weight, g);
    if (isSparse(w)) return sparseTranspose(g, w, this.conv);
    return this.conv.flat ? matmul(g, w) : convolutionInputGrad(g, w, this.conv);
  }

  rows(units: Units): Tensor {
    const w = toDense(this.weight);
    if (!this.conv.flat) return convolutionRows(units, w, this.conv);
    const { index, factor } = units;
    return mul(takeRows(w, index), input(w.engine, factor, [factor.length, 1]));
  }

  /** The weight as this batch goes through it. */
  #chosen(w: Weight, { shape }: Tensor): Weight {
    const isOver = chooseRepresentation(w, this.conv, shape[0]!) === 'sparse';
    return isOver ? w : toDense(w);
  }

  #dense(x: Tensor, w: Tensor, bias: Tensor | undefined): Tensor {
    return this.conv.flat ? matmul(x, w, { tb: true, bias }) : convolution(x, w, this.conv, bias);
  }
}
