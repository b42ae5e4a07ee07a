/** The domain of plain values: what the network computes. */
import type { Tensor } from '../tensor/tensor';
import type { Domain } from './domain';

export const value: Domain<Tensor> = {
  affine: (_, w, x) => w.apply(x),
  pointwise: ({ layer, options }, x) => layer.f(x, options),
  join: ({ layer, options }, xs) => layer.combine(xs, options),
};
