/**
 * Bounds of the ball, then what they leave open a sample at a time (search.ts): counter-examples, and
 * for few inputs branch and bound over parts of it (ReluVal, Wang et al. 2018), which is complete. The
 * budget is of nodes, so that verdicts do not depend on the machine.
 */
import * as v from 'valibot';
import { whole } from '../../options';
import { sizeOf } from '../../tensor/shape';
import { Budget } from '../budget';
import { byIntervals, byLines, proveByStages } from '../linear';
import { estimateMemory, MEMORY } from '../memory';
import { METHODS } from '../methods';
import { newRows } from '../replay';
import { finish, verifySpecification } from '../search';
import { ballRegion, marginProperty } from '../specification';
import { type Verdict, type VerifyJob, verifier } from '../verifier';
import { ballText, shared } from './linear';

const options = v.strictObject({
  /** Parts of a sample's ball that are bounded, at most. */
  nodes: v.optional(whole(1), 2000),
  /** Balls of more inputs than this are not split. */
  inputs: v.optional(whole(0), 12),
  /** Rounds of random starts for counter-examples, where the ball is not split. */
  rounds: v.optional(whole(0), 0),
  norm: shared.norm,
});
type Options = v.InferOutput<typeof options>;

export const complete = verifier({
  about: 'bounds, counter-examples, then splitting of few inputs: nodes, inputs, rounds, norm',
  options,
  norm: (o) => o.norm,
  memoryFor: ({ graph }, images) => estimateMemory(graph, images, { memory: MEMORY }),
  describe: (o, eps) =>
    `linear bounds, counter-examples and input splitting, ${o.nodes} nodes, ${ballText(o.norm, eps)}`,
  verify(job, o) {
    const stages = [byIntervals(true), byLines({ sound: true, hidden: 'unstable' })];
    const first = proveByStages(job, stages, { sound: true, memory: MEMORY, norm: o.norm });
    const all = { ...job, model: { ...job.model, rows: newRows() } };
    return first.map((one, i) => (one.verdict === 'certified' ? one : searched(all, i, o, one)));
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
        // Of the whole ball they are known.
        methods: { bounds: [], dear: [], parts: METHODS.parts },
      },
    ),
  );
  const margin = Math.max(first.margin, outcome.bound);
  if (outcome.verdict === 'certified') return { verdict: 'certified', margin: outcome.bound };
  if (outcome.verdict === 'unknown') return { verdict: 'unknown', margin, reason: outcome.reason };
  return { verdict: 'falsified', margin, witness: Float32Array.from(outcome.witness.x) };
}
