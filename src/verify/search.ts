/**
 * One specification on one network, by everything there is: counter-examples are looked for first,
 * then bounds of the whole region are computed, the cheap method first; then the region is split, if
 * it has few inputs, or counter-examples are looked for longer. Ends as soon as there is an answer or
 * the budget is used up.
 */
import { EspalierError } from '../errors';
import type { Model } from '../nn/model';
import type { RowBounds } from './bounds';
import type { Budget } from './budget';
import { type HuntOptions, hunt } from './counterexample';
import { METHODS, type Methods } from './methods';
import type { Outcome, SearchProgress, Subject, Witness } from './outcome';
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
  const { network } = model.graph;
  const sizes = { input: network.input, output: model.graph.output, who: network.name };
  checkSpecification(specification, sizes);
  const state: State = { by: 'counter-examples', bound: Number.NEGATIVE_INFINITY };
  const { budget } = options;
  try {
    return yield* stages(model, specification, options, state);
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error;
    const reason = `${state.by}: ${error.message}`;
    return { ...state, verdict: 'unknown', reason, timeout: false, spent: budget.spent };
  }
}

/** A first look for counter-examples, which most that exist are found by. */
const QUICK = { rounds: [0, 1], steps: 15, points: 64 } as const;

/** Seconds of a dear method as a multiple of the last of the others (at most, measured). */
const DEAR = 30;

interface State {
  by: string;
  bound: number;
}

function* stages(
  model: Subject,
  specification: Specification,
  { budget, seed = 0, methods = METHODS, splitUpTo = 20, rounds = 4 }: SearchOptions,
  state: State,
): Generator<SearchProgress, Outcome> {
  const rows = outputRows(
    specification.unsafe,
    model.graph.output.reduce((a, b) => a * b, 1),
  );
  const falsified = (witness: Witness): Outcome => ({
    ...state,
    verdict: 'falsified',
    witness,
    spent: budget.spent,
  });
  const progress = (open = 1): SearchProgress => ({
    stage: state.by,
    bound: state.bound,
    open,
    spent: budget.spent,
  });
  const hunting = function* (
    effort: Pick<HuntOptions, 'rounds' | 'steps' | 'points'>,
  ): Generator<SearchProgress, Witness | undefined> {
    const search = hunt(model, specification, rows, { budget, seed, ...effort });
    for (;;) {
      const { done, value } = search.next();
      if (done) return value;
      yield progress();
    }
  };
  const early = yield* hunting(QUICK);
  if (early) return falsified(early);
  const few = specification.region.lo.length <= splitUpTo;
  let took = 0;
  for (const method of few ? methods.bounds : [...methods.bounds, ...methods.dear]) {
    // A method cannot be stopped on its way.
    const dear = methods.dear.includes(method) ? DEAR * took : 0;
    if (budget.used() || dear > budget.secondsLeft) break;
    state.by = method.name;
    budget.spend(1);
    const before = budget.spent.seconds;
    const slack = wholeRegion(model, specification, rows, method);
    took = budget.spent.seconds - before;
    state.bound = Math.max(state.bound, slack);
    if (state.bound > 0) return { ...state, verdict: 'certified', spent: budget.spent };
    yield progress();
  }
  state.by = 'counter-examples';
  const late = yield* hunting({ rounds: [1, few ? 2 : 1 + rounds] });
  if (late) return falsified(late);
  if (!few || budget.used())
    return givenUp(budget, state, 'the bounds are too loose, and no counter-example was found');
  state.by = `input splitting with ${methods.parts.name}`;
  const search = split(model, specification, rows, { bounds: methods.parts, budget });
  for (;;) {
    const { done, value } = search.next();
    state.bound = Math.max(state.bound, value.bound);
    if (!done) {
      yield progress(value.open);
      continue;
    }
    if (value.witness) return falsified(value.witness);
    if (value.bound > 0) return { ...state, verdict: 'certified', spent: budget.spent };
    return givenUp(budget, state, value.reason ?? 'the bounds are no numbers');
  }
}

function givenUp(budget: Budget, state: State, otherwise: string): Outcome {
  const used = budget.used();
  const [reason, timeout] = [used?.why ?? otherwise, used?.what === 'seconds'];
  return { ...state, verdict: 'unknown', reason, timeout, spent: budget.spent };
}

function wholeRegion(
  model: Model,
  { region }: Specification,
  rows: OutputRows,
  method: RowBounds,
): number {
  if (rows.start.length === 1) return Number.POSITIVE_INFINITY;
  const { ball } = region;
  const boxes = { count: 1, ...outerBox(region), ...(ball && { ball }) };
  return provenSlack(rows, method.lower(model, boxes, rows)).slack;
}
