/**
 * Complete verification of ReLU networks: bounds of the ball, counter-examples, then branch and bound over the phases
 * of unstable neurons with beta-CROWN (Wang et al. 2021), branching by filtered smart branching (De Palma et al.
 * 2021). With nodes enough every sample gets its answer, but where the margin is within rounding of 0.
 */
import * as v from 'valibot';
import { BETA } from '../../bounds/beta';
import { real, whole } from '../../options';
import { betaMethod } from '../beta-method';
import { estimateMemory } from '../memory';
import { verifier } from '../verifier';
import { ballText, shared } from './options';
import { searched } from './searched';

export const branchAndBound = verifier({
  name: 'branch-and-bound',
  about:
    'complete for ReLU networks: bounds, counter-examples, splitting of neurons with beta-CROWN: nodes, seconds, branching, steps, memory, norm',
  options: v.strictObject({
    /** Parts of a sample's ball that are bounded, at most. */
    nodes: v.optional(whole(1), 4000),
    /** Seconds of a sample, at most; 0 for no limit. Verdicts then depend on the machine. */
    seconds: v.optional(real(0, Number.MAX_VALUE), 0),
    /** Branching rule of activations, by its name in the registry. */
    branching: v.optional(v.string(), 'fsb'),
    /** Steps by which the multipliers of a part are optimised. */
    steps: v.optional(whole(1), BETA.steps),
    memory: shared.memory,
    norm: shared.norm,
  }),
  norm: (o) => o.norm,
  memoryFor: ({ graph }, images, { memory }) => estimateMemory(graph, images, { memory }),
  describe: (o, eps) =>
    `branch and bound over neurons' phases by ${o.branching} with beta-CROWN, ${o.nodes} nodes, ${ballText(o.norm, eps)}`,
  parts: (job, { steps, memory, ...o }) =>
    searched(job, { ...o, parts: betaMethod('beta-crown', { steps, memory, most: 64 }) }),
});
