/**
 * alpha-CROWN (Xu et al. 2021): where cheaper bounds leave a sample open, the lower slopes of every
 * margin are optimised, from CROWN's; with `joint` also those behind the boxes of hidden values. A run
 * stops where all of it is certified or gains no more.
 */
import * as v from 'valibot';
import { ALPHA, SHARE } from '../../bounds/alpha';
import { real, whole } from '../../options';
import { estimateMemory, extraBytes, MOST_IMAGES } from '../memory';
import { alphaMethod } from '../methods';
import { byBounds } from '../prove';
import { cheapest } from './linear';
import { ballText, shared, soundness } from './options';

export const alphaCrown = byBounds({
  name: 'alpha-crown',
  about:
    'linear bounds with optimised lower slopes, after cheaper ones: sound, memory, norm, steps, rate, joint',
  options: v.strictObject({
    ...shared,
    steps: v.optional(whole(1), ALPHA.steps),
    /** Length of the optimiser's first step. */
    rate: v.optional(real(0, 1), ALPHA.rate),
    /** Optimise the bounds of hidden values too; for small networks. */
    joint: v.optional(v.boolean(), false),
  }),
  memoryFor: ({ graph }, images, { memory, joint }) =>
    estimateMemory(graph, images, { memory, share: SHARE, extra: extraBytes(graph, joint) }),
  describe: (o, eps) =>
    `alpha-CROWN, ${o.steps} steps${o.joint ? ', joint' : ''}, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  methods: ({ sound, memory, steps, rate, joint }) => [
    ...cheapest({ sound, memory, slopes: 'adaptive' }),
    alphaMethod('alpha-crown', { sound, memory, steps, rate, hidden: joint, most: MOST_IMAGES }),
  ],
});
