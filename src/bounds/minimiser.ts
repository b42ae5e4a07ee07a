/**
 * The minimiser of a linear bound: the input at which the last step of a backward pass attains its minimum, and
 * what the network's layers make of it when every neuron takes the line that the pass took. Its values are the
 * derivatives of the bound by the coefficients there, and it is where a counter-example may lie. Not rounded
 * outwards: it claims nothing.
 *
 * Cost: one forward pass of the rows.
 */
import type { InputSet } from '../domain/balls';
import { type Domain, interpret } from '../domain/domain';
import type { GraphNode } from '../nn/graph';
import { add, reshape } from '../tensor/ops/core';
import { byRows, takeColumns } from '../tensor/ops/rows';
import { sizeOf } from '../tensor/shape';
import { filled, type Tensor } from '../tensor/tensor';
import type { Lines, RowRelaxations } from './backward';
import { ancestors, type BoundContext } from './context';

/** The minimisers of rows [rows, ...input] over the set of inputs of one sample. */
export function minimiserOf({ box, ball }: InputSet, rows: Tensor): Tensor {
  const { engine, shape } = rows;
  const at = new Int32Array(shape[0]!);
  const ones = filled(engine, shape, 1);
  const x = byRows(ones, rows, { low: box.lo, lowAt: at, up: box.hi, upAt: at }, 'minimiser');
  if (!ball) return x;
  const view = (t: Tensor): Float32Array => engine.memory.f32(t.ptr, t.size);
  const [lo, hi, centre, out, all] = [box.lo, box.hi, ball.centre, x, rows].map(view);
  const size = lo!.length;
  for (let r = 0; r < out!.length; r += size) {
    const row = all!.subarray(r, r + size);
    const way = ball.norm === 'l2' ? l2Way(row) : l1Way(row);
    for (let i = 0; i < size; i++)
      out![r + i] = Math.min(Math.max(centre![i]! - ball.eps * way(i), lo![i]!), hi![i]!);
  }
  return x;
}

/** Direction of the unit ball's point where the row is greatest, by feature. */
function l2Way(row: Float32Array): (i: number) => number {
  const length = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0));
  return (i) => (length > 0 ? row[i]! / length : 0);
}

function l1Way(row: Float32Array): (i: number) => number {
  const most = row.reduce((best, v, i) => (Math.abs(v) > Math.abs(row[best]!) ? i : best), 0);
  return (i) => (i === most ? Math.sign(row[i]!) : 0);
}

/**
 * Values [rows, ...shape] at the rows' minimisers of every node in front of the target, by position. `seen` are the
 * coefficients of a backward pass, which say which line each neuron took.
 */
export function forwardMinimiser(
  context: BoundContext,
  target: number,
  x: Tensor,
  {
    seen,
    relaxations,
  }: { readonly seen: ReadonlyMap<number, Tensor>; readonly relaxations: RowRelaxations },
): Map<number, Tensor> {
  const { graph, params, pass } = context;
  const values = new Map<number, Tensor>([[-1, x]]);
  const each = Int32Array.from({ length: x.shape[0]! }, (_, r) => r);
  for (const v of ancestors(graph, target)) {
    if (v === target) break;
    const node = graph.nodes[v]!;
    const lines = relaxations.get(v) ?? context.cache.get(v)?.relaxation;
    const domain: Domain<Tensor> = {
      affine: (_, w, at) => w.apply(at),
      pointwise: (_, at) => (lines ? alongLines(at, seen.get(v), lines, each) : at),
      join: ({ layer, options }, xs) =>
        layer.pick
          ? alongMaxima(context, v, node, xs[0]!, seen.get(v))
          : layer.combine(xs, options),
    };
    const xs = node.inputs.map((i) => values.get(i)!);
    values.set(v, interpret(node, params, domain, xs, pass));
  }
  return values;
}

/** slope x + offset of the line of each neuron: the lower one where its coefficient is above 0, else the upper. */
function alongLines(x: Tensor, a: Tensor | undefined, lines: Lines, each: Int32Array): Tensor {
  if (!a) return x;
  const { low, lowOffset, up, upOffset } = lines;
  const at = low.shape[0] === 1 ? each.map(() => 0) : each;
  const slope = byRows(x, a, { low, up, lowAt: at, upAt: at }, 'minimiser');
  const ones = filled(x.engine, x.shape, 1);
  const offset = { low: lowOffset, up: upOffset, lowAt: at, upAt: at };
  return add(slope, byRows(ones, a, offset, 'minimiser'));
}

function alongMaxima(
  { cache }: BoundContext,
  v: number,
  { shape, inputShapes }: GraphNode,
  x: Tensor,
  a: Tensor | undefined,
): Tensor {
  const rows = x.shape[0]!;
  const { index, ...lines } = cache.get(v)!.maxima!;
  const columns = sizeOf(shape);
  const at = new Int32Array(rows);
  const flat = reshape(x, [rows, sizeOf(inputShapes[0]!)]);
  const best = takeColumns(flat, { index, columns, at, width: sizeOf(inputShapes[0]!) });
  const seen = a && reshape(a, [rows, columns]);
  return reshape(
    alongLines(
      best,
      seen,
      lines,
      at.map((_, r) => r),
    ),
    [rows, ...shape],
  );
}
