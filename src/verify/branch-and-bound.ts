/**
 * Branch and bound: a best-first search that splits the subproblems (nodes of the search tree, which the
 * budget counts) with the lowest bounds, a batch at a time, as a branching rule says, and bounds their
 * children, until all are proven, a counter-example is found or the budget is used up. Complete where the
 * rule's splits are: input splitting for few inputs (ReluVal, Wang et al. 2018), and splitting of ReLU phases
 * with a method that has multipliers for them (beta-CROWN, Wang et al. 2021). Where memory runs short it goes on
 * depth-first.
 *
 * The network is run at the bound's minimiser in every subproblem that is not proven (at the middle of its box where
 * the method gives none), where a counter-example may lie. The two halves of an input range share the float32
 * number in the middle, and the two phases of a neuron the value 0, so children cover their parent exactly.
 * Deterministic for a budget of nodes.
 */
import { expect } from '../errors';
import type { Options } from '../options';
import type { Parts } from '../tensor/parts';
import { type BranchingRule, middle, type NodeSplit } from './branching/rule';
import type { Budget } from './budget';
import { clip } from './clip';
import { descend } from './descent';
import { firstNear } from './falsify';
import type { BoundMethod, Bounds } from './methods';
import type { Subject, Witness } from './outcome';
import { type Boxes, type OutputRows, type Problem, provenSlack } from './problem';
import { intoBox, missesBall, type Specification } from './specification';
import { type SplitSubproblem, type Subproblem, Waiting } from './waiting';

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

/** Multiples of an optimiser's steps for nodes that have no split left. */
const EFFORTS = [8, 40, 160];

/** Searches the region of a problem of one sample; `specification` tells unsafe points. Yields after every batch. */
export function* branchAndBound(
  model: Subject,
  specification: Specification,
  problem: Problem,
  options: BranchAndBoundOptions,
): Generator<{ readonly bound: number; readonly open: number }, BranchResult> {
  const { budget, branching } = options;
  const region = problem.region as Boxes;
  const preparing = budget.within(prepared(options.method, problem));
  let prepare = preparing.next();
  for (; !prepare.done; prepare = preparing.next())
    yield { bound: Number.NEGATIVE_INFINITY, open: 1 };
  const method = prepare.value;
  if (!method) return { bound: Number.NEGATIVE_INFINITY, ...reasonToStop(budget) };
  const maxBatch = Math.max(2, method.batch(problem));
  const search = { model, specification, problem, ...options, method };
  const waiting = new Waiting();
  // `done`: least slack of leaves, proven or without a split left; `stuck`: how many of these are not proven.
  let [done, stuck] = [Number.POSITIVE_INFINITY, 0];
  let proven = Number.NEGATIVE_INFINITY;
  let [examined, hasBounds] = [0, false];
  let nodes: Subproblem[] = rootsOf(problem, method !== options.method);
  for (let size = 2; ; size = Math.min(maxBatch, 2 * size)) {
    const work = budget.within(examine(search, nodes));
    let step = work.next();
    for (; !step.done; step = work.next()) yield { bound: proven, open: waiting.size + stuck };
    if (step.value === undefined) return { bound: proven, ...reasonToStop(budget) };
    const { bounded, splits, witness } = step.value;
    budget.spend(nodes.length);
    examined += nodes.length;
    hasBounds ||= bounded.some(({ slack }) => Number.isFinite(slack));
    let at = 0;
    for (const node of bounded) {
      const split = node.slack > 0 ? undefined : splits[at++];
      if (split) waiting.push({ ...node, split });
      else if (!(node.slack > 0) && node.start && node.polished < EFFORTS.length)
        waiting.pushLeaf({ ...node, polished: node.polished + 1 });
      else done = Math.min(done, node.slack, node.floor);
      if (!split && !(node.slack > 0) && !(node.start && node.polished < EFFORTS.length)) stuck++;
    }
    proven = Math.min(done, waiting.bound);
    if (witness) return { witness, bound: proven };
    if (!hasBounds && examined >= ENDLESS) return { bound: proven };
    if (waiting.size === 0)
      return { bound: proven, ...(stuck > 0 && { reason: STUCK[branching.splits] }) };
    yield { bound: proven, open: waiting.size + stuck };
    const why = reasonToStop(budget);
    if (why) return { bound: proven, ...why };
    const count = Math.max(1, Math.floor(Math.min(size, budget.nodesLeft) / 2));
    nodes = waiting
      .take(count, maxBatch)
      .flatMap(branch)
      .filter(({ lo, hi }) => !missesBall(region.ball, lo, hi));
  }
}

/** The method made ready for parts of the problem, or itself where it needs no preparation. */
function* prepared(method: BoundMethod, problem: Problem): Parts<BoundMethod> {
  return method.prepare ? yield* method.prepare(problem) : method;
}

/** Parts without one bound that is a number, after which none is expected any more. */
const ENDLESS = 64;

const STUCK = {
  inputs: 'no float32 number is left between the ends of a box that is not proven',
  activations: 'no neuron is left to split in a part that is not proven',
};

/** The whole problem as the first node; with `apart` one for each disjunct. */
function rootsOf({ region, phases, networks, rows }: Problem, apart: boolean): Subproblem[] {
  const { lo, hi } = region as Boxes;
  const first = networks.map((_, k) => phases?.[k]?.[0] ?? []);
  const root = {
    ...{ lo, hi, phases: first, depth: 0, polished: 0 },
    ...{ slack: Number.NEGATIVE_INFINITY, floor: Number.POSITIVE_INFINITY },
  };
  const disjuncts = apart ? rows.start.slice(1).map((_, d) => d) : [];
  if (disjuncts.length === 0) return [{ ...root, disjunct: 0, isOnly: false }];
  return disjuncts.map((disjunct) => ({ ...root, disjunct, isOnly: true }));
}

function reasonToStop(budget: Budget): Pick<BranchResult, 'reason' | 'timeout'> | undefined {
  const used = budget.used();
  return used && { reason: used.why, timeout: used.what === 'seconds' };
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

/** Bounds subproblems, looks for counter-examples in those that are not proven, and chooses their splits. */
function* examine(search: Search, nodes: readonly Subproblem[]): Parts<Examined> {
  if (nodes.length === 0) return { bounded: [], splits: [] };
  const { method, branching, problem, model, specification } = search;
  const hidden = branching.splits === 'activations';
  const effort = nodes[0]!.polished > 0 ? EFFORTS[nodes[0]!.polished - 1]! : 1;
  const wanted = { hidden, inputs: !hidden, effort };
  const found = yield* method.bound(problemOf(problem, nodes), wanted);
  const who = `branch and bound by ${method.name}`;
  expect(!hidden || 'hidden' in found, who, 'a method that bounds hidden values', 'none of them');
  const bounded = nodes.map((node, i) => {
    const only = node.isOnly ? node.disjunct : undefined;
    const { slack, disjunct } = provenSlack(problem.rows, found.lower, i, only);
    const start = found.starts?.[i];
    const own = { ...node, slack: Math.max(node.slack, slack), disjunct, start };
    return own.slack > 0 ? own : clippedOf(search, own, i, found);
  });
  const places = bounded.flatMap(({ slack }, i) => (slack > 0 ? [] : [i]));
  if (places.length === 0) return { bounded, splits: [] };
  const open = places.map((i) => bounded[i]!);
  const points = candidates(
    specification,
    open,
    found.minimisers && { of: found.minimisers, places },
  );
  const disjunct = Int32Array.from(open, (node) => node.disjunct);
  const witness = firstNear(model, specification, problem.rows, { x: points, disjunct });
  if (witness) return { bounded, splits: open.map(() => undefined), witness };
  const { lo, hi } = problem.region as Boxes;
  const among = (all: Float32Array): Float32Array => some(all, places, nodes.length);
  const splits = yield* branching.choose(
    {
      problem: problemOf(problem, open),
      depth: open.map(({ depth }) => depth),
      widths: hi.map((h, i) => h - lo[i]!),
      get gradient() {
        const x = candidates(specification, open);
        return descend(model, { x, disjunct }, problem.rows, 'worst').gradient;
      },
      get hidden() {
        return (
          found.hidden &&
          new Map([...found.hidden].map(([v, { lo, hi }]) => [v, { lo: among(lo), hi: among(hi) }]))
        );
      },
      ...(found.inputs && { looseness: loosenessOf(problem.rows, found, { nodes, open, places }) }),
      ...(found.sensitivity && {
        sensitivity: {
          ...found.sensitivity,
          coefficients: among(found.sensitivity.coefficients),
        },
      }),
      bound: (other, wanted) => method.bound(other, wanted),
    },
    search.branchingOptions ?? {},
  );
  return { bounded, splits };
}

/** Points of the nodes where a counter-example may lie: the bounds' minimisers, or the middles of boxes. */
function candidates(
  { region }: Specification,
  open: readonly Subproblem[],
  minimisers?: { readonly of: Float32Array; readonly places: readonly number[] },
): Float32Array {
  const size = region.lo.length;
  return concat(
    open.map(({ lo, hi }, k) => {
      const at = (minimisers?.places[k] ?? 0) * size;
      const point = minimisers?.of.subarray(at, at + size);
      return intoBox(region, point ?? lo.map((low, i) => low / 2 + hi[i]! / 2));
    }),
  );
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
  const starts = nodes.map(({ start }) => start);
  const constrained = nodes.some(({ phases }) => phases.some((all) => all.length > 0));
  return {
    ...problem,
    region: { ...(problem.region as Boxes), count: nodes.length, lo, hi },
    ...(constrained && {
      phases: problem.networks.map((_, k) => nodes.map(({ phases }) => phases[k]!)),
    }),
    ...(nodes[0]!.isOnly && { only: Int32Array.from(nodes, ({ disjunct }) => disjunct) }),
    ...(starts.some((start) => start) && { starts }),
  };
}

/** Rows of the given samples alone, of `count` in all. */
function some(all: Float32Array, samples: readonly number[], count: number): Float32Array {
  const size = all.length / count;
  return concat(samples.map((i) => all.subarray(i * size, (i + 1) * size)));
}

/** The two children of a subproblem; itself, where it has no split left. */
function branch(parent: Subproblem | SplitSubproblem): Subproblem[] {
  if (!('split' in parent)) return [parent];
  const { split, ...node } = parent;
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
