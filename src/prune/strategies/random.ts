/**
 * Random pruning: the baseline any strategy has to beat (with `erk` a strong one: Liu et al. 2022,
 * "The unreasonable effectiveness of random pruning", arXiv 2202.02643).
 *
 * Scores are uniform draws keyed by (seed, position of the parameter, index of the weight), so masks
 * repeat, and the masks of one seed are nested as sparsity rises. Where it stands for sparse training from
 * the start, `start: initial` draws at initialisation and trains as pre-training does. Deviation: counts are
 * exact, where they draw each weight by itself. Cost: a draw a weight.
 */
import * as v from 'valibot';
import { choice } from '../../options';
import { AT_INITIALISATION, scoring } from '../scoring';
import { randomScore } from '../select';

export const random = scoring({
  name: 'random',
  about: 'weights drawn by lot go',
  scope: 'layer',
  options: { start: v.optional(choice(['best', 'initial']), 'best') },
  phase: ({ start }) =>
    start === 'initial' ? AT_INITIALISATION : { name: 'finetune', decides: 'best' },
  scores: ({ seed }) => randomScore(seed),
});
