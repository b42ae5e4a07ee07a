/**
 * Input splitting: bounds of the ball, counter-examples, and for few inputs branch and bound over parts of the ball
 * (ReluVal, Wang et al. 2018). It is complete for few inputs only; with a branching rule of activations the parts are
 * bounded by CROWN, without multipliers for their constraints.
 */
import * as v from 'valibot';
import { whole } from '../../options';
import { estimateMemory, MEMORY } from '../memory';
import { METHODS } from '../search';
import { verifier } from '../verifier';
import { ballText, shared } from './options';
import { searched } from './searched';

export const inputSplitting = verifier({
  name: 'input-splitting',
  about:
    'bounds, counter-examples, then splitting of few inputs: nodes, inputs, rounds, branching, norm',
  options: v.strictObject({
    /** Parts of a sample's ball that are bounded, at most. */
    nodes: v.optional(whole(1), 2000),
    /** The inputs of balls of more than this are not split. */
    inputs: v.optional(whole(0), 12),
    /** Rounds of random starts for counter-examples, where the ball is not divided. */
    rounds: v.optional(whole(0), 0),
    /** Branching rule, by its name in the registry. */
    branching: v.optional(v.string(), 'looseness'),
    norm: shared.norm,
  }),
  norm: (o) => o.norm,
  memoryFor: ({ graph }, images) => estimateMemory(graph, images, { memory: MEMORY }),
  describe: (o, eps) =>
    `linear bounds, counter-examples and branch and bound by ${o.branching}, ${o.nodes} nodes, ${ballText(o.norm, eps)}`,
  parts: (job, { inputs, ...o }) =>
    searched(job, { ...o, seconds: 0, parts: METHODS.parts, splitUpTo: inputs }),
});
