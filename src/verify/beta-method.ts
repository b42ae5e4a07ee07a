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
} from '../bounds/beta';
import { cutEnds } from '../bounds/context';
import {
  type BoundedNetwork,
  exactNodes,
  hiddenBoundsInParts,
  preActivations,
} from '../bounds/linear';
import { type UnstableNeurons, unstableNeurons } from '../bounds/row-tables';
import type { AnyModel } from '../nn/model';
import { type Parts, stepInParts } from '../tensor/parts';
import { input } from '../tensor/tensor';
import {
  type BoundMethod,
  type Bounds,
  type Ends,
  finished,
  hasPhases,
  linearBatch,
  type UnstableNeuron,
  type Wanted,
} from './methods';
import { inputsOf, onlyNetwork, type Problem, rowsAsked, select } from './problem';

export interface BetaMethodOptions extends Partial<BetaOptions> {
  readonly sound?: boolean;
  /** Bytes of scratch memory of a batch. Default 256 MiB. */
  readonly memory?: number;
  /** Most parts of a batch. Default 64. */
  readonly most?: number;
  /** Steps by which the bounds of the region's unstable neurons are optimised before it is divided. Default 8. */
  readonly tighten?: number;
}

/** A region whose hidden values are bounded. */
interface Root {
  readonly problem: Problem;
  readonly boxes: ReadonlyMap<number, Ends>;
}

export function betaMethod(
  name: string,
  {
    sound = true,
    memory = 256 * 2 ** 20,
    most = 64,
    tighten = 8,
    ...given
  }: BetaMethodOptions = {},
): BoundMethod {
  const options = { ...BETA, ...given };
  const all = { ...options, sound, most, tighten };
  const method: Omit<BoundMethod, 'bound'> & Required<Pick<BoundMethod, 'prepare'>> = {
    ...{ name, sound },
    batch: (problem) => linearBatch(problem, name, { memory, most }),
    *prepare(problem) {
      const root = yield* rootOf(select(problem, [0]), onlyNetwork(problem, name), all);
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
    { effort = 1 }: Wanted = {},
  ): Parts<Bounds> {
    const model = onlyNetwork(parts, name);
    return stepInParts(model.engine, function* () {
      const context = yield* contextOf(root, model, sound);
      const rows = splitRows(parts);
      const steps = Math.max(1, Math.round(effort * all.steps));
      const found = yield* splitBoundsInParts(context, rows, { ...all, steps, polyak: effort > 1 });
      return boundsOf(context, root, parts, found);
    });
  }
}

function* rootOf(
  problem: Problem,
  model: AnyModel,
  { sound, tighten, most, ...options }: Required<Omit<BetaMethodOptions, 'memory'>>,
): Parts<Root> {
  const { phases: _, ...free } = problem;
  const boxes = yield* stepInParts(model.engine, function* () {
    const { boxes } = yield* hiddenBoundsInParts(model, inputsOf(free, sound), { sound });
    const ends = [...preActivations(model.graph)].flatMap((v): [number, Ends][] =>
      v < 0 ? [] : [[v, { lo: boxes[v]!.lo.read(), hi: boxes[v]!.hi.read() }]],
    );
    return new Map(ends.sort(([a], [b]) => a - b));
  });
  const root = { problem: free, boxes };
  const exact = exactNodes(model.graph);
  for (const v of tighten > 0 ? boxes.keys() : []) {
    if (exact.has(v)) continue;
    const found = yield* tightened(root, v, {
      sound,
      most,
      options: { ...options, steps: tighten },
    });
    boxes.set(v, found);
  }
  return root;
}

/** The box of node v with the bounds of its unstable neurons optimised. */
function* tightened(
  root: Root,
  v: number,
  { sound, most, options }: { sound: boolean; most: number; options: BetaOptions },
): Parts<Ends> {
  const model = root.problem.networks[0]!;
  const box = root.boxes.get(v)!;
  const [lo, hi] = [box.lo.slice(), box.hi.slice()];
  const neurons = [...lo.keys()].filter((i) => lo[i]! < 0 && hi[i]! > 0);
  for (let from = 0; from < neurons.length; from += most / 2) {
    const some = neurons.slice(from, from + most / 2);
    const rows = some.flatMap((neuron) =>
      [1, -1].map((sign): SplitRow => {
        const values = new Float32Array(lo.length);
        values[neuron] = sign;
        return { values, phases: [], goal: 0 };
      }),
    );
    const found = yield* stepInParts(model.engine, function* () {
      const context = yield* contextOf(root, model, sound);
      return yield* splitBoundsInParts(context, rows, options, v);
    });
    some.forEach((neuron, k) => {
      lo[neuron] = Math.max(lo[neuron]!, found[2 * k]!.lower);
      hi[neuron] = Math.min(hi[neuron]!, -found[2 * k + 1]!.lower);
    });
  }
  return { lo, hi };
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
      return {
        values,
        phases: phases?.[0]?.[i] ?? [],
        start: starts?.[i]?.[k],
        goal: rhs[from + k]!,
      };
    });
  }).flat();
}

function boundsOf(
  context: BoundedNetwork,
  root: Root,
  parts: Problem,
  found: readonly SplitBound[],
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
  return {
    lower: finished(lower, rows, () => context.boxes.at(-1)!),
    starts,
    minimisers: stacked(best.map(({ minimiser }) => minimiser)),
    sensitivity: {
      neurons: neuronsOf(root, unstableNeurons(context)),
      coefficients: stacked(best.map(({ coefficients }) => coefficients)),
    },
    get hidden() {
      return cutHidden(root, parts);
    },
  };
}

const neuronsOf = ({ boxes }: Root, layers: readonly UnstableNeurons[]): UnstableNeuron[] =>
  layers.flatMap(({ from, neurons }) =>
    Array.from(neurons, (neuron): UnstableNeuron => {
      const ends = boxes.get(from);
      // Without a box in front (an activation of the inputs) a neuron is not split.
      const [lo, hi] = ends ? [ends.lo[neuron]!, ends.hi[neuron]!] : [0, 0];
      return { node: from, neuron, lo, hi };
    }),
  );

/** The region's boxes in front of activations, cut by every part's phases. */
function cutHidden(
  { problem, boxes }: Root,
  { region: { count }, phases }: Problem,
): Map<number, Ends> {
  const { graph } = problem.networks[0]!;
  return new Map(
    [...boxes]
      .filter(([v]) => hasPhases(graph, v))
      .map(([v, { lo, hi }]) => {
        const ends = { lo: stacked(Array(count).fill(lo)), hi: stacked(Array(count).fill(hi)) };
        cutEnds(phases?.[0] ?? [], v, ends);
        return [v, ends];
      }),
  );
}

function stacked(parts: readonly Float32Array[]): Float32Array {
  const size = parts[0]?.length ?? 0;
  const out = new Float32Array(parts.length * size);
  parts.forEach((part, i) => void out.set(part, i * size));
  return out;
}

/** Bounds of samples that were bounded one by one; what only parts of one region have in common is left out. */
function joined(each: readonly Bounds[]): Bounds {
  const hidden = [...(each[0]?.hidden?.keys() ?? [])].map((v): [number, Ends] => {
    const ends = each.map((one) => one.hidden!.get(v)!);
    return [v, { lo: stacked(ends.map(({ lo }) => lo)), hi: stacked(ends.map(({ hi }) => hi)) }];
  });
  return {
    lower: Float64Array.from(each.flatMap((one) => [...one.lower])),
    starts: each.flatMap((one) => one.starts!),
    minimisers: stacked(each.map((one) => one.minimisers!)),
    hidden: new Map(hidden),
  };
}
