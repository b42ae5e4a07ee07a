/**
 * Branch and bound: a best-first search that splits the subproblems (nodes of the search tree, which the
 * budget counts) with the lowest bounds, a batch at a time, as a branching rule says, and bounds their
 * children, until all are proven, a counter-example is found or the budget is used up. Complete where the
 * rule's splits are (input splitting: for few inputs; ReluVal, Wang et al. 2018).
 *
 * The network is run at the middle of every subproblem that is not proven, where a counter-example may lie.
 * The two halves of an input range share the float32 number in the middle, and the two phases of a neuron
 * the value 0, so children cover their parent exactly. Deterministic for a budget of nodes.
 */
import type { Phases } from '../bounds/context';
import { expect } from '../errors';
import type { Options } from '../options';
import type { Parts } from '../tensor/parts';
import { type BranchingRule, middle, type NodeSplit } from './branching/rule';
import type { Budget } from './budget';
import { clip } from './clip';
import { descend, outputsAt } from './descent';
import { firstConfirmed } from './falsify';
import type { BoundMethod, Bounds } from './methods';
import type { Subject, Witness } from './outcome';
import { type Boxes, type OutputRows, type Problem, provenSlack } from './problem';
import { BestFirst } from './queue';
import { intoBox, missesBall, type Specification } from './specification';

export interface BranchAndBoundOptions {
  readonly method: BoundMethod;
  readonly branching: BranchingRule;
  /** Options of the rule; its defaults where left out. */
  readonly branchingOptions?: Options;
  readonly budget: Budget;
}

export interface BranchResult {
  readonly witness?: Witness;
  /** Proven lower bound over the whole region so far. */
  readonly bound: number;
  /** Why it ended, where nodes are left. */
  readonly reason?: string;
  readonly timeout?: boolean;
}

/** A part of the problem, a node of the search tree: a box of inputs and the phases of the neurons split so far. */
interface Subproblem {
  readonly lo: Float32Array;
  readonly hi: Float32Array;
  /** Split constraints, by network: the phase of every neuron that was split. */
  readonly phases: readonly Phases[number][];
  readonly depth: number;
  /** Proven lower bound of the distance from unsafe, at least that of its parent: proven safe above 0. */
  readonly slack: number;
  /** The disjunct with the lowest bound. */
  readonly disjunct: number;
  /** Proven lower bound of that distance where its parents were clipped. */
  readonly floor: number;
}

interface SplitSubproblem extends Subproblem {
  readonly split: NodeSplit;
}

/** Most inputs of all boxes in the queue together: 512 MiB of lower and upper ends. */
const MAX_WAITING = 1 << 26;

/** Searches the region of a problem of one sample; `specification` tells unsafe points. Yields after every batch. */
export function* branchAndBound(
  model: Subject,
  specification: Specification,
  problem: Problem,
  options: BranchAndBoundOptions,
): Generator<{ readonly bound: number; readonly open: number }, BranchResult> {
  const { method, branching, budget } = options;
  const region = problem.region as Boxes;
  const inputs = region.lo.length;
  const maxBatch = Math.max(2, method.batch(problem));
  const search = { model, specification, problem, ...options };
  const queue = new BestFirst<SplitSubproblem>();
  // `done`: least slack of leaves, proven or without a split left; `stuck`: how many of these are not proven.
  let [done, stuck] = [Number.POSITIVE_INFINITY, 0];
  let proven = Number.NEGATIVE_INFINITY;
  let nodes: Subproblem[] = [rootOf(problem)];
  for (let size = 2; ; size = Math.min(maxBatch, 2 * size)) {
    const work = budget.within(examine(search, nodes));
    let step = work.next();
    for (; !step.done; step = work.next()) yield { bound: proven, open: queue.size + stuck };
    if (step.value === undefined)
      return { bound: proven, ...reasonToStop(budget, queue.size, inputs) };
    const { bounded, splits, witness } = step.value;
    budget.spend(nodes.length);
    let at = 0;
    for (const node of bounded) {
      const split = node.slack > 0 ? undefined : splits[at++];
      if (split) queue.push(node.slack, { ...node, split });
      else done = Math.min(done, node.slack, node.floor);
      if (!split && !(node.slack > 0)) stuck++;
    }
    proven = Math.min(done, queue.bound);
    if (witness) return { witness, bound: proven };
    if (queue.size === 0)
      return { bound: proven, ...(stuck > 0 && { reason: STUCK[branching.splits] }) };
    yield { bound: proven, open: queue.size + stuck };
    const why = reasonToStop(budget, queue.size, inputs);
    if (why) return { bound: proven, ...why };
    const count = Math.max(1, Math.floor(Math.min(size, budget.nodesLeft) / 2));
    nodes = queue
      .take(count)
      .flatMap(branch)
      .filter(({ lo, hi }) => !missesBall(region.ball, lo, hi));
  }
}

const STUCK = {
  inputs: 'no float32 number is left between the ends of a box that is not proven',
  activations: 'no neuron is left to split in a part that is not proven',
};

const FIRST = { disjunct: 0, floor: Number.POSITIVE_INFINITY };

const rootOf = ({ region, phases, networks }: Problem): Subproblem => {
  const { lo, hi } = region as Boxes;
  const first = networks.map((_, k) => phases?.[k]?.[0] ?? []);
  return { lo, hi, phases: first, depth: 0, slack: Number.NEGATIVE_INFINITY, ...FIRST };
};

function reasonToStop(
  budget: Budget,
  waiting: number,
  inputs: number,
): Pick<BranchResult, 'reason' | 'timeout'> | undefined {
  const used = budget.used();
  if (used) return { reason: used.why, timeout: used.what === 'seconds' };
  if (waiting * inputs > MAX_WAITING)
    return { reason: `${waiting} parts wait, which is all that memory is meant to hold` };
  return undefined;
}

interface Search extends BranchAndBoundOptions {
  readonly model: Subject;
  readonly specification: Specification;
  readonly problem: Problem;
}

interface Examined {
  readonly bounded: readonly Subproblem[];
  /** Splits of the subproblems that are not proven, in order; undefined where nothing is left to split. */
  readonly splits: readonly (NodeSplit | undefined)[];
  readonly witness?: Witness | undefined;
}

/** Bounds subproblems, runs the network in the middle of those that are not proven, and chooses their splits. */
function* examine(search: Search, nodes: readonly Subproblem[]): Parts<Examined> {
  if (nodes.length === 0) return { bounded: [], splits: [] };
  const { method, branching, problem, model, specification } = search;
  const hidden = branching.splits === 'activations';
  const found = yield* method.bound(problemOf(problem, nodes), { hidden, inputs: !hidden });
  const who = `branch and bound by ${method.name}`;
  expect(!hidden || found.hidden, who, 'a method that bounds hidden values', 'none of them');
  const bounded = nodes.map((node, i) => {
    const { slack, disjunct } = provenSlack(problem.rows, found.lower, i);
    const own = { ...node, slack: Math.max(node.slack, slack), disjunct };
    return slack > 0 ? own : clippedOf(search, own, i, found);
  });
  const places = bounded.flatMap(({ slack }, i) => (slack > 0 ? [] : [i]));
  if (places.length === 0) return { bounded, splits: [] };
  const open = places.map((i) => bounded[i]!);
  const disjunct = Int32Array.from(open, (node) => node.disjunct);
  const centres = concat(
    open.map(({ lo, hi }) =>
      intoBox(
        specification.region,
        lo.map((low, i) => low / 2 + hi[i]! / 2),
      ),
    ),
  );
  const { y, gradient } = descend(model, { x: centres, disjunct }, problem.rows, 'worst');
  const witness =
    firstConfirmed(model, specification, centres, y) ?? atMinimisers(search, open, places, found);
  const { lo, hi } = problem.region as Boxes;
  const splits = yield* branching.choose(
    {
      problem: problemOf(problem, open),
      depth: open.map(({ depth }) => depth),
      widths: hi.map((h, i) => h - lo[i]!),
      gradient,
      ...(found.inputs && { looseness: loosenessOf(problem.rows, found, { nodes, open, places }) }),
      ...(found.hidden && { hidden: some(found.hidden, places, nodes.length) }),
      bound: (other) => method.bound(other),
    },
    search.branchingOptions ?? {},
  );
  return { bounded, splits, witness };
}

/** An open subproblem without what its bounds, those of sample i, leave no unsafe outputs in. */
function clippedOf(
  { problem }: Search,
  node: Subproblem,
  sample: number,
  { lower, inputs }: Bounds,
): Subproblem {
  // Over a ball a bound may be above the least value of its linear form over the box.
  if (!inputs || (problem.region as Boxes).ball) return node;
  const { lo, hi } = node;
  const cut = clip(problem.rows, { sample, lo, hi, lower, coefficients: inputs.coefficients });
  const floor = Math.min(node.floor, cut.floor);
  return cut.isEmpty
    ? { ...node, slack: floor, floor }
    : { ...node, lo: cut.lo, hi: cut.hi, floor };
}

/** The witness at the point of an open subproblem's box where the linear bound of its best row is least, if it is one. */
function atMinimisers(
  { problem, model, specification }: Search,
  open: readonly Subproblem[],
  places: readonly number[],
  { lower, inputs }: Bounds,
): Witness | undefined {
  if (!inputs) return undefined;
  const { count } = problem.rows;
  const points = open.map(({ lo, hi, disjunct }, k) => {
    const row = places[k]! * count + bestRow(problem.rows, lower, places[k]!, disjunct);
    const a = inputs.coefficients.subarray(row * lo.length, (row + 1) * lo.length);
    return intoBox(
      specification.region,
      lo.map((low, i) => (a[i]! > 0 ? low : hi[i]!)),
    );
  });
  const x = concat(points);
  return firstConfirmed(model, specification, x, outputsAt(model, x, points.length));
}

/** The row of a disjunct that is proven furthest in sample `i`. */
function bestRow(
  { count, rhs, start }: OutputRows,
  lower: Float64Array,
  i: number,
  d: number,
): number {
  let best = start[d]!;
  for (let r = best + 1; r < start[d + 1]!; r++)
    if (lower[i * count + r]! - rhs[r]! > lower[i * count + best]! - rhs[best]!) best = r;
  return best;
}

/**
 * Looseness of open subproblems by input, [open, inputs]: summed over the rows of their disjuncts that are open, and
 * in proportion to what clipping has left. `places` are their samples among `nodes`.
 */
function loosenessOf(
  { count, rhs, start }: OutputRows,
  { lower, inputs }: Bounds,
  { nodes, open, places }: Opened,
): Float32Array {
  const all = inputs!.looseness;
  const size = all.length / lower.length;
  const found = new Float32Array(open.length * size);
  places.forEach((i, k) => {
    for (let d = 0; d + 1 < start.length; d++) {
      let isProven = false;
      for (let r = start[d]!; r < start[d + 1]!; r++) isProven ||= lower[i * count + r]! > rhs[r]!;
      for (let r = start[d]!; r < start[d + 1]! && !isProven; r++)
        for (let j = 0; j < size; j++) found[k * size + j]! += all[(i * count + r) * size + j]!;
    }
    const [before, after] = [nodes[i]!, open[k]!];
    for (let j = 0; j < size; j++)
      found[k * size + j]! *= (after.hi[j]! - after.lo[j]!) / (before.hi[j]! - before.lo[j]! || 1);
  });
  return found;
}

/** Subproblems that were bounded, those of them that are open, and the samples of these. */
interface Opened {
  readonly nodes: readonly Subproblem[];
  readonly open: readonly Subproblem[];
  readonly places: readonly number[];
}

/** Subproblems as the samples of one problem, so that they are bounded as a batch. */
function problemOf(problem: Problem, nodes: readonly Subproblem[]): Problem {
  const [lo, hi] = [concat(nodes.map((p) => p.lo)), concat(nodes.map((p) => p.hi))];
  const constrained = nodes.some(({ phases }) => phases.some((all) => all.length > 0));
  return {
    ...problem,
    region: { ...(problem.region as Boxes), count: nodes.length, lo, hi },
    ...(constrained && {
      phases: problem.networks.map((_, k) => nodes.map(({ phases }) => phases[k]!)),
    }),
  };
}

/** Hidden bounds of the given samples alone, of `count` in all. */
function some(
  hidden: Required<Bounds>['hidden'],
  samples: readonly number[],
  count: number,
): Required<Bounds>['hidden'] {
  const rows = (all: Float32Array): Float32Array => {
    const size = all.length / count;
    return concat(samples.map((i) => all.subarray(i * size, (i + 1) * size)));
  };
  return new Map([...hidden].map(([v, { lo, hi }]) => [v, { lo: rows(lo), hi: rows(hi) }]));
}

/** The two children of a subproblem. */
function branch({ split, ...node }: SplitSubproblem): Subproblem[] {
  const { lo, hi, phases } = node;
  const depth = node.depth + 1;
  if ('input' in split) {
    const mid = middle(lo[split.input]!, hi[split.input]!);
    return [
      { ...node, depth, hi: hi.with(split.input, mid) },
      { ...node, depth, lo: lo.with(split.input, mid) },
    ];
  }
  const { network, neuron } = split;
  return [true, false].map((active) => {
    const more = [...phases[network]!, { ...neuron, active }];
    return { ...node, depth, phases: phases.with(network, more) };
  });
}

function concat(parts: readonly Float32Array[]): Float32Array {
  const size = parts[0]!.length;
  const out = new Float32Array(parts.length * size);
  parts.forEach((part, i) => {
    out.set(part, i * size);
  });
  return out;
}
