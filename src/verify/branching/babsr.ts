/**
 * Activation splitting by the BaBSR score (Bunel et al. 2020, JMLR 21, section 5.3.2): an estimate of what fixing a
 * neuron's phase gains, from the bound's own backward pass. With the coefficient c behind the neuron, b the
 * bias in front, and the chord s x + t over its box, the score is |max(c b (s - 1), c b s) + t min(c, 0)|. Where all
 * scores vanish the largest t |min(c, 0)| counts, then the largest triangle.
 *
 * Cost: a few operations an unstable neuron.
 */
import * as v from 'valibot';
import type { Phase } from '../../bounds/context';
import { type NodeWith, newPass, operatorIn } from '../../domain/domain';
import { biasColumn } from '../../domain/rows';
import { expect } from '../../errors';
import type { AffineLayer } from '../../nn/layer';
import type { AnyModel } from '../../nn/model';
import { sizeOf } from '../../tensor/shape';
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

/** The unstable neurons of every open node that are not split yet. */
export function candidatesOf({ problem, depth, sensitivity }: OpenNodes): Candidate[][] {
  const who = 'branching by BaBSR scores';
  expect(sensitivity, who, 'a method that gives coefficients, as beta-crown', 'none');
  const { neurons, coefficients } = sensitivity;
  const biases = new Map<number, Float32Array>();
  const terms = neurons.map(({ node, neuron, lo, hi }) => {
    if (!biases.has(node)) biases.set(node, biasOf(problem.networks[0]!, node));
    const slope = hi / (hi - lo);
    const split = { network: 0, neuron: { node, neuron } };
    return {
      split,
      bias: biases.get(node)?.[neuron] ?? 0,
      slope,
      offset: -lo * slope,
      area: -lo * hi,
    };
  });
  return depth.map((_, i) => {
    const fixed = new Set(problem.phases?.[0]?.[i]?.map(keyOf));
    return terms.flatMap(({ split, bias, slope, offset, area }, k): Candidate[] => {
      if (!(area > 0) || fixed.has(keyOf(split.neuron))) return [];
      const c = coefficients[i * neurons.length + k]!;
      const intercept = offset * Math.max(-c, 0) || 0;
      const gain = Math.max(c * bias * (slope - 1), c * bias * slope);
      return [{ split, score: Math.abs(gain - intercept) || 0, intercept, area }];
    });
  });
}

const keyOf = ({ node, neuron }: Omit<Phase, 'active'>): number => node * 2 ** 32 + neuron;

/** Bias of every value of a node; 0 where it is not affine. */
function biasOf({ engine, graph, params }: AnyModel, at: number): Float32Array {
  const node = graph.nodes[at];
  const size = sizeOf(node?.shape ?? []);
  if (node?.layer.role !== 'affine') return new Float32Array(size);
  return step(engine, () => {
    const { bias } = operatorIn(newPass(), node as NodeWith<AffineLayer>, params);
    if (!bias) return new Float32Array(size);
    const column = biasColumn(bias, node.shape).read();
    const each = size / column.length;
    return Float32Array.from({ length: size }, (_, i) => column[Math.floor(i / each)]!);
  });
}
