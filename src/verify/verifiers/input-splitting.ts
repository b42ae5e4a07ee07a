/**
 * Input splitting: bounds of the ball, then what they leave open a sample at a time (search.ts), with
 * counter-examples, and for few inputs branch and bound over parts of the ball (ReluVal, Wang et al. 2018).
 * It is complete for few inputs only. The budget is of nodes, so that verdicts do not depend on the
 * machine.
 */
import * as v from 'valibot';
import { lookup } from '../../errors';
import { whole } from '../../options';
import type { Parts } from '../../tensor/parts';
import { sizeOf } from '../../tensor/shape';
import { branchingRules } from '../branching/registry';
import { Budget } from '../budget';
import { estimateMemory, MEMORY, MOST_IMAGES } from '../memory';
import { intervalMethod, linearMethod } from '../methods';
import { prove } from '../prove';
import { newRows } from '../replay';
import { METHODS, verifySpecification } from '../search';
import { ballRegion, marginProperty } from '../specification';
import { type Verdict, type VerifyJob, verifier } from '../verifier';
import { ballText, shared } from './options';

const options = v.strictObject({
  /** Parts of a sample's ball that are bounded, at most. */
  nodes: v.optional(whole(1), 2000),
  /** The inputs of balls of more than this are not split. */
  inputs: v.optional(whole(0), 12),
  /** Rounds of random starts for counter-examples, where the ball is not divided. */
  rounds: v.optional(whole(0), 0),
  /** Branching rule, by its name in the registry. */
  branching: v.optional(v.string(), 'looseness'),
  norm: shared.norm,
});
type Options = v.InferOutput<typeof options>;

export const inputSplitting = verifier({
  name: 'input-splitting',
  about:
    'bounds, counter-examples, then splitting of few inputs: nodes, inputs, rounds, branching, norm',
  options,
  norm: (o) => o.norm,
  memoryFor: ({ graph }, images) => estimateMemory(graph, images, { memory: MEMORY }),
  describe: (o, eps) =>
    `linear bounds, counter-examples and branch and bound by ${o.branching}, ${o.nodes} nodes, ${ballText(o.norm, eps)}`,
  *parts(job, o) {
    const crown = linearMethod('crown', { memory: MEMORY, most: MOST_IMAGES });
    const first = yield* prove(job, [intervalMethod(), crown], o.norm);
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
      branching: lookup(branchingRules, o.branching, 'branching'),
      splitUpTo: o.inputs,
      rounds: o.rounds,
      // Bounds of the whole ball are known.
      methods: { bounds: [], expensive: [], parts: METHODS.parts },
    },
  );
  const outcome = yield* silent(search);
  const margin = Math.max(first.margin, outcome.bound);
  if (outcome.verdict === 'certified') return { verdict: 'certified', margin: outcome.bound };
  if (outcome.verdict === 'unknown') return { verdict: 'unknown', margin, reason: outcome.reason };
  return { verdict: 'falsified', margin, witness: Float32Array.from(outcome.witness.x) };
}
