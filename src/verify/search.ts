/**
 * Search for the answer to one specification on one network, by everything there is: counter-examples are
 * looked for first, then bounds of the whole region are computed, the cheap method first; then branch and
 * bound divides the problem, by inputs or by phases of neurons, or counter-examples are looked for longer. Ends as soon as
 * there is an answer or the budget is used up.
 */
import { EspalierError, isOutOfMemory } from '../errors';
import { isCanonical } from '../nn/lower';
import type { Options } from '../options';
import type { Parts } from '../tensor/parts';
import { betaMethod } from './beta-method';
import { branchAndBound } from './branch-and-bound';
import { fsb } from './branching/fsb';
import { looseness } from './branching/looseness';
import type { BranchingRule } from './branching/rule';
import type { Budget } from './budget';
import { type FalsifyOptions, falsify } from './falsify';
import { alphaMethod, type BoundMethod, intervalMethod, linearMethod } from './methods';
import type { Answer, Outcome, SearchProgress, Subject } from './outcome';
import { type Problem, property, provenSlack } from './problem';
import { checkSpecification, type Specification } from './specification';

/** The bounds that a search uses. */
export interface SearchMethods {
  /** For the whole region, the cheap ones first. */
  readonly bounds: readonly BoundMethod[];
  /** After them, where the region is not divided. */
  readonly expensive: readonly BoundMethod[];
  /** For the parts of a region that is divided. */
  readonly parts: BoundMethod;
  /** For parts by phases of neurons; default `parts`. */
  readonly activations?: BoundMethod;
}

const crown = linearMethod('crown', { hidden: 'unstable' });

export const METHODS: SearchMethods = {
  bounds: [intervalMethod(), linearMethod('crown-ibp', { hidden: 'interval' }), crown],
  expensive: [alphaMethod('alpha-crown')],
  parts: crown,
  activations: betaMethod('beta-crown'),
};

export interface SearchOptions {
  readonly budget: Budget;
  readonly seed?: number;
  /** Bounds of the whole region and of its parts; default all there are (`METHODS`). */
  readonly methods?: SearchMethods;
  /**
   * Rule by which branch and bound divides. Default: inputs by looseness where there are at most `splitUpTo`, else neurons
   * by fsb, and inputs where no neuron is left to split.
   */
  readonly branching?: BranchingRule;
  /** Options of that rule. */
  readonly branchingOptions?: Options;
  /** Most inputs that are split first, or at all where a rule for inputs is given. Default 20. */
  readonly splitUpTo?: number;
  /** Rounds of random starts after the bounds of the whole region, where it is not divided. */
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
    model: { ...model, onDisagreement: (what) => search.disagreements.add(what) },
    ...{ specification, by: 'counter-examples', bound: Number.NEGATIVE_INFINITY },
    ...{ seed: 0, methods: METHODS, splitUpTo: 20, rounds: 4 },
    ...{ branchingOptions: {}, ...options },
    problem: property(model, specification),
    disagreements: new Set(),
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

/** Seconds that an expensive method is taken to need, as a multiple of those of the method before it. */
const EXPENSIVE = 30;

/** State of a search: what is searched for, how, and how far it is. */
interface Search extends Required<Omit<SearchOptions, 'branching'>> {
  readonly branching?: BranchingRule;
  readonly model: Subject;
  readonly specification: Specification;
  readonly problem: Problem;
  /** Points that are unsafe in one run and not in another, in words. */
  readonly disagreements: Set<string>;
  by: string;
  bound: number;
}

/** A part of a search; undefined where it has no answer. */
type Stage = Generator<SearchProgress, Answer | undefined>;

function* stages(search: Search): Generator<SearchProgress, Outcome> {
  const { rounds, budget } = search;
  const [rule] = rulesOf(search);
  // Splits of neurons look for counter-examples in every part.
  const longer = rule ? (rule.splits === 'activations' ? 1 : 2) : 1 + rounds;
  let answer =
    (yield* falsifying(search, QUICK)) ??
    (yield* falsifying(asInFile(search), QUICK)) ??
    (yield* bounding(search, rule !== undefined)) ??
    (yield* falsifying(search, { rounds: [1, longer] }));
  for (const branching of rulesOf(search)) {
    if (budget.used() || (answer && answer.verdict !== 'unknown')) break;
    answer = yield* dividing(search, branching);
  }
  return outcome(search, answer ?? unknown(search, 'the bounds are too loose'));
}

/** The rules by which the problem is divided, one after the other. */
function rulesOf({ branching, splitUpTo, specification }: Search): readonly BranchingRule[] {
  const isSmall = specification.region.lo.length <= splitUpTo;
  if (branching) return branching.splits === 'activations' || isSmall ? [branching] : [];
  return isSmall ? [looseness] : [fsb, looseness];
}

/** The search of the network as its file has it, where that is another; else of no points. */
function asInFile(search: Search): Search | undefined {
  const { original } = search.model;
  if (!original || isCanonical(original.graph)) return undefined;
  const { onDisagreement } = search.model;
  return { ...search, model: { ...original, ...(onDisagreement && { onDisagreement }) } };
}

function* falsifying(
  search: Search | undefined,
  effort: Pick<FalsifyOptions, 'rounds' | 'steps' | 'points'>,
): Stage {
  if (!search) return undefined;
  const { model, specification, problem, budget, seed } = search;
  search.by = 'counter-examples';
  const steps = falsify(model, specification, problem.rows, { budget, seed, ...effort });
  for (;;) {
    const { done, value: witness } = steps.next();
    if (done) return witness && { verdict: 'falsified', witness };
    yield progress(search);
  }
}

/** Bounds of the whole region, one method after the other. */
function* bounding(search: Search, divides: boolean): Stage {
  const { methods, budget } = search;
  let took = 0;
  for (const method of divides ? methods.bounds : [...methods.bounds, ...methods.expensive]) {
    // What an expensive method would not get done in time is left to counter-examples.
    const needs = methods.expensive.includes(method) ? EXPENSIVE * took : 0;
    if (budget.used() || needs > budget.secondsLeft) return undefined;
    search.by = method.name;
    budget.spend(1);
    const before = budget.spent.seconds;
    const parts = budget.within(boundOf(search, method));
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

function* dividing(search: Search, branching: BranchingRule): Stage {
  const { model, specification, problem, methods } = search;
  const isByPhases = branching.splits === 'activations';
  const method = (isByPhases ? methods.activations : undefined) ?? methods.parts;
  const splitting = branching.splits === 'inputs' ? 'input splitting' : 'activation splitting';
  search.by = `${splitting} with ${method.name}`;
  const options = { ...search, branching, method };
  const batches = branchAndBound(model, specification, problem, options);
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

function outcome({ by, bound, budget, disagreements }: Search, answer: Answer): Outcome {
  const found = { by, bound, spent: budget.spent };
  if (answer.verdict === 'falsified' || disagreements.size === 0) return { ...found, ...answer };
  const points = [...disagreements].join('; another ');
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

function* boundOf({ problem }: Search, method: BoundMethod): Parts<number> {
  const { rows } = problem;
  if (rows.start.length === 1) return Number.POSITIVE_INFINITY;
  return provenSlack(rows, (yield* method.bound(problem)).lower).slack;
}
