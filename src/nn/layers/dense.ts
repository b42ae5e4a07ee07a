/** Fully connected layer: y = x W^T + b, W [units, features]. */
import * as v from 'valibot';
import { expect } from '../../errors';
import { whole } from '../../options';
import { mul } from '../../tensor/ops/core';
import { abs } from '../../tensor/ops/elementwise';
import { matmul } from '../../tensor/ops/product';
import { takeRows } from '../../tensor/ops/shape';
import type { Shape } from '../../tensor/shape';
import { supportedProduct, supportedRadius, supportedTranspose } from '../../tensor/supported';
import { supportFor } from '../../tensor/supports';
import { input } from '../../tensor/tensor';
import { affineLayer, FOLDED, type ProductSizes } from '../layer';

export const dense = affineLayer({
  role: 'affine',
  about: 'fully connected: units, bias',
  options: v.strictObject({ units: whole(1), bias: v.optional(v.boolean(), true) }),
  shape([input], o, who) {
    expect(input?.length === 1, who, 'a flat input [features]', `[${input}]`, 'Add flatten.');
    return [o.units];
  },
  params([input], o) {
    const fanIn = input![0]!;
    const weight = { shape: [o.units, fanIn], init: 'weight', fanIn } as const;
    const bias = { shape: [o.units], init: 0, fanIn, prunable: false, trainable: true };
    return {
      weight: { ...weight, prunable: true, trainable: true },
      ...(o.bias ? { bias } : {}),
    };
  },
  flow: () => ({ way: 'make', count: 'units' }),
  macs: (input, output) => input[0]! * output[0]!,
  apply(x, p) {
    const support = supportFor(p.weight!, sizesOf(p.weight!), x.shape[0]!);
    return support
      ? supportedProduct(x, p.weight!, support, p.bias)
      : matmul(x, p.weight!, { tb: true, bias: p.bias });
  },
  applyAbs(r, p, _, extra) {
    const support = supportFor(p.weight!, sizesOf(p.weight!), r.shape[0]!);
    return support
      ? supportedRadius(r, p.absolute ?? abs(p.weight!), support, extra)
      : matmul(r, p.absolute ?? abs(p.weight!), { tb: true, bias: extra });
  },
  transpose(g, p) {
    const support = supportFor(p.weight!, sizesOf(p.weight!), g.shape[0]!);
    return support ? supportedTranspose(g, p.weight!, support) : matmul(g, p.weight!);
  },
  bias: (p) => p.bias,
  rows: ({ index, factor }, p) =>
    mul(takeRows(p.weight!, index), input(p.weight!.engine, factor, [factor.length, 1])),
  product: ([features], { units }) => sizesOf({ shape: [units, features!] }),
  terms: (features, o) => features[0]! + (o.bias ? 1 : 0) + FOLDED,
  backTerms: (_, o) => o.units,
});

/** As a convolution of 1 x 1 planes. */
function sizesOf({ shape }: { readonly shape: Shape }): ProductSizes {
  const [units, features] = shape as [number, number];
  return [features, 1, 1, units, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1];
}
