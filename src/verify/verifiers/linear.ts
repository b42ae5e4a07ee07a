/**
 * The verifiers that are one pass of linear bounds: CROWN-IBP (Zhang et al. 2020), CROWN (Zhang et al.
 * 2018) and Fast-Lin (Weng et al. 2018; the dual of Wong and Kolter 2018 and Neurify's symbolic
 * intervals are the same numbers). Each tries what is cheaper before.
 *
 * `hidden` says which hidden values get linear bounds: those that intervals leave open, or all, which
 * is the textbook's definition and seldom tighter.
 */
import * as v from 'valibot';
import { CHUNK, type LinearOptions } from '../../bounds/linear';
import { SLOPES } from '../../bounds/relaxations';
import { NORM_NAMES, NORMS, type Norm } from '../../domain/balls';
import { choice, whole } from '../../options';
import { boundsByLines, byIntervals, byLines, proveByStages, type Stage } from '../linear';
import { estimateMemory, MEMORY } from '../memory';
import { verifier } from '../verifier';

/** Options that all verifiers by linear bounds have. */
export const shared = {
  /** Without outward rounding: for comparison with other tools, never a certificate. */
  sound: v.optional(v.boolean(), true),
  /** Bytes of scratch memory for a batch of samples. */
  memory: v.optional(whole(2 ** 20), MEMORY),
  /** Of the balls, which are cut to [0, 1]. */
  norm: v.optional(choice(NORMS), 'linf'),
};

export const ballText = (norm: Norm, eps: number): string => `${NORM_NAMES[norm]}, eps ${eps}`;

export const soundness = (sound: boolean): string =>
  sound ? 'sound in float32' : 'NOT sound in floating point';

const chunkOf = (memory: number): number => Math.min(CHUNK, memory);
const bestOf = (options: LinearOptions): Stage[] => [
  byIntervals(options.sound),
  byLines({ ...options, hidden: 'interval' }),
];

export const crownIbp = verifier({
  name: 'crown-ibp',
  about:
    'linear bounds over interval bounds of hidden values (CROWN-IBP): sound, memory, norm, slopes',
  options: v.strictObject({ ...shared, slopes: v.optional(choice(SLOPES), 'adaptive') }),
  norm: (o) => o.norm,
  memoryFor: ({ graph }, images, o) => estimateMemory(graph, images, o),
  describe: (o, eps) =>
    `CROWN-IBP, ${o.slopes} slopes, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  parts: (job, { sound, memory, norm, slopes }) =>
    proveByStages(job, bestOf({ sound, slopes, chunk: chunkOf(memory) }), { sound, memory, norm }),
  bounds: (batch, { sound, norm, slopes }) =>
    boundsByLines({ ...batch, norm }, { sound, slopes, hidden: 'interval' }),
});

const hidden = v.optional(choice(['unstable', 'all'] as const), 'unstable');

export const crown = verifier({
  name: 'crown',
  about:
    'linear bounds, lower slopes 0 or 1 (CROWN), after cheaper ones: sound, memory, norm, hidden',
  options: v.strictObject({ ...shared, hidden }),
  norm: (o) => o.norm,
  memoryFor: ({ graph }, images, o) => estimateMemory(graph, images, o),
  describe: (o, eps) =>
    `CROWN, ${o.hidden} hidden values, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  parts(job, { sound, memory, norm, hidden }) {
    const options = { sound, chunk: chunkOf(memory) };
    const stages = [...bestOf(options), byLines({ ...options, hidden })];
    return proveByStages(job, stages, { sound, memory, norm });
  },
  bounds: (batch, { sound, norm, hidden }) => boundsByLines({ ...batch, norm }, { sound, hidden }),
});

export const fastLin = verifier({
  name: 'fast-lin',
  about:
    'linear bounds, parallel lines (Fast-Lin, Wong-Kolter), after intervals: sound, memory, norm, hidden',
  options: v.strictObject({ ...shared, hidden }),
  norm: (o) => o.norm,
  memoryFor: ({ graph }, images, o) => estimateMemory(graph, images, o),
  describe: (o, eps) =>
    `Fast-Lin, ${o.hidden} hidden values, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  parts(job, { sound, memory, norm, hidden }) {
    const options = { sound, hidden, slopes: 'parallel', chunk: chunkOf(memory) } as const;
    return proveByStages(job, [byIntervals(sound), byLines(options)], { sound, memory, norm });
  },
  bounds: (batch, { sound, norm, hidden }) =>
    boundsByLines({ ...batch, norm }, { sound, hidden, slopes: 'parallel' }),
});
