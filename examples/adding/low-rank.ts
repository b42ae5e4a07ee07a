/**
 * Dense layer of low rank: y = U (V x) + b with V [rank, features] and U [units, rank] (Denil et al. 2013).
 *
 * As it is computed in two products, its rounding is bounded by |U| (|V| |x|), not by |U V| |x|, and so that is
 * what stands for |W|: bounds are as sound as of two dense layers, and no wider.
 */
import * as v from 'valibot';
import { expect } from '../../src/errors';
import { affineLayer, type ParamSpec } from '../../src/nn/layer';
import type { LinearOperator, Params } from '../../src/nn/operator';
import { ProductOperator } from '../../src/nn/operators/product';
import { whole } from '../../src/options';
import { denseShape } from '../../src/tensor/convolution';
import { add, affine, lincomb } from '../../src/tensor/ops/core';
import type { Tensor } from '../../src/tensor/tensor';

/** More than what underflows in sums of the first factor. */
const UNDERFLOW = 2 ** -120;

/** Sizes as they are, or NaN, which proves nothing, where a sum could overflow in some order: from 2^107 on. */
function guarded(size: Tensor): Tensor {
  const large = affine(size, 2 ** 21, UNDERFLOW);
  return add(affine(size, 1, UNDERFLOW), lincomb(1, large, -1, large));
}

/** The operator x -> U (V x) + b, whatever representation its two weights have. */
class LowRankOperator implements LinearOperator {
  readonly accumulationLength: number;
  readonly transposeAccumulationLength: number;
  readonly #down: ProductOperator;
  readonly #up: ProductOperator;

  constructor({ down, up, bias }: Params, features: number, rank: number, units: number) {
    this.#down = new ProductOperator({ weight: down! }, denseShape(features, rank), false);
    this.#up = new ProductOperator({ weight: up!, bias: bias! }, denseShape(rank, units), true);
    // gamma(m) + gamma(n) + gamma(m) gamma(n) <= gamma(m + n) (Higham 2002, lemma 3.3).
    this.accumulationLength = this.#down.accumulationLength + this.#up.accumulationLength;
    this.transposeAccumulationLength =
      this.#down.transposeAccumulationLength + this.#up.transposeAccumulationLength;
  }

  get bias(): Tensor | undefined {
    return this.#up.bias;
  }

  apply(x: Tensor): Tensor {
    return this.#up.apply(this.#down.apply(x));
  }

  applyAbs(r: Tensor, extra?: Tensor): Tensor {
    return this.#up.applyAbs(guarded(this.#down.applyAbs(r)), extra);
  }

  transpose(g: Tensor): Tensor {
    return this.#down.transpose(this.#up.transpose(g));
  }
}

export const lowRank = affineLayer({
  role: 'affine',
  about: 'fully connected, by two factors: units, rank',
  options: v.strictObject({ units: whole(1), rank: whole(1) }),
  shape([input], { units }, who) {
    expect(input?.length === 1, who, 'a flat input [features]', `[${input}]`, 'Add flatten.');
    return [units];
  },
  params([input], { units, rank }) {
    const factor = (rows: number, fanIn: number): ParamSpec => ({
      ...{ shape: [rows, fanIn], init: 'weight', fanIn, prunable: true, trainable: true },
    });
    const bias = { shape: [units], init: 0, fanIn: rank, prunable: false, trainable: true };
    return { down: factor(rank, input![0]!), up: factor(units, rank), bias };
  },
  macs: (input, output, { rank }) => rank * (input[0]! + output[0]!),
  operator: (p, { units, rank }, [features]) => new LowRankOperator(p, features!, rank, units),
});
