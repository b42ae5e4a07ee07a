/**
 * Which way a plan takes through a product: in a dense form (plan/algorithms.ts), or over its non-zeros,
 * in rows or blocks. By the costs of runtime/costs.ts, and nowhere else; single products are decided in
 * sparse/representation.ts.
 */
import type { GraphNode } from '../nn/graph';
import { type AnyModel, operatorOf } from '../nn/model';
import { type Costs, costOf, type Work } from '../runtime/costs';
import { BLOCK, type Filling, fillingOf, keptOfEvery } from '../sparse/blocks';
import { GROUP } from '../sparse/tables';
import { isSparse, placesOf, type Weight } from '../sparse/weight';
import { sizeOf } from '../tensor/shape';
import { chooseForm, type PlanOptions, type PlanStep, productOf, productStep } from './plan';

export interface SparseOptions {
  /** Values in pairs (interval plans): only rows, and forms for a whole group whatever the lanes. */
  readonly pairs?: boolean;
  readonly costs?: Costs | undefined;
}

/** Images side by side in a plan for batches of this size. */
export const lanesOf = (batch: number): number => Math.min(batch, GROUP);

export function denseCost(
  node: GraphNode,
  batch: number,
  winograd: boolean,
  costs?: Costs,
): number {
  return chooseForm(productOf(node)!, batch, winograd, costs)[1];
}

/** What the forms over non-zeros do, by the keys of their costs. */
export function sparseWork(
  { nnz, blocks, size }: Filling,
  rows: number,
  outputs: number,
): Readonly<{ csr: Work<'csr'>; '4x1': Work<'4x1'>; single: Work<'single'> }> {
  const single = outputs === 1;
  const lanes = GROUP * Math.ceil(outputs / GROUP);
  const each = (entries: number) =>
    single ? undefined : { product: lanes * entries, row: lanes * rows };
  return {
    csr: each(nnz),
    // For zeros: full layers stay dense.
    '4x1': 2 * BLOCK * blocks > size ? undefined : each(BLOCK * blocks),
    single: single ? { product: nnz } : undefined,
  };
}

/** The weight of a product. */
export const weightOf = ({ params }: AnyModel, node: GraphNode): Weight =>
  operatorOf(node, params).weight!;

/** Whether a product has nothing but its non-zeros. */
const isBare = (weight: Weight): boolean => isSparse(weight) && weight.dense === 'never';

/** The cheapest form of a product over its non-zeros. */
export function sparseForm(
  model: AnyModel,
  node: GraphNode,
  lanes: number,
  { pairs = false, costs }: SparseOptions = {},
): readonly [name: 'csr' | '4x1' | 'single', cost: number] {
  const { outChannels: oc, outHeight: oh, outWidth: ow } = productOf(node)!;
  const weight = weightOf(model, node);
  if (isBare(weight)) return ['csr', 0];
  const filling = fillingOf(placesOf(weight), oc, sizeOf(weight.shape));
  const side = pairs ? GROUP * Math.ceil(lanes / GROUP) : lanes;
  const work = sparseWork(filling, oc, oh * ow * side);
  const names = pairs ? (['csr'] as const) : (['csr', '4x1', 'single'] as const);
  return names
    .map((name) => [name, costOf(name, work[name], costs)] as const)
    .reduce((best, one) => (one[1] < best[1] ? one : best));
}

export const sparseCost = (...of: Parameters<typeof sparseForm>): number => sparseForm(...of)[1];

/** Of a product of a plan over non-zeros that is dense, with copies before and after. */
export function copiedDenseCost(node: GraphNode, lanes: number, costs?: Costs): number {
  const element = lanes * (sizeOf(node.inputShapes[0]!) + sizeOf(node.shape));
  return denseCost(node, lanes, false, costs) + costOf('copy', { element }, costs);
}

/** Whether a product of a plan over non-zeros goes over them, and is not dense between two copies. */
export function zerosPayAt(
  model: AnyModel,
  node: GraphNode,
  lanes: number,
  options: SparseOptions,
): boolean {
  if (isBare(weightOf(model, node))) return true;
  return copiedDenseCost(node, lanes, options.costs) >= sparseCost(model, node, lanes, options);
}

/** "2:4" where two of every four inputs are kept: rows of one length, for the same kernel. */
export function keptOf(model: AnyModel, node: GraphNode): string | undefined {
  const [weight, conv] = [weightOf(model, node), productOf(node)!];
  if (isBare(weight)) return undefined;
  const area = conv.kernelHeight * conv.kernelWidth;
  const size = sizeOf(weight.shape);
  return keptOfEvery(placesOf(weight), size, conv.inChannels / conv.groups, area);
}

/** A product of a plan over non-zeros that is dense after all; none where it has nothing but non-zeros. */
export const denseStep = (...job: Parameters<typeof productStep>): PlanStep | undefined => {
  const [model, , node] = job;
  return productOf(node) && isBare(weightOf(model, node)) ? undefined : productStep(...job);
};

/** Whether the plan over non-zeros should take less time than the dense one. */
export function zerosPay(
  model: AnyModel,
  { batch, winograd = false, ...options }: PlanOptions & SparseOptions,
): boolean {
  const { costs } = options;
  const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
  const products = model.graph.nodes.filter((node) => productOf(node));
  const dense = products.map((node) => denseCost(node, batch, winograd, costs));
  const lanes = lanesOf(batch);
  const sparse = products.map((node) =>
    Math.min(sparseCost(model, node, lanes, options), copiedDenseCost(node, lanes, costs)),
  );
  return sum(dense) >= sum(sparse) * Math.ceil(batch / lanes);
}
