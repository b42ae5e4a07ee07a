/**
 * Linear relaxations row by row, of rows under split constraints for the one sample of a context: the context's lines,
 * with each row's own slopes at unstable neurons, and the lines of the phase at neurons that were split.
 */
import type { NodeWith } from '../domain/domain';
import type { PointwiseLayer } from '../nn/layer';
import { sizeOf } from '../tensor/shape';
import { empty, input, type Tensor } from '../tensor/tensor';
import type { Lines } from './backward';
import { ancestors, type BoundContext, boxOf, type Phase, prepare } from './context';
import { relax } from './relaxations';

/** A row's slopes by unstable neuron, and its phases with their position, by node in front of the activation. */
export interface Split {
  readonly alpha: Float32Array;
  readonly phasesAt: ReadonlyMap<number, readonly (readonly [phase: Phase, index: number])[]>;
}

/** Unstable neurons in front of one activation with a breakpoint, numbered from `offset` on. */
export interface UnstableNeurons {
  /** Position of the pointwise node, and of the node in front of it. */
  readonly at: number;
  readonly from: number;
  readonly neurons: Int32Array;
  readonly offset: number;
  /** Number of every neuron of the node, -1 of one that is stable. */
  readonly numbers: Int32Array;
  /** Slopes below and above the breakpoint. */
  readonly range: readonly [number, number];
}

/** The unstable neurons behind a target in a context of one sample, by activation. */
export function unstableNeurons(
  context: BoundContext,
  target = context.graph.nodes.length - 1,
): UnstableNeurons[] {
  const { graph, cache } = context;
  prepare(context, target);
  let offset = 0;
  return ancestors(graph, target).flatMap((at): UnstableNeurons[] => {
    const { layer, options, inputs } = graph.nodes[at]!;
    const range = layer.role === 'pointwise' ? layer.breakpointSlopes?.(options) : undefined;
    const marks = cache.get(at)?.relaxation?.unstable;
    if (!range || !marks) return [];
    const neurons = Int32Array.from(marks.keys()).filter((i) => marks[i]! > 0);
    const numbers = new Int32Array(marks.length).fill(-1);
    neurons.forEach((neuron, k) => {
      numbers[neuron] = offset + k;
    });
    const found = { at, from: inputs[0]!, neurons, offset, numbers, range };
    offset += neurons.length;
    return [found];
  });
}

/** Row r of a tensor as it lies in memory, until the next allocation. */
export function rowOf(t: Tensor | undefined, r: number): Float32Array | undefined {
  if (!t) return undefined;
  const size = sizeOf(t.shape.slice(1));
  return t.engine.memory.f32(t.ptr, t.size).subarray(r * size, (r + 1) * size);
}

/** Lines of every row, with the entries of split neurons. */
export interface RowTables extends Lines {
  readonly splits: { readonly places: readonly number[]; readonly low: Float32Array };
}

/** The context's lines for every row, and for split neurons those of their phase. */
export function rowTables(
  context: BoundContext,
  layers: readonly UnstableNeurons[],
  rows: readonly Split[],
): Map<number, RowTables> {
  const { engine, cache } = context;
  return new Map(
    layers.map(({ at, from }) => {
      const { low, lowOffset, up, upOffset } = cache.get(at)!.relaxation!;
      const each = [low, lowOffset, up, upOffset].map((t) => repeated(t, rows.length));
      const { places, lines } = splitLines(context, at, from, rows);
      lines.forEach((values, k) => {
        const table = engine.memory.f32(each[k]!.ptr, each[k]!.size);
        values.forEach((value, i) => {
          table[places[i]!] = value;
        });
      });
      const [a, b, c, d] = each as [Tensor, Tensor, Tensor, Tensor];
      const splits = { places, low: lines[0]! };
      return [at, { low: a, lowOffset: b, up: c, upOffset: d, splits }];
    }),
  );
}

/** The four numbers of every split neuron's lines over its box cut by the phase, and its place in the tables. */
function splitLines(
  context: BoundContext,
  at: number,
  from: number,
  rows: readonly Split[],
): { readonly places: readonly number[]; readonly lines: readonly Float32Array[] } {
  const { engine, sound, slopes } = context;
  const box = boxOf(context, from);
  const [lo, hi] = [box.lo.read(), box.hi.read()];
  const places: number[] = [];
  const [least, most]: [number[], number[]] = [[], []];
  rows.forEach(({ phasesAt }, r) => {
    for (const [{ neuron, active }] of phasesAt.get(from) ?? []) {
      const [p, q] = [lo[neuron]!, hi[neuron]!];
      places.push(r * lo.length + neuron);
      least.push(active ? Math.max(p, 0) : Math.min(p, 0));
      most.push(active ? Math.max(q, 0) : Math.min(q, 0));
    }
  });
  const shape = [places.length];
  const cut = { lo: input(engine, least, shape), hi: input(engine, most, shape) };
  const node = context.graph.nodes[at] as NodeWith<PointwiseLayer>;
  const { low, lowOffset, up, upOffset } = relax(node, cut, { sound, slopes });
  return { places, lines: [low, lowOffset, up, upOffset].map((t) => t.read()) };
}

/** A table of one sample, once a row. */
function repeated(t: Tensor, rows: number): Tensor {
  const table = empty(t.engine, [rows, ...t.shape.slice(1)]);
  const one = t.engine.memory.f32(t.ptr, t.size);
  const all = t.engine.memory.f32(table.ptr, table.size);
  for (let r = 0; r < rows; r++) all.set(one, r * t.size);
  return table;
}

/** Puts every row's slopes into its table, but for neurons that were split. */
export function writeSlopes(
  layers: readonly UnstableNeurons[],
  tables: ReadonlyMap<number, RowTables>,
  rows: readonly Split[],
): void {
  for (const { at, neurons, offset } of layers) {
    const { low, splits } = tables.get(at)!;
    rows.forEach(({ alpha }, r) => {
      const row = rowOf(low, r)!;
      for (let k = 0; k < neurons.length; k++) row[neurons[k]!] = alpha[offset + k]!;
    });
    const table = low.engine.memory.f32(low.ptr, low.size);
    splits.places.forEach((place, i) => {
      table[place] = splits.low[i]!;
    });
  }
}
