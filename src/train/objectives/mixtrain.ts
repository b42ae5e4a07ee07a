/**
 * MixTrain (Wang et al. 2018, arXiv 1811.02625), with the settings of Sehwag et al. 2020 (HYDRA, arXiv
 * 2002.10509): clean cross entropy of the batch, and with probability `share` a weight times the worst loss of
 * `samples` of its images by linear bounds. The weight begins at `weight` once the radius is full and is
 * multiplied by `growth` every `every` epochs, up to `most`; where the difficulty is full from the start it is
 * `most`.
 *
 * Deviations: bounds are backward linear ones of parallel slopes, as tight as the symbolic intervals of the
 * paper; the loss is divided by 1 + weight, so that clipped gradients and learning rates keep their size. With
 * `hidden: interval` hidden bounds are those of intervals, which is looser and much cheaper.
 *
 * Cost: beside two forward passes, for each sample two transposed passes a hidden neuron, forward and back.
 */
import * as v from 'valibot';
import { linearMargins } from '../../bounds/margins';
import { choice, real, whole } from '../../options';
import { certified, certifiedOptions } from '../certified/family';
import { boundedBatch, hiddenOf } from '../certified/linear';
import { isDrawn, someSamples, worstLoss } from '../certified/parts';

/** How hidden values are bounded (bounds/linear.ts). */
export const HIDDEN = ['interval', 'unstable', 'all'] as const;

const {
  kappa: _,
  kappaStart: __,
  ...family
} = certifiedOptions({
  regularise: 0,
  judge: 'linear',
});

export const mixtrain = certified({
  name: 'mixtrain',
  about:
    'linear bounds of some samples of a batch, with growing weight (MixTrain): eps, samples, share',
  options: v.strictObject({
    ...family,
    /** Images of a batch that are bounded, and the share of batches in which some are. */
    samples: v.optional(whole(1), 1),
    share: v.optional(real(0.01, 1), 0.8),
    /** Weight of their loss: its first value, the factor by which it grows every so many epochs, and its last. */
    weight: v.optional(real(0.001), 0.1),
    growth: v.optional(real(1), 2.5),
    every: v.optional(real(0.01), 5),
    most: v.optional(real(0.001), 50),
    hidden: v.optional(choice(HIDDEN), 'unstable'),
  }),
  kappa({ epoch, epochs, ramp }, o) {
    const past = Math.max(0, epoch - o.rampEnd * epochs);
    const grown = o.weight * o.growth ** Math.floor(past / o.every);
    return 1 / (1 + (ramp ? Math.min(o.most, grown) : o.most));
  },
  robust(context, o) {
    if (!isDrawn(context, o.share)) return { loss: undefined, hidden: [] };
    const part = someSamples(context, o.samples);
    const bounded = boundedBatch(part, { hidden: o.hidden, slopes: 'parallel' });
    return {
      loss: worstLoss(linearMargins(bounded, part.labels), part.labels),
      hidden: hiddenOf(bounded),
    };
  },
});
