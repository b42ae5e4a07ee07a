/**
 * The verifiers that are one pass of linear bounds: CROWN-IBP (Zhang et al. 2020), CROWN (Zhang et al.
 * 2018) and Fast-Lin (Weng et al. 2018; the dual of Wong and Kolter 2018 and Neurify's symbolic
 * intervals are the same numbers). Each tries what is cheaper before.
 *
 * `hidden` says which hidden values get linear bounds: those that intervals leave open, or all, which
 * is the textbook's definition and seldom tighter.
 */
import * as v from 'valibot';
import { SLOPES } from '../../bounds/relaxations';
import { choice } from '../../options';
import { estimateMemory, MOST_IMAGES } from '../memory';
import {
  type BoundMethod,
  intervalMethod,
  type LinearMethodOptions,
  linearMethod,
} from '../methods';
import { byBounds } from '../prove';
import { ballText, shared, soundness } from './options';

type Options = Pick<Required<LinearMethodOptions>, 'sound' | 'memory' | 'slopes'>;

const linear = (name: string, options: LinearMethodOptions): BoundMethod =>
  linearMethod(name, { ...options, most: MOST_IMAGES });

/** Intervals, and linear bounds over them. */
export const cheapest = (options: Options): readonly BoundMethod[] => [
  intervalMethod(options),
  linear('crown-ibp', { ...options, hidden: 'interval' }),
];

export const crownIbp = byBounds({
  name: 'crown-ibp',
  about:
    'linear bounds over interval bounds of hidden values (CROWN-IBP): sound, memory, norm, slopes',
  options: v.strictObject({ ...shared, slopes: v.optional(choice(SLOPES), 'adaptive') }),
  memoryFor: ({ graph }, images, o) => estimateMemory(graph, images, o),
  describe: (o, eps) =>
    `CROWN-IBP, ${o.slopes} slopes, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  methods: ({ sound, memory, slopes }) => cheapest({ sound, memory, slopes }),
});

const hidden = v.optional(choice(['unstable', 'all'] as const), 'unstable');

export const crown = byBounds({
  name: 'crown',
  about:
    'linear bounds, lower slopes 0 or 1 (CROWN), after cheaper ones: sound, memory, norm, hidden',
  options: v.strictObject({ ...shared, hidden }),
  memoryFor: ({ graph }, images, o) => estimateMemory(graph, images, o),
  describe: (o, eps) =>
    `CROWN, ${o.hidden} hidden values, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  methods: ({ sound, memory, hidden }) => [
    ...cheapest({ sound, memory, slopes: 'adaptive' }),
    linear('crown', { sound, memory, hidden }),
  ],
});

export const fastLin = byBounds({
  name: 'fast-lin',
  about:
    'linear bounds, parallel lines (Fast-Lin, Wong-Kolter), after intervals: sound, memory, norm, hidden',
  options: v.strictObject({ ...shared, hidden }),
  memoryFor: ({ graph }, images, o) => estimateMemory(graph, images, o),
  describe: (o, eps) =>
    `Fast-Lin, ${o.hidden} hidden values, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  methods: ({ sound, memory, hidden }) => [
    intervalMethod({ sound }),
    linear('fast-lin', { sound, memory, hidden, slopes: 'parallel' }),
  ],
});
