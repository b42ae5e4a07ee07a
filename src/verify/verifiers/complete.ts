/**
 * Bounds of the ball, then what they leave open a sample at a time (search.ts): counter-examples, and
 * for few inputs branch and bound over parts of it (ReluVal, Wang et al. 2018), which is complete. The
 * budget is of nodes, so that verdicts do not depend on the machine.
 */
import * as v from 'valibot';
import { whole } from '../../options';
import type { Parts } from '../../tensor/parts';
import { sizeOf } from '../../tensor/shape';
import { Budget } from '../budget';
import { byIntervals, byLines, proveByStages } from '../linear';
import { estimateMemory, MEMORY } from '../memory';
import { METHODS } from '../methods';
import { newRows } from '../replay';
import { verifySpecification } from '../search';
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
  name: 'complete',
  about: 'bounds, counter-examples, then splitting of few inputs: nodes, inputs, rounds, norm',
  options,
  norm: (o) => o.norm,
  memoryFor: ({ graph }, images) => estimateMemory(graph, images, { memory: MEMORY }),
  describe: (o, eps) =>
    `linear bounds, counter-examples and input splitting, ${o.nodes} nodes, ${ballText(o.norm, eps)}`,
  *parts(job, o) {
    const stages = [byIntervals(true), byLines({ sound: true, hidden: 'unstable' })];
    const first = yield* proveByStages(job, stages, { sound: true, memory: MEMORY, norm: o.norm });
    const all = { ...job, model: { ...job.model, rows: newRows() } };
    const verdicts: Verdict[] = [];
    for (const [i, one] of first.entries())
      verdicts.push(one.verdict === 'certified' ? one : yield* searched(all, i, o, one));
    return verdicts;
  },
});

/** A search without what it says on its way. */
function* silent<T>(search: Generator<unknown, T>): Parts<T> {
  try {
    for (;;) {
      const { done, value } = search.next();
      if (done) return value;
      yield;
    }
  } finally {
    search.return(undefined as T);
  }
}

/** The verdict of sample i, of which `first` is known. */
function* searched(job: VerifyJob, i: number, o: Options, first: Verdict): Parts<Verdict> {
  const { model, images, labels, eps } = job;
  const size = images.length / labels.length;
  const image = images.subarray(i * size, (i + 1) * size);
  const region = ballRegion(image, eps, { norm: o.norm });
  const label = labels[i]!;
  // Where outputs tie the first is the answer: a tie with a later one keeps the label.
  const unsafe = marginProperty(sizeOf(model.graph.output), label).map((one) => ({
    ...one,
    strict: [one.rows[0]!.indexOf(-1) > label],
  }));
  const search = verifySpecification(
    model,
    { region, unsafe },
    {
      budget: new Budget({ nodes: o.nodes }),
      splitUpTo: o.inputs,
      rounds: o.rounds,
      // Of the whole ball they are known.
      methods: { bounds: [], dear: [], parts: METHODS.parts },
    },
  );
  const outcome = yield* silent(search);
  const margin = Math.max(first.margin, outcome.bound);
  if (outcome.verdict === 'certified') return { verdict: 'certified', margin: outcome.bound };
  if (outcome.verdict === 'unknown') return { verdict: 'unknown', margin, reason: outcome.reason };
  return { verdict: 'falsified', margin, witness: Float32Array.from(outcome.witness.x) };
}
