/**
 * One specification on one network, by everything there is: counter-examples are looked for first,
 * then bounds of the whole region are computed, the cheap method first; then the region is split, if
 * it has few inputs, or counter-examples are looked for longer. Ends as soon as there is an answer or
 * the budget is used up.
 */
import { EspalierError, isOutOfMemory } from '../errors';
import { isCanonical } from '../nn/lower';
import type { Parts } from '../tensor/parts';
import { sizeOf } from '../tensor/shape';
import type { RowBounds } from './bounds';
import type { Budget } from './budget';
import { type HuntOptions, hunt } from './counterexample';
import { logitRows } from './head-rows';
import { METHODS, type Methods } from './methods';
import type { Answer, Outcome, SearchProgress, Subject } from './outcome';
import {
  checkSpecification,
  type OutputRows,
  outerBox,
  outputRows,
  provenSlack,
  type Specification,
} from './specification';
import { split } from './splitting';

export interface SearchOptions {
  readonly budget: Budget;
  readonly seed?: number;
  /** Bounds of the whole region and of its parts; default all there are (`METHODS`). */
  readonly methods?: Methods;
  /** Regions of more inputs than this are not split. */
  readonly splitUpTo?: number;
  /** Rounds of random starts after the bounds of the whole region, where it is not split. */
  readonly rounds?: number;
}

/** The outcome of a search, run to its end. */
export function finish<P, T>(search: Generator<P, T>, onProgress?: (progress: P) => void): T {
  for (;;) {
    const { done, value } = search.next();
    if (done) return value;
    onProgress?.(value);
  }
}

/**
 * Yields progress between batches. `model` is in canonical form.
 *
 * Raises EspalierError for a specification of another network only; hard inputs and networks that
 * need more memory than there is are `unknown`.
 */
export function* verifySpecification(
  model: Subject,
  specification: Specification,
  options: SearchOptions,
): Generator<SearchProgress, Outcome> {
  const { network, output } = model.graph;
  checkSpecification(specification, { input: network.input, output, who: network.name });
  const search: Search = {
    model: { ...model, onDispute: (what) => search.disputes.add(what) },
    ...{ specification, by: 'counter-examples', bound: Number.NEGATIVE_INFINITY },
    ...{ seed: 0, methods: METHODS, splitUpTo: 20, rounds: 4, ...options },
    rows: rowsOf(specification, sizeOf(output)),
    disputes: new Set(),
  };
  try {
    return yield* stages(search);
  } catch (error) {
    if (!(error instanceof EspalierError) && !isOutOfMemory(error)) throw error;
    const reason = `${search.by}: ${(error as Error).message}`;
    return outcome(search, { verdict: 'unknown', reason, timeout: false });
  }
}

/** A first look for counter-examples, by which most that exist are found. */
const QUICK = { rounds: [0, 1], steps: 15, points: 64 } as const;

/** Seconds that a dear method is taken to need, as a multiple of those of the method before it. */
const DEAR = 30;

/** What is searched for, how, and how far it is. */
interface Search extends Required<SearchOptions> {
  readonly model: Subject;
  readonly specification: Specification;
  readonly rows: OutputRows;
  /** What runs of a point disagree on. */
  readonly disputes: Set<string>;
  by: string;
  bound: number;
}

/** A part of a search; undefined where it has no answer. */
type Stage = Generator<SearchProgress, Answer | undefined>;

function* stages(search: Search): Generator<SearchProgress, Outcome> {
  const { specification, splitUpTo, rounds, budget } = search;
  const few = specification.region.lo.length <= splitUpTo;
  const answer =
    (yield* hunting(search, QUICK)) ??
    (yield* hunting(asInFile(search), QUICK)) ??
    (yield* bounding(search, few)) ??
    (yield* hunting(search, { rounds: [1, few ? 2 : 1 + rounds] })) ??
    (few && !budget.used() ? yield* splitting(search) : undefined);
  return outcome(search, answer ?? unknown(search, 'the bounds are too loose'));
}

/** The search of the network as its file has it, where that is another; else of no points. */
function asInFile(search: Search): Search | undefined {
  const { original } = search.model;
  if (!original || isCanonical(original.graph)) return undefined;
  const { onDispute } = search.model;
  return { ...search, model: { ...original, ...(onDispute && { onDispute }) } };
}

function* hunting(
  search: Search | undefined,
  effort: Pick<HuntOptions, 'rounds' | 'steps' | 'points'>,
): Stage {
  if (!search) return undefined;
  const { model, specification, rows, budget, seed } = search;
  search.by = 'counter-examples';
  const steps = hunt(model, specification, rows, { budget, seed, ...effort });
  for (;;) {
    const { done, value: witness } = steps.next();
    if (done) return witness && { verdict: 'falsified', witness };
    yield progress(search);
  }
}

/** Bounds of the whole region, one method after the other. */
function* bounding(search: Search, few: boolean): Stage {
  const { methods, budget } = search;
  let took = 0;
  for (const method of few ? methods.bounds : [...methods.bounds, ...methods.dear]) {
    // What a dear method would not get done in time is left to counter-examples.
    const needs = methods.dear.includes(method) ? DEAR * took : 0;
    if (budget.used() || needs > budget.secondsLeft) return undefined;
    search.by = method.name;
    budget.spend(1);
    const before = budget.spent.seconds;
    const parts = budget.within(wholeRegion(search, method));
    let found = parts.next();
    for (; !found.done; found = parts.next()) yield progress(search);
    if (found.value === undefined) return undefined;
    search.bound = Math.max(search.bound, found.value);
    took = budget.spent.seconds - before;
    if (search.bound > 0) return { verdict: 'certified' };
    yield progress(search);
  }
  return undefined;
}

function* splitting(search: Search): Stage {
  const { model, specification, rows, methods, budget } = search;
  search.by = `input splitting with ${methods.parts.name}`;
  const batches = split(model, specification, rows, { bounds: methods.parts, budget });
  for (;;) {
    const { done, value } = batches.next();
    search.bound = Math.max(search.bound, value.bound);
    if (!done) {
      yield progress(search, value.open);
      continue;
    }
    const { witness, bound, reason = 'the bounds are no numbers' } = value;
    if (witness) return { verdict: 'falsified', witness };
    return bound > 0 ? { verdict: 'certified' } : unknown(search, reason);
  }
}

const progress = ({ by, bound, budget }: Search, open = 1): SearchProgress => ({
  ...{ stage: by, bound, open, spent: budget.spent },
});

function outcome({ by, bound, budget, disputes }: Search, answer: Answer): Outcome {
  const found = { by, bound, spent: budget.spent };
  if (answer.verdict === 'falsified' || disputes.size === 0) return { ...found, ...answer };
  const points = [...disputes].join('; another ');
  // Proven of the canonical form's executions, and not of what was run.
  const { reason, timeout } =
    answer.verdict === 'certified'
      ? { reason: 'the bounds hold of the canonical form only', timeout: false }
      : answer;
  return { ...found, verdict: 'unknown', timeout, reason: `${reason}; an input is ${points}` };
}

/** For want of budget, or else for the reason given. */
function unknown({ budget }: Search, otherwise: string): Answer {
  const used = budget.used();
  const timeout = used?.what === 'seconds';
  return { verdict: 'unknown', reason: used?.why ?? otherwise, timeout };
}

const rowsOf = ({ unsafe, head }: Specification, outputs: number): OutputRows =>
  outputRows(logitRows(unsafe, head, outputs), outputs);

function* wholeRegion({ model, specification, rows }: Search, method: RowBounds): Parts<number> {
  if (rows.start.length === 1) return Number.POSITIVE_INFINITY;
  const { region } = specification;
  const boxes = { count: 1, ...outerBox(region), ...(region.ball && { ball: region.ball }) };
  return provenSlack(rows, yield* method.lower(model, boxes, rows)).slack;
}
