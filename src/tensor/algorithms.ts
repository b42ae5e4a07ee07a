/**
 * The dense algorithms of a product or convolution: where each applies and what it costs, by the table of
 * runtime/costs.ts. Plans take the cheapest (plan/dense-product.ts has their calls), and choose by it between
 * dense and sparse ways (sparse/choice.ts).
 */
import {
  type CostForm,
  type Costs,
  costOf,
  directWork,
  gatheredWork,
  type Work,
  winogradWork,
} from '../runtime/costs';
import { PANEL } from '../runtime/kernels';
import { type ConvShape, depthOf, geometryOf, isMatrix } from './convolution';
import type { SumOptions } from './ops/product';

export interface Algorithm<F extends CostForm = CostForm> {
  /** The line of the table of costs that it goes by. */
  readonly costs: F;
  /** What it does, by the keys of its costs; nothing where it does not apply. */
  work(conv: ConvShape, batch: number): Work<F>;
}

const algorithm = <F extends CostForm>(costs: F, work: Algorithm<F>['work']): Algorithm<F> => ({
  costs,
  work,
});

/** Whether gathering takes it: a convolution without groups that is no plain matrix. */
const isPlain = (s: ConvShape): boolean => s.groups === 1 && !isMatrix(s);

export const algorithms = {
  /** Packed product of whole panels, of at least 4 rows. */
  gemm: algorithm('gemm', (s, batch) =>
    isMatrix(s)
      ? { product: s.inChannels * PANEL * Math.ceil(s.outChannels / PANEL) * Math.max(batch, 4) }
      : undefined,
  ),
  /** Product with the rows of the weight as they lie. */
  gemv: algorithm('gemv', (s, batch) =>
    isMatrix(s) ? { product: s.inChannels * s.outChannels * batch } : undefined,
  ),
  /** Implicit product over gathered windows. */
  conv: algorithm('conv', (s, batch) =>
    isPlain(s) ? gatheredWork(...geometryOf(s, batch)) : undefined,
  ),
  /** Direct convolution: taps as offsets into padded planes. */
  direct: algorithm('direct', (s, batch) =>
    isPlain(s) ? directWork(...geometryOf(s, batch)) : undefined,
  ),
  /** Minimal filtering on 4 x 4 tiles (Winograd), where it is allowed. */
  winograd: algorithm('winograd', (s, batch) =>
    s.groups === 1 ? winogradWork(...geometryOf(s, batch)) : undefined,
  ),
  /** Sums over padded planes, group by group; nothing competes with it, so it has no costs of its own. */
  grouped: algorithm('direct', (s, batch) => {
    if (s.groups === 1) return undefined;
    const positions = batch * s.outHeight * 4 * Math.ceil(s.outWidth / 4);
    const product = positions * s.outChannels * depthOf(s);
    const input = batch * s.inChannels * s.height * s.width;
    return { product, tap: 0, output: positions * s.outChannels, input };
  }),
};

export type AlgorithmName = keyof typeof algorithms;

/** Infinity where an algorithm does not apply. */
export function costOfAlgorithm(
  name: AlgorithmName,
  conv: ConvShape,
  batch: number,
  table?: Costs,
): number {
  const { costs, work } = algorithms[name] as Algorithm;
  return costOf(costs, work(conv, batch), table);
}

/** The cheapest algorithm for a product. */
export const cheapestDense = (
  conv: ConvShape,
  batch: number,
  { allowWinograd, costs }: SumOptions & { readonly costs?: Costs | undefined } = {},
): readonly [name: AlgorithmName, cost: number] =>
  (Object.keys(algorithms) as AlgorithmName[])
    .filter((name) => allowWinograd || name !== 'winograd')
    .map((name) => [name, costOfAlgorithm(name, conv, batch, costs)] as const)
    .reduce((best, one) => (one[1] < best[1] ? one : best));
