/**
 * HYDRA (Sehwag et al. 2020, "HYDRA: Pruning adversarially robust neural networks", arXiv 2002.10509): each
 * weight of the trained network gets a score, which the run's objective trains with the weights at rest;
 * a layer keeps the weights of the largest |score|, and those are fine-tuned.
 *
 * Scores begin as sqrt(6 / fan-in) w / max |w|, so the first choice is by magnitude. Norms are trained
 * along, biases rest. Deviation: `scope` lets layers keep different shares, those of magnitude pruning.
 * Cost: `epochs` of dense training and a few passes over the weights a step.
 */
import * as v from 'valibot';
import { choice } from '../../options';
import { abs } from '../../tensor/ops/elementwise';
import { SCOPES } from '../allocate';
import { magnitudeScores, SCORE_TRAINING, scorePhases } from '../scored';
import { selectMasks } from '../select';
import { strategy } from '../strategy';

export const hydra = strategy({
  name: 'hydra',
  about: 'smallest trained |score| go: scope, epochs, optimizer, learningRate',
  options: v.strictObject({ scope: v.optional(choice(SCOPES), 'layer'), ...SCORE_TRAINING }),
  structured: false,
  phases: (o) => scorePhases(o),
  decide: (context, { scope }) =>
    magnitudeScores(
      context.model,
      selectMasks(context, scope, (weight) => abs(weight)),
      context.previous,
    ),
});
