/**
 * Masks from scores: the weights with the largest scores stay. Strategies that judge weights one by
 * one differ in nothing but the score (scoring.ts).
 *
 * Counts are exact and ties go to the lower index (mask_top_k kernel), so a mask depends on the
 * scores alone. Cost: a few passes over the weights; the scope `global` needs three times their
 * memory for the time of the call.
 */
import { expect } from '../errors';
import { paramSpecs } from '../nn/graph';
import { type Model, prunableNames } from '../nn/model';
import type { Mask, ParameterData } from '../nn/parameterisation';
import type { Engine } from '../runtime/engine';
import { reshape } from '../tensor/ops/core';
import { argmax } from '../tensor/ops/loss';
import { uniform } from '../tensor/ops/random';
import { concat } from '../tensor/ops/shape';
import { STREAMS } from '../tensor/philox';
import { empty, input, step, type Tensor } from '../tensor/tensor';
import { allocate, keptTotal, type Part, type Scope } from './allocate';
import { countKept } from './mask';
import { type Pattern, patterned } from './patterns';
import type { Masks, PruneContext } from './strategy';

/**
 * Scores shaped like the weight, of any sign, in the current step, of a parameter by its name;
 * `position` is among all parameters.
 */
export interface Score {
  (weight: Tensor, position: number, name: string): Tensor;
  /** The weights that stay, where those that go make them move. */
  readonly moved?: (masks: Masks) => ReadonlyMap<string, ParameterData>;
}

/**
 * Scores that are at hand, by parameter, times a power of two that lets float32 tell small ones apart.
 * Raises an error, beginning with `who`, for others than finite ones.
 */
export function scoresFrom(
  scores: ReadonlyMap<string, Float32Array | Float64Array>,
  who: string,
): Score {
  let largest = 0;
  for (const [name, own] of scores)
    for (const score of own) {
      expect(Number.isFinite(score), who, `finite scores of ${name}`, score);
      largest = Math.max(largest, Math.abs(score));
    }
  const scale = 2 ** -Math.floor(Math.log2(largest || 1));
  return ({ engine, shape }, _, name) => {
    const own = scores.get(name)!;
    const scaled = new Float32Array(own.length);
    // A loop: `Float32Array.from` takes many times as long, and strategies come here between batches.
    for (let i = 0; i < own.length; i++) scaled[i] = scale * own[i]!;
    return input(engine, scaled, shape);
  };
}

interface Candidate extends Part {
  readonly name: string;
  readonly weight: Tensor;
  /** The scores as [n], in the current step; -infinity where an earlier mask holds. */
  scores(): Tensor;
}

/** Masks of exactly round(sparsity * total) zeros, the smallest scores (by `scope`). */
export function selectMasks(
  context: PruneContext,
  scope: Scope,
  score: Score,
  pattern: Pattern = 'single',
): Masks {
  const { model, sparsity } = context;
  const found = candidates(context, score, pattern);
  if (found.length === 0) return new Map();
  if (scope === 'global') return topOfAll(model, found, keptTotal(found, sparsity));
  return topOfEach(model, found, allocate(scope, found, sparsity));
}

/** The prunable weights of a model, each with the number that earlier masks have left of it. */
export const prunableParts = (
  { graph, params }: Model,
  previous: Masks | undefined,
): (Part & { readonly name: string })[] =>
  prunableNames(graph).map((name) => {
    const { shape, size } = params.get(name)!;
    const mask = previous?.get(name);
    return { name, shape, cap: mask ? countKept(mask) : size };
  });

/** Uniform draws keyed by (seed, position of the parameter, index of the weight). */
export const randomScore =
  (seed: number): Score =>
  ({ engine, size, shape }, position) => {
    const key = { seed, stream: STREAMS.prune, index: [position] };
    return reshape(uniform(engine, [1, size], key), shape);
  };

function candidates(
  { model, previous }: PruneContext,
  score: Score,
  pattern: Pattern,
): Candidate[] {
  const positions = [...paramSpecs(model.graph).keys()];
  return prunableParts(model, previous).map((part) => {
    const { name } = part;
    const weight = model.params.get(name)!;
    const mask = previous?.get(name);
    const scores = (): Tensor => {
      const own = score(weight, positions.indexOf(name), name);
      if (!mask && pattern === 'single') return reshape(own, [weight.size]);
      const left = own.read();
      mask?.forEach((one, place) => {
        if (one === 0) left[place] = Number.NEGATIVE_INFINITY;
      });
      return input(weight.engine, patterned(left, weight.shape, pattern), [weight.size]);
    };
    return { ...part, weight, scores };
  });
}

function topOfEach({ engine }: Model, found: readonly Candidate[], kept: readonly number[]): Masks {
  return new Map(
    found.map(({ name, scores }, i) => [name, step(engine, () => topOf(scores(), kept[i]!))]),
  );
}

/** A mask of the `kept` largest of some scores. */
export const largestOf = (engine: Engine, scores: Float32Array, kept: number): Mask =>
  step(engine, () => topOf(input(engine, scores, [scores.length]), kept));

/** The same of scores in the current step. */
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
