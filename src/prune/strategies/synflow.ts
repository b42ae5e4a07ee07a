/**
 * SynFlow (Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic
 * flow", arXiv 2006.05467): the score of an initial weight is the sum over all paths through it of the
 * products of their |weights|, |w| dR/d|w| with R = 1' |W_L| ... |W_1| 1. Over `rounds` rounds sparsity
 * rises geometrically, and what is left is scored anew, so no layer is emptied before the others.
 *
 * R is the network in a domain of its own: affine layers by |W|, pointwise ones as identities. Both ends of
 * R are scaled by the same power of two, the largest that lets all of it be finite.
 * Deviations: batch norms count as the scales that they are in inference (the paper leaves them out of its
 * account); pointwise layers are identities whatever they are. Cost: a forward and backward pass of one
 * sample a round.
 */
import * as v from 'valibot';
import { type Domain, propagate } from '../../domain/domain';
import { fail } from '../../errors';
import { type Model, prunableNames } from '../../nn/model';
import { whole } from '../../options';
import { affine, mul, sum } from '../../tensor/ops/core';
import { abs } from '../../tensor/ops/elementwise';
import { gradients } from '../../tensor/tape';
import { filled, input, step, type Tensor } from '../../tensor/tensor';
import { countMasked } from '../mask';
import { sparsityAt } from '../schedule';
import { AT_INITIALISATION, scoring } from '../scoring';
import { scoresFrom, selectMasks } from '../select';
import type { Masks } from '../strategy';

/** Sums over paths of |weights|, without biases. */
const flow: Domain<Tensor> = {
  affine: (_, w, r) => w.applyAbs(r),
  pointwise: (_, r) => r,
  join: ({ layer, options }, rs) => layer.combine(rs, options),
};

/** Of the two ends, so that R may reach 2^127 * 2^180. */
const SCALES = [1, 2 ** -30, 2 ** -60, 2 ** -90];

export const synflow = scoring({
  name: 'synflow',
  about: 'initial weights on the weakest paths go, without data',
  scope: 'global',
  options: { rounds: v.optional(whole(1), 100) },
  phase: () => AT_INITIALISATION,
  scores(context, { rounds, scope, pattern }) {
    const { model, sparsity } = context;
    let masks: Masks = context.previous ?? new Map();
    const { zeros, total } = countMasked(model.graph, masks);
    for (let round = 1; round < rounds; round++) {
      const aim = sparsityAt('geometric', zeros / total, sparsity, round / rounds);
      const now = { ...context, sparsity: Math.max(aim, zeros / total), previous: masks };
      masks = selectMasks(now, scope, scoresFrom(pathSums(model, masks), 'synflow'), pattern);
    }
    return scoresFrom(pathSums(model, masks), 'synflow');
  },
});

/** The scores of what the masks leave; -1 elsewhere. */
export function pathSums(model: Model, masks: Masks): Map<string, Float32Array> {
  for (const scale of SCALES) {
    const found = scaledSums(model, masks, scale);
    if (![...found.values()].every((own) => own.every(Number.isFinite))) continue;
    for (const [name, mask] of masks)
      mask.forEach((one, place) => {
        if (one === 0) found.get(name)![place] = -1;
      });
    return found;
  }
  const hint = 'The network is too deep or too wide for it in float32.';
  return fail('synflow', 'sums over paths below 2^300', 'larger ones', hint);
}

function scaledSums(
  { engine, graph, params }: Model,
  masks: Masks,
  scale: number,
): Map<string, Float32Array> {
  const names = prunableNames(graph);
  return step(engine, () => {
    const left = names.map((name) => {
      const weight = params.get(name)!;
      const mask = masks.get(name);
      return mask ? mul(weight, input(engine, mask, weight.shape)) : affine(weight, 1, 0);
    });
    const all = new Map([...params, ...names.map((name, i) => [name, left[i]!] as const)]);
    const { gradients: slopes } = gradients(engine, left, () => {
      const ones = filled(engine, [1, ...graph.network.input], scale);
      return { loss: affine(sum(propagate(graph, all, flow, ones)), scale, 0) };
    });
    // dR/dw has the sign of w.
    return new Map(names.map((name, i) => [name, abs(mul(left[i]!, slopes[i]!)).read()]));
  });
}
