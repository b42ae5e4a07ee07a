/**
 * Terms that certified objectives add to their loss, each with a weight of its own: warm-up regularisers
 * (Shi et al. 2021, arXiv 2103.17268, section 3), ReLU stability (Xiao et al. 2019, arXiv 1809.03008), its
 * normalised form (Li et al. 2022, arXiv 2206.07311) and L1 norms of weights. Those of hidden boxes speak of
 * the boxes that the objective bounds with.
 *
 * Deviations: Li et al. average over channels, this over neurons; gamma is a constant there too.
 */
import type { Box } from '../../domain/interval';
import { lastAffine } from '../../domain/rows';
import type { GraphNode } from '../../nn/graph';
import { type AnyModel, prunableNames } from '../../nn/model';
import { tensorOf } from '../../nn/operator';
import { isSparse } from '../../sparse/weight';
import {
  add,
  affine,
  div,
  greater,
  lincomb,
  mean,
  minimum,
  mul,
  sub,
  sum,
} from '../../tensor/ops/core';
import { abs, relu, square, tanh } from '../../tensor/ops/elementwise';
import { filled, input, type Tensor } from '../../tensor/tensor';

/** A pointwise node and the box in front of it. */
export interface Hidden {
  readonly node: GraphNode;
  /** [n, ...shape]. */
  readonly box: Box;
}

/** What terms are functions of. */
export interface TermContext {
  readonly model: AnyModel;
  /** Box of the inputs. */
  readonly first: Box;
  /** Empty while the radius is 0. */
  readonly hidden: readonly Hidden[];
  /** Share of the full radius, in [0, 1]. */
  readonly share: number;
}

export interface TermWeights {
  /** At radius 0; the term fades as the radius grows. */
  readonly regularise: number;
  readonly tau: number;
  readonly stability: number;
  readonly normalisedStability: number;
  readonly l1: number;
  readonly lastLayer: number;
}

interface Term {
  /** Weight in the loss, at least 0; at 0 the term is not computed. */
  weight(o: TermWeights, share: number): number;
  readonly needsBoxes: boolean;
  /** One element. */
  value(context: TermContext, o: TermWeights): Tensor;
}

const TERMS: readonly Term[] = [
  {
    weight: (o, share) => o.regularise * (1 - share),
    needsBoxes: true,
    value: ({ first, hidden }, { tau }) => warmUp(first, hidden, tau),
  },
  {
    weight: (o) => o.stability,
    needsBoxes: true,
    value: ({ hidden }) =>
      total(hidden.map(({ box }) => affine(sum(instability(box)), 1 / box.lo.shape[0]!, 0))),
  },
  {
    weight: (o) => o.normalisedStability,
    needsBoxes: true,
    value({ model, hidden }) {
      const neurons = hidden.reduce((count, { box }) => count + box.lo.size, 0);
      const sums = hidden.map(({ node, box }) => sum(instability(box, gammaOf(model, node))));
      return affine(total(sums), 1 / neurons, 0);
    },
  },
  {
    weight: (o) => o.l1,
    needsBoxes: false,
    value: ({ model }) => l1Norm(model, prunableNames(model.graph)),
  },
  {
    weight: (o) => o.lastLayer,
    needsBoxes: false,
    value: ({ model }) => l1Norm(model, lastWeights(model)),
  },
];

/** Whether a term reads hidden boxes at this share of the radius. */
export const termsNeedBoxes = (o: TermWeights, share: number): boolean =>
  TERMS.some((term) => term.needsBoxes && term.weight(o, share) > 0);

/** The loss and all terms of weight above 0. */
export function withTerms(loss: Tensor, context: TermContext, o: TermWeights): Tensor {
  return TERMS.reduce((sofar, { weight, needsBoxes, value }) => {
    const w = weight(o, context.share);
    if (w === 0 || (needsBoxes && context.hidden.length === 0)) return sofar;
    return lincomb(1, sofar, w, value(context, o));
  }, loss);
}

const total = (terms: readonly Tensor[]): Tensor => terms.reduce((a, b) => add(a, b));

/** -tanh(1 + l u / gamma^2) of every neuron: least where both ends have one sign. */
function instability({ lo, hi }: Box, gamma?: Tensor): Tensor {
  const product = mul(lo, hi);
  const scaled = gamma ? div(product, affine(square(gamma), 1, 1e-8)) : product;
  return affine(tanh(affine(scaled, 1, 1)), -1, 0);
}

/** The gains by channel of the layer in front of a node, as constants that meet its box; none where it has none. */
function gammaOf({ engine, graph, params }: AnyModel, node: GraphNode): Tensor | undefined {
  const before = graph.nodes[node.inputs[0]!];
  const [local] = Object.entries(before?.params ?? {}).find(([, spec]) => spec.gain) ?? [];
  if (!before || local === undefined) return undefined;
  const gain = tensorOf(params.get(`${before.name}.${local}`)!);
  return input(engine, gain.read(), [gain.size, ...before.shape.slice(1).map(() => 1)]);
}

function l1Norm({ params, engine }: AnyModel, names: readonly string[]): Tensor {
  const weights = names.map((name) => params.get(name)!);
  const norms = weights.map((w) => sum(abs(isSparse(w) ? w.values : w)));
  return norms.length > 0 ? total(norms) : filled(engine, [], 0);
}

/** Names of the weights of the last layer, if it is affine. */
function lastWeights({ graph }: AnyModel): string[] {
  const last = lastAffine(graph);
  return last ? prunableNames(graph).filter((name) => name.startsWith(`${last.name}.`)) : [];
}

/**
 * (tightness + balance) / (tau m) over the m boxes: tightness keeps the boxes of hidden layers from growing
 * beyond the input's, balance keeps neurons from being all active or all inactive.
 */
function warmUp(first: Box, hidden: readonly Hidden[], tau: number): Tensor {
  const width = ({ lo, hi }: Box): Tensor => mean(sub(hi, lo));
  const short = (ratio: Tensor): Tensor => relu(affine(ratio, -1, tau));
  const inputWidth = width(first);
  const terms = hidden.flatMap(({ box }) => [
    short(div(inputWidth, affine(width(box), 1, 1e-12))),
    ...balances(box).map(short),
  ]);
  return affine(total(terms), 1 / (tau * hidden.length), 0);
}

/**
 * How evenly the always active and always inactive neurons of a layer share the mean and the
 * variance of its centres: two ratios in [0, 1].
 */
function balances({ lo, hi }: Box): Tensor[] {
  const zero = filled(lo.engine, [1], 0);
  const centre = lincomb(0.5, lo, 0.5, hi);
  const [active, inactive] = [greater(lo, zero), greater(zero, hi)];
  const spread = square(sub(centre, mean(centre)));
  const shares: [Tensor, Tensor][] = [
    [sum(mul(centre, active)), affine(sum(mul(centre, inactive)), -1, 0)],
    [sum(mul(spread, active)), sum(mul(spread, inactive))],
  ];
  return shares.map(([a, b]) => minimum(ratio(a, b), ratio(b, a)));
}

function ratio(a: Tensor, b: Tensor): Tensor {
  return div(a, affine(b, 1, 1e-6));
}
