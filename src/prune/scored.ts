/** Scores that a phase trains with the weights at rest (HYDRA, Sehwag et al. 2020, section 3.2). */

import * as v from 'valibot';
import { paramSpecs } from '../nn/graph';
import type { Model } from '../nn/model';
import type { ParameterData } from '../nn/parameterisation';
import { scoredData } from '../nn/parameterisations/scored';
import { choice, real, whole } from '../options';
import { countKept } from './mask';
import type { Masks, StrategyPhase } from './strategy';

/** Options of the phase that trains scores. */
export const SCORE_TRAINING = {
  /** That train the scores; null is as many as fine-tuning has. */
  epochs: v.optional(v.nullable(whole(0)), null),
  optimizer: v.optional(choice(['sgd', 'adam']), 'sgd'),
  /** Falls to 0 by a cosine. HYDRA: 0.1 by SGD, 1e-5 by Adam for certified training. */
  learningRate: v.optional(real(0), 0.1),
  /** S2AP (arXiv 2510.18381): scores are trained that share of their norm uphill, or null. */
  sharpness: v.optional(v.nullable(real(0, 1)), null),
} as const;

/** The phase that trains scores, and the one that fine-tunes what they have chosen. */
export function scorePhases(
  training: { readonly epochs: number | null; readonly [option: string]: unknown },
  every?: number,
): StrategyPhase[] {
  const { epochs, optimizer, learningRate, sharpness } = training;
  return [
    {
      ...{ name: 'prune', decides: 'best', trained: 'scores' },
      training: {
        ...{ optimizer, learningRate, sharpness, schedule: { name: 'cosine' } },
        ...(epochs !== null && { epochs }),
      },
      ...(every !== undefined && { every }),
    },
    { name: 'finetune', decides: null },
  ];
}

/**
 * Each parameter's weights with scores that begin as sqrt(6 / fan-in) w / max |w|, so that the first choice
 * of as many as its mask keeps is by magnitude; entries that `previous` masks stay out.
 */
export function magnitudeScores(
  { graph, params }: Model,
  masks: Masks,
  previous: Masks | undefined,
): Map<string, ParameterData> {
  const specs = paramSpecs(graph);
  return new Map(
    Array.from(masks, ([name, mask]) => {
      const weights = params.get(name)!.read();
      const largest = weights.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
      const scale = Math.sqrt(6 / specs.get(name)!.fanIn) / (largest || 1);
      const scores = weights.map((w) => scale * w);
      return [name, scoredData(weights, scores, countKept(mask), previous?.get(name))];
    }),
  );
}
