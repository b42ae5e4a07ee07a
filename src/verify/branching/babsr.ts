/**
 * Activation splitting by the BaBSR score (Bunel et al. 2020, JMLR 21, section 5.3.2): an estimate of what fixing a
 * neuron's phase gains, from the bound's own backward pass. With the coefficient c behind the neuron, b the
 * bias in front, and the chord s x + t over its box, the score is |max(c b (s - 1), c b s) + t min(c, 0)|. Where all
 * scores vanish the largest t |min(c, 0)| counts, then the largest triangle.
 *
 * Cost: a few operations an unstable neuron.
 */
import * as v from 'valibot';
import { newPass, type NodeWith, operatorIn } from '../../domain/domain';
import { biasColumn } from '../../domain/rows';
import { expect } from '../../errors';
import type { AffineLayer } from '../../nn/layer';
import type { AnyModel } from '../../nn/model';
import { step } from '../../tensor/tensor';
import { branchingRule, type NodeSplit, type OpenNodes } from './rule';

export const babsr = branchingRule({
  name: 'babsr',
  about: 'activation splitting at the neuron of the largest BaBSR score',
  options: v.strictObject({}),
  splits: 'activations',
  *choose(nodes) {
    return candidatesOf(nodes).map((all) => best(all)?.split);
  },
});

/** An unstable neuron with its scores. */
export interface Candidate {
  readonly split: Extract<NodeSplit, { readonly neuron: unknown }>;
  readonly score: number;
  /** What the upper line's offset takes from the bound. */
  readonly intercept: number;
  /** Area of the relaxation's triangle. */
  readonly area: number;
}

/** The candidate that comes first. */
export const best = (all: readonly Candidate[]): Candidate | undefined =>
  all.length === 0 ? undefined : all.reduce((a, b) => (isBefore(b, a) ? b : a));

export const isBefore = (a: Candidate, b: Candidate): boolean =>
  a.score > b.score ||
  (a.score === b.score &&
    (a.intercept > b.intercept || (a.intercept === b.intercept && a.area > b.area)));

/** The unstable neurons of every open node. */
export function candidatesOf({ problem, depth, hidden, coefficients }: OpenNodes): Candidate[][] {
  const who = 'branching by BaBSR scores';
  expect(hidden && coefficients, who, 'a method that gives coefficients, as beta-crown', 'none');
  const found = depth.map((): Candidate[] => []);
  for (const [node, { lo, hi }] of hidden) {
    const size = lo.length / depth.length;
    const behind = coefficients.get(node);
    let bias: Float32Array | undefined;
    for (let at = 0; at < lo.length; at++) {
      const [low, high] = [lo[at]!, hi[at]!];
      if (!(low < 0 && high > 0)) continue;
      bias ??= biasOf(problem.networks[0]!, node, size);
      const neuron = at % size;
      const [c, b] = [behind?.[at] ?? 0, bias[neuron]!];
      const slope = high / (high - low);
      const intercept = -low * slope * Math.max(-c, 0);
      found[(at - neuron) / size]!.push({
        split: { network: 0, neuron: { node, neuron } },
        score: Math.abs(Math.max(c * b * (slope - 1), c * b * slope) - intercept) || 0,
        intercept: intercept || 0,
        area: -low * high,
      });
    }
  }
  return found;
}

/** Bias of every value of a node; 0 where it is not affine. */
function biasOf({ engine, graph, params }: AnyModel, at: number, size: number): Float32Array {
  const node = graph.nodes[at]!;
  if (node.layer.role !== 'affine') return new Float32Array(size);
  return step(engine, () => {
    const { bias } = operatorIn(newPass(), node as NodeWith<AffineLayer>, params);
    if (!bias) return new Float32Array(size);
    const column = biasColumn(bias, node.shape).read();
    const each = size / column.length;
    return Float32Array.from({ length: size }, (_, i) => column[Math.floor(i / each)]!);
  });
}
