/**
 * beta-CROWN as a bounding method (bounds/beta.ts): CROWN's bounds with optimised lower slopes, and multipliers for
 * the phases of split neurons. Prepared for a problem it bounds the hidden values of the whole region once; its
 * parts share them, cut by their phases, and are rows of one batch, each beginning where its parent ended.
 *
 * Bounds of the whole region hold for every part of it, so the prepared method may be asked about any part.
 */
import {
  BETA,
  type BetaOptions,
  type SplitBound,
  type SplitRow,
  splitBoundsInParts,
  type UnstableNeurons,
  unstableNeurons,
} from '../bounds/beta';
import { cutEnds } from '../bounds/context';
import { type BoundedNetwork, hiddenBoundsInParts, preActivations } from '../bounds/linear';
import type { AnyModel } from '../nn/model';
import { type Parts, stepInParts } from '../tensor/parts';
import { sizeOf } from '../tensor/shape';
import { input } from '../tensor/tensor';
import {
  type BoundMethod,
  type Bounds,
  type Ends,
  finished,
  hiddenOf,
  linearBatch,
  type Wanted,
} from './methods';
import { inputsOf, onlyNetwork, type Problem, rowsAsked, select } from './problem';

export interface BetaMethodOptions extends Partial<BetaOptions> {
  readonly sound?: boolean;
  /** Bytes of scratch memory of a batch. Default 256 MiB. */
  readonly memory?: number;
  /** Most parts of a batch. Default 64. */
  readonly most?: number;
}

/** A region whose hidden values are bounded. */
interface Root {
  readonly problem: Problem;
  readonly boxes: ReadonlyMap<number, Ends>;
}

export function betaMethod(
  name: string,
  { sound = true, memory = 256 * 2 ** 20, most = 64, ...given }: BetaMethodOptions = {},
): BoundMethod {
  const options = { ...BETA, ...given };
  const method: Omit<BoundMethod, 'bound'> & Required<Pick<BoundMethod, 'prepare'>> = {
    ...{ name, sound },
    batch: (problem) => linearBatch(problem, name, { memory, most }),
    *prepare(problem) {
      const root = yield* rootOf(select(problem, [0]), onlyNetwork(problem, name), sound);
      return { ...method, bound: (parts, wanted) => boundParts(root, parts, options, wanted) };
    },
  };
  return {
    ...method,
    *bound(problem, wanted) {
      const each: Bounds[] = [];
      for (let i = 0; i < problem.region.count; i++) {
        const one = select(problem, [i]);
        const prepared = yield* method.prepare(one);
        each.push(yield* prepared.bound(one, wanted));
      }
      return joined(each);
    },
  };

  /** Bounds of parts of a root's region. */
  function boundParts(
    root: Root,
    parts: Problem,
    all: BetaOptions,
    { hidden = false, effort = 1 }: Wanted = {},
  ): Parts<Bounds> {
    const model = onlyNetwork(parts, name);
    return stepInParts(model.engine, function* () {
      const context = yield* contextOf(root, model, sound);
      const rows = splitRows(parts);
      const steps = Math.max(1, Math.round(effort * all.steps));
      const found = yield* splitBoundsInParts(context, rows, { ...all, steps });
      return boundsOf(context, parts, found, hidden);
    });
  }
}

function* rootOf(problem: Problem, model: AnyModel, sound: boolean): Parts<Root> {
  const { phases: _, ...free } = problem;
  return yield* stepInParts(model.engine, function* () {
    const { boxes } = yield* hiddenBoundsInParts(model, inputsOf(free, sound), { sound });
    const ends = [...preActivations(model.graph)].flatMap((v): [number, Ends][] =>
      v < 0 ? [] : [[v, { lo: boxes[v]!.lo.read(), hi: boxes[v]!.hi.read() }]],
    );
    return { problem: free, boxes: new Map(ends) };
  });
}

function contextOf(
  { problem, boxes }: Root,
  model: AnyModel,
  sound: boolean,
): Parts<BoundedNetwork> {
  const { engine, graph } = model;
  const known = new Map(
    [...boxes].map(([v, { lo, hi }]) => {
      const shape = [1, ...graph.nodes[v]!.shape];
      return [v, { lo: input(engine, lo, shape), hi: input(engine, hi, shape) }];
    }),
  );
  return hiddenBoundsInParts(model, inputsOf(problem, sound), { sound, known });
}

/** The rows that every part is about, one after the other. */
function splitRows(parts: Problem): SplitRow[] {
  const { rows, region, phases, starts } = parts;
  const { count, outputs, matrix, matrixOf, rhs } = rows;
  return Array.from({ length: region.count }, (_, i) => {
    const [from, to] = rowsAsked(parts, i);
    return Array.from({ length: to - from }, (_, k): SplitRow => {
      const at = ((matrixOf?.[i] ?? 0) * count + from + k) * outputs;
      const values = matrix.subarray(at, at + outputs);
      return { values, phases: phases?.[0]?.[i] ?? [], start: starts?.[i]?.[k], goal: rhs[from + k]! };
    });
  }).flat();
}

function boundsOf(
  context: BoundedNetwork,
  parts: Problem,
  found: readonly SplitBound[],
  hidden: boolean,
): Bounds {
  const { rows, region } = parts;
  const { count } = rows;
  const lower = new Float32Array(region.count * count).fill(Number.NaN);
  const best: SplitBound[] = [];
  const starts = [];
  let at = 0;
  for (let i = 0; i < region.count; i++) {
    const [from, to] = rowsAsked(parts, i);
    const own = found.slice(at, at + to - from);
    at += own.length;
    own.forEach((row, k) => {
      lower[i * count + from + k] = row.lower;
    });
    starts.push(own.map((row) => row.multipliers));
    const slack = (k: number): number => own[k]!.lower - rows.rhs[from + k]!;
    best.push(own[own.reduce((b, _, k) => (slack(k) > slack(b) ? k : b), 0)]!);
  }
  const size = best[0]?.minimiser.length ?? 0;
  const minimisers = new Float32Array(best.length * size);
  best.forEach(({ minimiser }, i) => void minimisers.set(minimiser, i * size));
  return {
    lower: finished(lower, rows, () => context.boxes.at(-1)!),
    ...{ starts, minimisers },
    coefficients: coefficientsOf(context, unstableNeurons(context), best),
    ...(hidden && { hidden: cutHidden(context, parts) }),
  };
}

/** Coefficients by node in front of the activation, [samples, neurons]. */
function coefficientsOf(
  { graph }: BoundedNetwork,
  layers: readonly UnstableNeurons[],
  best: readonly SplitBound[],
): Map<number, Float32Array> {
  const all = new Map<number, Float32Array>();
  for (const { from, neurons, offset } of layers) {
    if (from < 0) continue;
    const size = sizeOf(graph.nodes[from]!.shape);
    const table = all.get(from) ?? new Float32Array(best.length * size);
    all.set(from, table);
    best.forEach(({ coefficients }, i) => {
      neurons.forEach((neuron, k) => {
        table[i * size + neuron]! += coefficients[offset + k]!;
      });
    });
  }
  return all;
}

/** The region's boxes in front of activations, cut by every part's phases. */
function cutHidden(context: BoundedNetwork, { region, phases }: Problem): Map<number, Ends> {
  const { count } = region;
  return new Map(
    [...hiddenOf(context.graph, context.boxes)].map(([v, { lo, hi }]) => {
      const [low, high] = [lo, hi].map((end) => {
        const table = new Float32Array(count * end.length);
        for (let i = 0; i < count; i++) table.set(end, i * end.length);
        return table;
      });
      cutEnds(phases?.[0] ?? [], v, { lo: low!, hi: high! });
      return [v, { lo: low!, hi: high! }];
    }),
  );
}

/** Bounds of samples that were bounded one by one. */
function joined(each: readonly Bounds[]): Bounds {
  const lower = Float64Array.from(each.flatMap((one) => [...one.lower]));
  const tables = (pick: (one: Bounds) => Float32Array): Float32Array =>
    Float32Array.from(each.flatMap((one) => [...pick(one)]));
  const [first] = each;
  if (!first) return { lower };
  return {
    lower,
    starts: each.flatMap((one) => one.starts!),
    minimisers: tables((one) => one.minimisers!),
    coefficients: new Map(
      [...first.coefficients!.keys()].map((v) => [v, tables((one) => one.coefficients!.get(v)!)]),
    ),
    ...(first.hidden && {
      hidden: new Map(
        [...first.hidden.keys()].map((v) => [
          v,
          { lo: tables((one) => one.hidden!.get(v)!.lo), hi: tables((one) => one.hidden!.get(v)!.hi) },
        ]),
      ),
    }),
  };
}
