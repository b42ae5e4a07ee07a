/**
 * Branch and bound over the input: complete for few inputs (ReluVal, Wang et al. 2018).
 *
 * The least proven boxes are halved, in batches, along the axis of the largest smear: width times the
 * size of the gradient, here at the box's centre, where a counter-example is looked for as well. Every
 * fourth halving takes the axis that is widest in relation to the first box, so no axis is starved.
 * Halves share the float32 number in the middle, so they cover their parent exactly.
 */
import type { AnyModel } from '../nn/model';
import type { Parts } from '../tensor/parts';
import type { RowBounds } from './bounds';
import type { Budget } from './budget';
import { firstConfirmed } from './counterexample';
import { descend } from './descent';
import type { Subject, Witness } from './outcome';
import { BestFirst } from './queue';
import {
  type CutBall,
  intoBox,
  missesBall,
  type OutputRows,
  outerBox,
  provenSlack,
  type Specification,
} from './specification';

export interface SplitResult {
  readonly witness?: Witness;
  /** Proven of the whole region so far. */
  readonly bound: number;
  /** Why it ended, where boxes are left. */
  readonly reason?: string;
  readonly timeout?: boolean;
}

interface Piece {
  readonly lo: Float32Array;
  readonly hi: Float32Array;
  readonly depth: number;
  /** What is proven of it, at least what was of its parent. */
  readonly key: number;
  /** Its least proven disjunct. */
  readonly disjunct: number;
}

interface Node extends Piece {
  readonly axis: number;
}

/** Numbers in the boxes that wait. */
const MAX_WAITING = 1 << 26;

/** Yields after every batch. */
export function* split(
  model: Subject,
  specification: Specification,
  rows: OutputRows,
  { bounds, budget }: { readonly bounds: RowBounds; readonly budget: Budget },
): Generator<{ readonly bound: number; readonly open: number }, SplitResult> {
  const { region } = specification;
  const root = outerBox(region);
  const widths = root.hi.map((h, i) => h - root.lo[i]!);
  const most = Math.max(2, bounds.batch(model, rows));
  const queue = new BestFirst<Node>();
  // Of boxes that are done: proven, or with no float32 number left between their ends.
  let [done, stuck] = [Number.POSITIVE_INFINITY, 0];
  let proven = Number.NEGATIVE_INFINITY;
  let pieces: Piece[] = [{ ...root, depth: 0, key: Number.NEGATIVE_INFINITY, disjunct: 0 }];
  for (let size = 2; ; size = Math.min(most, 2 * size)) {
    const work = budget.within(boundPieces(model, rows, pieces, { bounds, ball: region.ball }));
    let step = work.next();
    for (; !step.done; step = work.next()) yield { bound: proven, open: queue.size + stuck };
    if (step.value === undefined)
      return { bound: proven, ...reasonToStop(budget, queue, root.lo.length) };
    const bounded = step.value;
    budget.spend(pieces.length);
    for (const { key } of bounded) if (key > 0) done = Math.min(done, key);
    const open = bounded.filter(({ key }) => !(key > 0));
    const { axes, witness } = look(model, specification, rows, open, widths);
    open.forEach((piece, i) => {
      if (axes[i]! >= 0) queue.push(piece.key, { ...piece, axis: axes[i]! });
      else [done, stuck] = [Math.min(done, piece.key), stuck + 1];
    });
    const least = Math.min(done, queue.bound);
    proven = least;
    if (witness) return { witness, bound: least };
    if (queue.size === 0) return { bound: least, ...(stuck > 0 && { reason: STUCK }) };
    yield { bound: least, open: queue.size + stuck };
    const why = reasonToStop(budget, queue, root.lo.length);
    if (why) return { bound: least, ...why };
    const count = Math.max(1, Math.floor(Math.min(size, budget.nodesLeft) / 2));
    pieces = queue
      .take(count)
      .flatMap(halves)
      .filter(({ lo, hi }) => !missesBall(region.ball, lo, hi));
  }
}

const STUCK = 'no float32 number is left between the ends of a box that is not proven';

function reasonToStop(
  budget: Budget,
  queue: BestFirst<Node>,
  inputs: number,
): Pick<SplitResult, 'reason' | 'timeout'> | undefined {
  const used = budget.used();
  if (used) return { reason: used.why, timeout: used.what === 'seconds' };
  if (queue.size * inputs > MAX_WAITING)
    return { reason: `${queue.size} boxes wait, which is all that memory is meant to hold` };
  return undefined;
}

function* boundPieces(
  model: AnyModel,
  rows: OutputRows,
  pieces: readonly Piece[],
  { bounds, ball }: { readonly bounds: RowBounds; readonly ball: CutBall | undefined },
): Parts<Piece[]> {
  if (pieces.length === 0) return [];
  const [lo, hi] = [concat(pieces.map((p) => p.lo)), concat(pieces.map((p) => p.hi))];
  const boxes = { count: pieces.length, lo, hi, ...(ball && { ball }) };
  const lower = yield* bounds.lower(model, boxes, rows);
  return pieces.map((piece, i) => {
    const { slack, disjunct } = provenSlack(rows, lower, i);
    return { ...piece, key: Math.max(piece.key, slack), disjunct };
  });
}

/** Runs the network at the centres: a witness, or the axis along which each box is halved next. */
function look(
  model: Subject,
  specification: Specification,
  rows: OutputRows,
  open: readonly Piece[],
  widths: Float32Array,
): { axes: number[]; witness?: Witness } {
  if (open.length === 0) return { axes: [] };
  const centres = concat(
    open.map(({ lo, hi }) =>
      intoBox(
        specification.region,
        lo.map((low, i) => low / 2 + hi[i]! / 2),
      ),
    ),
  );
  const disjunct = Int32Array.from(open, (piece) => piece.disjunct);
  const { y, gradient } = descend(model, { x: centres, disjunct }, rows, 'worst');
  const witness = firstConfirmed(model, specification, centres, y);
  const size = widths.length;
  const axes = open.map((piece, i) =>
    axisOf(piece, gradient.subarray(i * size, (i + 1) * size), widths),
  );
  return { axes, ...(witness && { witness }) };
}

/** The axis to halve, or -1 where the float32 numbers of every axis are used up. */
function axisOf({ lo, hi, depth }: Piece, gradient: Float32Array, widths: Float32Array): number {
  const smear = (i: number): number => (hi[i]! - lo[i]!) * Math.abs(gradient[i]!);
  const relative = (i: number): number => (hi[i]! - lo[i]!) / widths[i]!;
  const fair = depth % 4 === 3;
  let [best, most, widest, width] = [-1, 0, -1, 0];
  for (let i = 0; i < lo.length; i++) {
    const mid = middle(lo[i]!, hi[i]!);
    if (!(mid > lo[i]! && mid < hi[i]!)) continue;
    if (relative(i) > width) [widest, width] = [i, relative(i)];
    if (smear(i) > most) [best, most] = [i, smear(i)];
  }
  return fair || best < 0 ? widest : best;
}

const middle = (lo: number, hi: number): number => Math.fround(lo / 2 + hi / 2);

function halves({ axis, ...piece }: Node): Piece[] {
  const { lo, hi } = piece;
  const mid = middle(lo[axis]!, hi[axis]!);
  const depth = piece.depth + 1;
  return [
    { ...piece, depth, hi: hi.with(axis, mid) },
    { ...piece, depth, lo: lo.with(axis, mid) },
  ];
}

function concat(parts: readonly Float32Array[]): Float32Array {
  const size = parts[0]!.length;
  const out = new Float32Array(parts.length * size);
  parts.forEach((part, i) => {
    out.set(part, i * size);
  });
  return out;
}
