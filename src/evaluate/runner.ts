/**
 * Runners have the blocks of an evaluation evaluated, here or elsewhere, in any order. Results do not depend
 * on them: a block is a pure function, and records are kept by the index of their image.
 */
import type * as v from 'valibot';
import { type Callable, completing, type Entry, type Given, type OptionsSchema } from '../options';
import type { SampleRecord, Task } from './block';

/** Consecutive images of the split, and what is still to be done with them. */
export interface Span {
  /** Position among all spans of the evaluation: it does not depend on what is missing. */
  readonly number: number;
  /** Images [from, to). */
  readonly from: number;
  readonly to: number;
  readonly attack: boolean;
  readonly verify: boolean;
}

/** An evaluation as a runner sees it. */
export interface Work {
  /** Methods and settings; plain JSON, for those who evaluate elsewhere. */
  readonly task: Task;
  /** Spans that are not done, in order, as of now: others may work at the same evaluation. */
  missing(): Promise<readonly Span[]>;
  /**
   * Evaluates a span in this process and keeps its records. The event loop has its turn in between; raises
   * Interrupted at a signal. One span at a time.
   */
  evaluate(span: Span): Promise<void>;
  /** Keeps records of a span that was evaluated elsewhere; twice counts once. */
  keep(span: Span, records: readonly SampleRecord[]): Promise<void>;
}

/** Methods of a runner with options O. */
interface RunnerMethods<O> {
  /** Resolves when all that it has evaluated is kept. */
  run(work: Work, o: O): Promise<void>;
}

/** A runner, which completes the options it is given. */
export interface Runner<S extends OptionsSchema = OptionsSchema>
  extends Entry<S>,
    Callable<S>,
    RunnerMethods<Given<S>> {}

/** The runner, which completes its options. */
export const runner = <S extends OptionsSchema>(
  entry: Entry<S> & RunnerMethods<v.InferOutput<S>>,
): Runner<S> => completing(entry, { run: 1 });

/** The task of a span: what is left to be done with it. */
export const taskFor = (task: Task, { attack, verify }: Span): Task => ({
  ...task,
  attacks: attack ? task.attacks : [],
  verifiers: verify ? task.verifiers : [],
});
