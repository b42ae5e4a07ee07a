/**
 * Everything a search has (search.ts), a sample at a time: counter-examples, bounds of the ball, and
 * for few inputs branch and bound over parts of it (ReluVal, Wang et al. 2018), which is complete. The
 * budget is of nodes, so that verdicts do not depend on the machine.
 */
import * as v from 'valibot';
import { choice, whole } from '../../options';
import { sizeOf } from '../../tensor/shape';
import { Budget } from '../budget';
import { byIntervals, byLines, MEMORY, proveByStages } from '../linear';
import { METHODS } from '../methods';
import { finish, verifySpecification } from '../search';
import { ballRegion, marginProperty } from '../specification';
import { type Verdict, type VerifyJob, verifier } from '../verifier';

const options = v.strictObject({
  /** Parts of a sample's ball that are bounded, at most. */
  nodes: v.optional(whole(1), 2000),
  /** Balls of more inputs than this are not split. */
  inputs: v.optional(whole(0), 12),
  /** Rounds of random starts for counter-examples, where the ball is not split. */
  rounds: v.optional(whole(0), 0),
  norm: v.optional(choice(['linf', 'l2', 'l1'] as const), 'linf'),
});
type Options = v.InferOutput<typeof options>;

const NAMES = { linf: 'L-infinity', l2: 'L2', l1: 'L1' };

export const complete = verifier({
  about: 'counter-examples, bounds, then splitting of few inputs: nodes, inputs, rounds, norm',
  options,
  describe: (o, eps) =>
    `counter-examples, linear bounds and input splitting, ${o.nodes} nodes, ${NAMES[o.norm]}, eps ${eps}`,
  verify(job, o) {
    // A ball lies in its box, so what holds there needs no search, whatever the norm.
    const stages = [byIntervals(true), byLines({ sound: true, hidden: 'unstable' })];
    const first = proveByStages(job, stages, { sound: true, memory: MEMORY });
    return first.map((one, i) => (one.verdict === 'certified' ? one : searched(job, i, o, one)));
  },
});

/** The verdict of sample i, of which `first` is known. */
function searched(job: VerifyJob, i: number, o: Options, first: Verdict): Verdict {
  const { model, images, labels, eps } = job;
  const size = images.length / labels.length;
  const image = images.subarray(i * size, (i + 1) * size);
  const region = ballRegion(image, eps, { norm: o.norm });
  const unsafe = marginProperty(sizeOf(model.graph.output), labels[i]!);
  const outcome = finish(
    verifySpecification(
      model,
      { region, unsafe },
      {
        budget: new Budget({ nodes: o.nodes }),
        splitUpTo: o.inputs,
        rounds: o.rounds,
        // Of the box they are known.
        methods: {
          bounds: o.norm === 'linf' ? [] : [METHODS.parts],
          dear: [],
          parts: METHODS.parts,
        },
      },
    ),
  );
  const margin = Math.max(first.margin, outcome.bound);
  if (outcome.verdict === 'certified') return { verdict: 'certified', margin: outcome.bound };
  if (outcome.verdict === 'unknown') return { verdict: 'unknown', margin, reason: outcome.reason };
  return { verdict: 'falsified', margin, witness: Float32Array.from(outcome.witness.x) };
}
