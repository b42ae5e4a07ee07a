/** Fully connected layer: y = x W^T + b, W [units, features]. */
import * as v from 'valibot';
import { expect } from '../../errors';
import { whole } from '../../options';
import { denseShape } from '../../tensor/convolution';
import { affineLayer } from '../layer';
import { ProductOperator } from '../operators/product';

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
  channelDependency: () => ({ kind: 'producer', count: 'units' }),
  macs: (input, output) => input[0]! * output[0]!,
  operator: (p, o, [features]) => new ProductOperator(p, denseShape(features!, o.units), o.bias),
});
