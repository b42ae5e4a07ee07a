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
import type { Mask } from '../nn/parameterisation';
import { add, affine, mul, reshape } from '../tensor/ops/core';
import { argmax } from '../tensor/ops/loss';
import { concat } from '../tensor/ops/shape';
import { empty, input, step, type Tensor } from '../tensor/tensor';
import { allocate, keptTotal, type Part, type Scope } from './allocate';
import { countKept } from './mask';
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
      const own = reshape(score(weight, positions.indexOf(name)), [weight.size]);
      if (!mask) return own;
      // Exactly the score where the mask is 1, exactly -1 where it is 0.
      const kept = input(weight.engine, mask, [mask.length]);
      return add(mul(own, kept), affine(kept, 1, -1));
    };
    return { name, weight, shape: weight.shape, cap: mask ? countKept(mask) : weight.size, scores };
  });
}

function topOfEach({ engine }: Model, found: readonly Candidate[], kept: readonly number[]): Masks {
  return new Map(
    found.map(({ name, scores }, i) => [name, step(engine, () => topOf(scores(), kept[i]!))]),
  );
}

/** A mask of the `kept` largest scores. */
function topOf(scores: Tensor, kept: number): Mask {
  const { engine, shape, size, ptr } = scores;
  const chosen = empty(engine, shape);
  engine.run('mask_top_k', size, kept, ptr, chosen.ptr);
  return new Uint8Array(chosen.read());
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
    const chosen = topOf(all, kept);
    const masks = found.map(({ name, weight }, i): [string, Mask] => [
      name,
      chosen.slice(starts[i]!, starts[i]! + weight.size),
    ]);
    return new Map(masks);
  });
}
