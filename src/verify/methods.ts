/**
 * Bounding methods: lower bounds of the rows of problems, in batches. Intervals and every kind of linear
 * bounds have this one interface; all of them are sound in floating point unless told otherwise
 * (docs/numerics.md).
 */
import { ALPHA, type AlphaOptions, optimisedBoundsInParts, SHARE } from '../bounds/alpha';
import { attribution } from '../bounds/attribution';
import type { Rows } from '../bounds/backward';
import {
  type BoundedNetwork,
  CHUNK,
  hiddenBoundsInParts,
  type LinearOptions,
  lowerBoundsInParts,
} from '../bounds/linear';
import { interpret, newPass } from '../domain/domain';
import { type Box, interval } from '../domain/interval';
import { lastAffine, rowBounds } from '../domain/rows';
import { type Graph, workOf } from '../nn/graph';
import type { AnyModel } from '../nn/model';
import { lastBox } from '../plan/margins';
import { largest } from '../statistics';
import { type Parts, stepInParts } from '../tensor/parts';
import { sizeOf } from '../tensor/shape';
import { input, step, type Tensor } from '../tensor/tensor';
import { batchSize, estimateMemory, extraBytes, type MemoryEstimate, sampleBytes } from './memory';
import {
  inputsOf,
  type OutputRows,
  onlyNetwork,
  type Problem,
  provenSlack,
  type Start,
  subtractResidual,
} from './problem';

/** Bounds by a method. */
export interface Bounds {
  /** Lower bounds of every sample's rows, [samples, rows]; NaN and -infinity claim nothing. */
  readonly lower: Float64Array;
  /** Boxes [samples, neurons] in front of activations that have phases, by position of the node, where they were asked for. */
  readonly hidden?: ReadonlyMap<number, Ends>;
  /** What rows have to do with inputs, of linear methods, where it was asked for. */
  readonly inputs?: InputShares;
  /** Of methods that optimise, by sample: where its children begin. */
  readonly starts?: readonly Start[];
  /** Inputs [samples, inputs] at which the bound of each sample's best row is attained: candidates for counter-examples. */
  readonly minimisers?: Float32Array;
  /** How each sample's best row depends on the unstable neurons of the whole region. */
  readonly sensitivity?: Sensitivity;
}

/** Numbers of rows by input, [samples, rows, inputs]; 0 for samples that are proven. */
export interface InputShares {
  /** Coefficients of the linear bound of each row, whose least value over the region is its lower bound. */
  readonly coefficients: Float32Array;
  /** How much of the bound's looseness comes from the width of each input: an estimate (bounds/attribution.ts). */
  readonly looseness: Float32Array;
}

/** Unstable neurons, and coefficients [samples, neurons] of the values behind their activations. */
export interface Sensitivity {
  readonly neurons: readonly UnstableNeuron[];
  readonly coefficients: Float32Array;
}

export interface UnstableNeuron {
  /** Position of the node in front of the activation, and of the neuron in it. */
  readonly node: number;
  readonly neuron: number;
  /** Its box, over the whole region. */
  readonly lo: number;
  readonly hi: number;
}

export interface Ends {
  readonly lo: Float32Array;
  readonly hi: Float32Array;
}

export interface BoundMethod {
  readonly name: string;
  readonly sound: boolean;
  /** Samples of such problems whose bounds are computed together. */
  batch(problem: Problem): number;
  /**
   * Lower bounds, in parts of a second or less. Raises EspalierError for problems that the method is not made for.
   */
  bound(problem: Problem, wanted?: Wanted): Parts<Bounds>;
  /** The method for parts of one problem, whose region it bounds once. */
  prepare?(problem: Problem): Parts<BoundMethod>;
}

/** What is wanted beside the bounds, of methods that have it. */
export interface Wanted {
  /** The boxes of hidden values. */
  readonly hidden?: boolean;
  /** The shares of inputs, and minimisers. */
  readonly inputs?: boolean;
  /** Multiple of an optimiser's steps; 0 for a bound without optimisation. */
  readonly effort?: number;
}

/** Numbers of the largest layer over one batch of intervals. */
const INTERVAL_NUMBERS = 1 << 21;
/** Multiply-adds of a batch, so that it takes about a second at most. */
const INTERVAL_WORK = 2 ** 28;
/** More samples at once gain nothing. */
const MOST_INTERVALS = 512;
/** Numbers of all rows of one batch of linear bounds. */
const ROW_NUMBERS = 1 << 22;

/** Boxes that fill the machine and no more memory than needed, for `numbers` of them a box. */
export const batchFor = (numbers: number, most = MOST_INTERVALS): number =>
  Math.max(1, Math.min(most, Math.floor(INTERVAL_NUMBERS / Math.max(1, numbers))));

/**
 * Interval bound propagation (Gowal et al. 2018), over non-zeros where that is faster, with the rows merged
 * into the last layer. Of a ball of another norm than L-infinity it sees the box around; of phases nothing.
 */
export const intervalMethod = ({
  sound = true,
}: {
  readonly sound?: boolean;
} = {}): BoundMethod => ({
  name: 'interval',
  sound,
  batch(problem) {
    const { graph } = onlyNetwork(problem, 'interval');
    const numbers = largest(graph.nodes.map(({ shape }) => sizeOf(shape)));
    const byWork = Math.max(1, Math.floor(INTERVAL_WORK / workOf(graph)));
    return Math.min(byWork, batchFor(Math.max(8 * problem.rows.count, numbers)));
  },
  *bound(problem) {
    const model = onlyNetwork(problem, 'interval');
    const { rows } = problem;
    if (rows.count === 0) return { lower: new Float64Array() };
    const lower = step(model.engine, () => {
      const at = lastBox(model, inputsOf(problem, sound).box, { sound });
      const matrix = input(model.engine, rows.matrix, [
        rows.matrix.length / rows.outputs,
        rows.outputs,
      ]);
      const found = rowBounds(model, at, { ...rows, matrix }, sound).read();
      return finished(found, rows, () => outputBox(model, at, sound));
    });
    yield;
    return { lower };
  },
});

/** The box of the outputs behind that of `lastBox`. */
function outputBox({ graph, params }: AnyModel, at: Box, sound: boolean): Box {
  const last = lastAffine(graph);
  return last ? interpret(last, params, interval({ sound }), [at], newPass()) : at;
}

export interface LinearMethodOptions
  extends Partial<Pick<LinearOptions, 'sound' | 'slopes' | 'hidden'>> {
  /** Bytes of scratch memory of a batch. Default 64 MiB. */
  readonly memory?: number;
  /** Most samples of a batch. Default 256. */
  readonly most?: number;
}

const MEMORY = 64 * 2 ** 20;
const MOST = 256;

/** Linear bounds by one backward pass: CROWN and its kin. Phases cut the boxes of hidden values. */
export function linearMethod(
  name: string,
  { memory = MEMORY, most = MOST, sound = true, ...options }: LinearMethodOptions = {},
): BoundMethod {
  const chunk = Math.min(CHUNK, memory);
  return {
    ...{ name, sound },
    batch: (problem) => linearBatch(problem, name, { memory, most }),
    bound(problem, wanted) {
      const model = onlyNetwork(problem, name);
      return stepInParts(model.engine, function* () {
        const context = yield* contextOf(problem, model, { ...options, sound, chunk });
        const rows = rowsOf(problem, model);
        const observed = wanted?.inputs ? observation(model.graph, rows) : undefined;
        const lower = yield* lowerBoundsInParts(context, rows, observed);
        const bounds = boundsOf(context, lower.read(), problem.rows, wanted?.hidden);
        if (!observed) return bounds;
        const inputs = inputShares(context, observed.seen, { problem, rows, lower: bounds.lower });
        if (!inputs) return bounds;
        const minimisers = minimisersOf(problem, bounds.lower, inputs.coefficients);
        return { ...bounds, inputs, ...(minimisers && { minimisers }) };
      });
    },
  };
}

/** Coefficients of all rows, as a backward pass leaves them. */
function observation({ nodes, network }: Graph, { sample }: Rows) {
  const seen = new Map<number, Float32Array>();
  return {
    seen,
    observe(node: number, coefficients: Tensor, from: number): void {
      if (node >= 0 && nodes[node]!.layer.role !== 'pointwise') return;
      const size = sizeOf(node < 0 ? network.input : nodes[node]!.shape);
      const all = seen.get(node) ?? new Float32Array(sample.length * size);
      seen.set(node, all);
      all.set(coefficients.read(), from * size);
    },
  };
}

/** The shares of inputs in the rows of samples that their bounds leave open. */
function inputShares(
  context: BoundedNetwork,
  seen: ReadonlyMap<number, Float32Array>,
  of: { readonly problem: Problem; readonly rows: Rows; readonly lower: Float64Array },
): InputShares | undefined {
  const { sample } = of.rows;
  const open = Array.from(
    { length: of.problem.region.count },
    (_, i) => !(provenSlack(of.problem.rows, of.lower, i).slack > 0),
  );
  const coefficients = seen.get(-1);
  if (!coefficients || !open.includes(true)) return undefined;
  const rows = Array.from(sample.keys()).filter((row) => open[sample[row]!]);
  const looseness = attribution(context, seen, sample, rows);
  return { coefficients, looseness };
}

/** Where over its box the linear form of each sample's best row, in its least proven disjunct, is least. */
function minimisersOf(
  { region, rows }: Problem,
  lower: Float64Array,
  coefficients: Float32Array,
): Float32Array | undefined {
  if ('centre' in region) return undefined;
  const { lo, hi, count } = region;
  const inputs = lo.length / count;
  const best = Array.from({ length: count }, (_, i) => i * rows.count + bestRow(rows, lower, i));
  return lo.map((low, at) => {
    const [row, j] = [best[Math.floor(at / inputs)]!, at % inputs];
    return coefficients[row * inputs + j]! > 0 ? low : hi[at]!;
  });
}

/** The row of sample i's least proven disjunct that is proven furthest. */
function bestRow(rows: OutputRows, lower: Float64Array, i: number): number {
  const { count, rhs, start } = rows;
  const { disjunct } = provenSlack(rows, lower, i);
  const slack = (r: number): number => lower[i * count + r]! - rhs[r]!;
  let best = start[disjunct]!;
  for (let r = best + 1; r < start[disjunct + 1]!; r++) if (slack(r) > slack(best)) best = r;
  return best;
}

export interface AlphaMethodOptions extends Partial<AlphaOptions> {
  readonly sound?: boolean;
  /** Bytes of scratch memory of a batch. Default 64 MiB. */
  readonly memory?: number;
  readonly most?: number;
}

/** Parts of a region that a search bounds at once, and the scratch memory that they take at most. */
export function partsAtOnce(graph: Graph): MemoryEstimate {
  const samples = batchSize(graph, MEMORY, { most: MOST });
  const { bytes } = estimateMemory(graph, 1, { memory: MEMORY, share: SHARE });
  return { samples, bytes: samples * sampleBytes(graph) + bytes };
}

/** alpha-CROWN: CROWN's bounds with lower slopes optimised for every row. */
export function alphaMethod(
  name: string,
  { sound = true, most = 16, memory, ...options }: AlphaMethodOptions = {},
): BoundMethod {
  const chunk = Math.min(CHUNK, memory ?? CHUNK);
  return {
    ...{ name, sound },
    batch(problem) {
      const { graph } = onlyNetwork(problem, name);
      const extra = extraBytes(graph, options.hidden ?? false);
      return linearBatch(problem, name, { memory: memory ?? MEMORY, most, extra });
    },
    bound(problem, wanted) {
      const model = onlyNetwork(problem, name);
      return stepInParts(model.engine, function* () {
        const context = yield* contextOf(problem, model, { sound, chunk });
        const enough = problem.rows.rhs.every((rhs) => rhs === 0);
        const all = { ...ALPHA, ...(memory && { memory }), ...options, enough };
        const rows = rowsOf(problem, model);
        const lower = yield* optimisedBoundsInParts({ ...context, chunk: null }, rows, all);
        return boundsOf(context, lower, problem.rows, wanted?.hidden);
      });
    },
  };
}

const contextOf = (
  problem: Problem,
  model: AnyModel,
  options: LinearOptions,
): Parts<BoundedNetwork> =>
  hiddenBoundsInParts(model, inputsOf(problem, options.sound), {
    ...options,
    phases: problem.phases?.[0],
  });

export function linearBatch(
  problem: Problem,
  who: string,
  { memory, most, extra = 0 }: { memory: number; most: number; extra?: number },
): number {
  const { graph } = onlyNetwork(problem, who);
  const { count, outputs } = problem.rows;
  const byRows = Math.floor(ROW_NUMBERS / Math.max(1, count * outputs));
  return Math.max(1, Math.min(byRows, batchSize(graph, memory, { extra, most })));
}

/** The rows of every sample, one after the other. */
function rowsOf({ region, rows }: Problem, { engine, graph }: AnyModel): Rows {
  const { count, outputs, matrix, matrixOf } = rows;
  const size = count * outputs;
  const values = new Float32Array(region.count * size);
  for (let i = 0; i < region.count; i++) {
    const from = (matrixOf?.[i] ?? 0) * size;
    values.set(matrix.subarray(from, from + size), i * size);
  }
  const sample = new Int32Array(region.count * count).map((_, r) => Math.floor(r / count));
  return { sample, values: input(engine, values, [sample.length, ...graph.output]) };
}

function boundsOf(
  { graph, boxes }: BoundedNetwork,
  found: Float32Array,
  rows: OutputRows,
  hidden = false,
): Bounds {
  const lower = finished(found, rows, () => boxes.at(-1)!);
  return hidden ? { lower, hidden: hiddenOf(graph, boxes) } : { lower };
}

/** Boxes in front of activations with a breakpoint, whose neurons have phases. */
const hiddenOf = (graph: Graph, boxes: readonly Box[]): ReadonlyMap<number, Ends> =>
  new Map(
    boxes.flatMap(({ lo, hi }, v): [number, Ends][] =>
      hasPhases(graph, v) ? [[v, { lo: lo.read(), hi: hi.read() }]] : [],
    ),
  );

/** True if an activation with a breakpoint reads the node. */
export const hasPhases = ({ nodes }: Graph, v: number): boolean =>
  nodes.some(
    ({ layer, inputs }) =>
      layer.role === 'pointwise' && layer.breakpointSlopes !== undefined && inputs[0] === v,
  );

/** Lower bounds of the rows as they are meant, from those of the rows in float32. */
export function finished(found: Float32Array, rows: OutputRows, outputs: () => Box): Float64Array {
  const lower = Float64Array.from(found);
  if (!rows.residual) return lower;
  const { lo, hi } = outputs();
  return subtractResidual(lower, lo.read(), hi.read(), rows);
}
