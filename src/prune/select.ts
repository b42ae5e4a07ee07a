/**
 * Masks from scores: the weights with the largest scores stay. Strategies that judge weights one by
 * one differ in nothing but the score.
 *
 * Counts are exact and ties go to the lower index (mask_top_k kernel), so a mask depends on the
 * scores alone. Cost: a few passes over the weights; the scope `global` needs three times their
 * memory for the time of the call.
 */
import { paramSpecs } from '../nn/graph';
import { type Model, prunableNames } from '../nn/model';
import { add, affine, mul, reshape } from '../tensor/ops/core';
import { argmax } from '../tensor/ops/loss';
import { concat, slice } from '../tensor/ops/shape';
import { assign, empty, keep, step, type Tensor } from '../tensor/tensor';
import { allocate, keptTotal, type Part, type Scope } from './allocate';
import { countNonzero } from './mask';
import type { Masks, PruneContext } from './strategy';

/** Scores >= 0 shaped like the weight, in the current step; `position` is among all parameters. */
export type Score = (weight: Tensor, position: number) => Tensor;

interface Candidate extends Part {
  readonly name: string;
  readonly weight: Tensor;
  /** The scores as [n], in the current step; -1 where an earlier mask holds. */
  scores(): Tensor;
}

/** Masks of exactly round(sparsity * total) zeros, the smallest scores (by `scope`). */
export function selectMasks(context: PruneContext, scope: Scope, score: Score): Masks {
  const { model, sparsity } = context;
  const found = candidates(context, score);
  if (found.length === 0) return new Map();
  if (scope === 'global') return topOfAll(model, found, keptTotal(found, sparsity));
  return topOfEach(model, found, allocate(scope, found, sparsity));
}

function candidates({ model, previous }: PruneContext, score: Score): Candidate[] {
  const positions = [...paramSpecs(model.graph).keys()];
  return prunableNames(model.graph).map((name) => {
    const weight = model.params.get(name)!;
    const mask = previous?.get(name);
    const scores = (): Tensor => {
      const own = score(weight, positions.indexOf(name));
      // Exactly the score where the mask is 1, exactly -1 where it is 0.
      const masked = mask ? add(mul(own, mask), affine(mask, 1, -1)) : own;
      return reshape(masked, [weight.size]);
    };
    return {
      name,
      weight,
      shape: weight.shape,
      cap: mask ? countNonzero(mask) : weight.size,
      scores,
    };
  });
}

function topOfEach({ engine }: Model, found: readonly Candidate[], kept: readonly number[]): Masks {
  return new Map(
    found.map(({ name, weight, scores }, i) => {
      const mask = keep(engine, weight.shape);
      step(engine, () => engine.run('mask_top_k', weight.size, kept[i]!, scores().ptr, mask.ptr));
      return [name, mask];
    }),
  );
}

/** One threshold over all; the best weight of each layer stays in any case. */
function topOfAll({ engine }: Model, found: readonly Candidate[], kept: number): Masks {
  return step(engine, () => {
    const scores = found.map((candidate) => candidate.scores());
    const best = scores.map((s) => argmax(reshape(s, [1, s.size]))[0]!);
    const all = concat(scores, 0);
    const starts = scores.map((_, i) => scores.slice(0, i).reduce((at, s) => at + s.size, 0));
    const values = engine.memory.f32(all.ptr, all.size);
    for (const [i, start] of starts.entries()) values[start + best[i]!] = Number.POSITIVE_INFINITY;
    const chosen = empty(engine, all.shape);
    engine.run('mask_top_k', all.size, kept, all.ptr, chosen.ptr);
    return new Map(
      found.map(({ name, weight }, i) => {
        const mask = keep(engine, weight.shape);
        assign(mask, slice(chosen, 0, starts[i]!, starts[i]! + weight.size));
        return [name, mask];
      }),
    );
  });
}
