/** Options and words that verifiers share. */
import * as v from 'valibot';
import { NORM_NAMES, NORMS, type Norm } from '../../domain/balls';
import { choice, whole } from '../../options';
import { MEMORY } from '../memory';

export const shared = {
  /** Without outward rounding: for comparison with other tools, never a certificate. */
  sound: v.optional(v.boolean(), true),
  /** Bytes of scratch memory for a batch of samples. */
  memory: v.optional(whole(2 ** 20), MEMORY),
  /** Norm of the balls, which are cut to [0, 1]. */
  norm: v.optional(choice(NORMS), 'linf'),
};

export const ballText = (norm: Norm, eps: number): string => `${NORM_NAMES[norm]}, eps ${eps}`;

export const soundness = (sound: boolean): string =>
  sound ? 'sound in float32' : 'NOT sound in floating point';
