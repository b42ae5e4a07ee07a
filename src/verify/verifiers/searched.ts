/**
 * Verifiers that search: bounds of a batch of balls, then what they leave open a sample at a time (search.ts), with
 * counter-examples and branch and bound. Budgets are of nodes, so that verdicts do not depend on the machine, unless
 * seconds are given too.
 */
import type { Norm } from '../../domain/balls';
import { lookup } from '../../errors';
import type { Parts } from '../../tensor/parts';
import { sizeOf } from '../../tensor/shape';
import { branchingRules } from '../branching/registry';
import { Budget } from '../budget';
import { MEMORY, MOST_IMAGES } from '../memory';
import { type BoundMethod, intervalMethod, linearMethod } from '../methods';
import { prove } from '../prove';
import { newRows } from '../replay';
import { verifySpecification } from '../search';
import { ballRegion, marginProperty } from '../specification';
import type { Verdict, VerifyJob } from '../verifier';

export interface SearchedOptions {
  readonly norm: Norm;
  /** Nodes of a sample's search tree, at most. */
  readonly nodes: number;
  /** Seconds of a sample's search, at most; 0 for no limit. */
  readonly seconds: number;
  /** Branching rule, by its name in the registry. */
  readonly branching: string;
  /** Bounds of the parts. */
  readonly parts: BoundMethod;
  /** The inputs of balls of more than this are not split. */
  readonly splitUpTo?: number;
  /** Rounds of random starts for counter-examples, where the ball is not divided. */
  readonly rounds?: number;
}

/** Verdicts of a job. */
export function* searched(job: VerifyJob, o: SearchedOptions): Parts<Verdict[]> {
  const crown = linearMethod('crown', { memory: MEMORY, most: MOST_IMAGES });
  const first = yield* prove(job, [intervalMethod(), crown], o.norm);
  const all = { ...job, model: { ...job.model, rows: newRows() } };
  const verdicts: Verdict[] = [];
  for (const [i, one] of first.entries())
    verdicts.push(one.verdict === 'certified' ? one : yield* searchedOne(all, i, o, one));
  return verdicts;
}

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
function* searchedOne(
  { model, images, labels, eps }: VerifyJob,
  i: number,
  { norm, nodes, seconds, branching, parts, splitUpTo, rounds = 0 }: SearchedOptions,
  first: Verdict,
): Parts<Verdict> {
  const size = images.length / labels.length;
  const image = images.subarray(i * size, (i + 1) * size);
  const region = ballRegion(image, eps, { norm });
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
      budget: new Budget({ nodes, ...(seconds > 0 && { seconds }) }),
      branching: lookup(branchingRules, branching, 'branching'),
      ...(splitUpTo !== undefined && { splitUpTo }),
      rounds,
      // Bounds of the whole ball are known.
      methods: { bounds: [], expensive: [], parts },
    },
  );
  const outcome = yield* silent(search);
  const margin = Math.max(first.margin, outcome.bound);
  if (outcome.verdict === 'certified') return { verdict: 'certified', margin: outcome.bound };
  if (outcome.verdict === 'unknown') return { verdict: 'unknown', margin, reason: outcome.reason };
  return { verdict: 'falsified', margin, witness: Float32Array.from(outcome.witness.x) };
}
