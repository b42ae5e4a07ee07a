/**
 * Linear bounds with optimised lower slopes (alpha-CROWN, Xu et al. 2021): every row has slopes of its
 * own, moved by projected Adam up the gradient of its bound. Every iterate is a bound, so the best of
 * them is; the first is CROWN's, so none is looser than that.
 *
 * With `hidden` the slopes behind the boxes of hidden values are optimised too, which are then shared by
 * all rows of a sample: tighter, for a backward pass from every hidden value at each step; for small networks.
 *
 * Deterministic. Cost of a step: about four backward passes of the rows, and memory for all of them.
 */
import { workOf } from '../nn/graph';
import { neg, reshape, sum } from '../tensor/ops/core';
import { slice, takeRows } from '../tensor/ops/shape';
import { type Parts, stepInParts, whole } from '../tensor/parts';
import { sizeOf } from '../tensor/shape';
import { gradients } from '../tensor/tape';
import { filled, step, type Tensor } from '../tensor/tensor';
import type { LowerSlopes, Rows } from './backward';
import { prepare, samplesOf, unstableNodes } from './context';
import {
  type BoundedNetwork,
  exactNodes,
  hiddenBounds,
  lowerBounds,
  preActivations,
  rowBytes,
} from './linear';

export interface AlphaOptions {
  readonly steps: number;
  /** Length of Adam's first step, and what it is multiplied by after each. */
  readonly rate: number;
  readonly decay: number;
  /** Optimise the boxes of hidden values as well. */
  readonly hidden: boolean;
  /** Stop where all rows are above 0. */
  readonly enough: boolean;
  /** Bytes of scratch memory that the rows of one run may take. */
  readonly memory: number;
}

export const ALPHA: AlphaOptions = {
  steps: 20,
  rate: 0.1,
  decay: 0.98,
  hidden: false,
  enough: true,
  memory: 512 * 2 ** 20,
};

/** Tensors of a backward pass, its gradient and the slopes, as multiples of what the pass alone takes. */
export const SHARE = 8;
/** Multiply-adds of a backward pass of all rows of a run, so that a step takes about a second at most. */
const WORK = 2 ** 28;
/** A run is flat when so many steps in a row gained less than this share of the bounds' size. */
const FLAT = { steps: 4, share: 1e-5 };

/** Slopes that are optimised, by target of a backward pass and then by node; with Adam's two moments. */
type Slopes = Map<number, Map<number, Slope>>;
interface Slope {
  readonly at: Tensor;
  readonly first: Tensor;
  readonly second: Tensor;
  readonly range: readonly [number, number];
}

/**
 * Lower bounds of rows of the output, never below those of `context` itself. `context` must keep all rows
 * at once (chunk null). Runs inside `step()`.
 */
export const optimisedBounds = (
  context: BoundedNetwork,
  rows: Rows,
  options: AlphaOptions = ALPHA,
): Float32Array => whole(optimisedBoundsInParts(context, rows, options));

/** `optimisedBounds` in parts, a step of the optimiser each. */
export function* optimisedBoundsInParts(
  context: BoundedNetwork,
  rows: Rows,
  options: AlphaOptions = ALPHA,
): Parts<Float32Array> {
  const { engine, graph } = context;
  const target = graph.nodes.length - 1;
  // Before the step() of a run, which would free it.
  prepare(context, target);
  const most = Math.min(options.memory / (SHARE * rowBytes(graph, target)), WORK / workOf(graph));
  const size = options.hidden ? rows.sample.length : Math.max(1, Math.floor(most));
  const best = new Float32Array(rows.sample.length);
  for (let from = 0; from < best.length; from += size) {
    const to = Math.min(from + size, best.length);
    const found = yield* stepInParts(engine, () => {
      const values = slice(rows.values as Tensor, 0, from, to);
      return optimise(context, { sample: rows.sample.subarray(from, to), values }, options);
    });
    best.set(found, from);
  }
  return best;
}

function* optimise(
  context: BoundedNetwork,
  rows: Rows,
  options: AlphaOptions,
): Parts<Float32Array> {
  const { engine } = context;
  const slopes = startingSlopes(context, rows, options.hidden);
  const all = [...slopes.values()].flatMap((nodes) => [...nodes.values()]);
  const best = new Float32Array(rows.sample.length).fill(Number.NEGATIVE_INFINITY);
  let [flat, before] = [0, Number.NEGATIVE_INFINITY];
  for (let t = 1; t <= options.steps; t++) {
    step(engine, () => {
      const evaluate = (): { loss: Tensor; bounds: Tensor } => {
        const bounds = bound(context, rows, slopes, options.hidden);
        return { loss: neg(sum(bounds)), bounds };
      };
      if (t === options.steps) return keepBest(best, evaluate().bounds);
      const { result, gradients: found } = gradients(
        engine,
        all.map((slope) => slope.at),
        evaluate,
      );
      keepBest(best, result.bounds);
      all.forEach((slope, i) => void adam(slope, found[i]!, t, options));
    });
    if (all.length === 0 || (options.enough && best.every((b) => b > 0))) break;
    const total = best.reduce((a, b) => a + b, 0);
    const size = best.reduce((a, b) => a + Math.abs(b), 0);
    flat = total - before > FLAT.share * size ? 0 : flat + 1;
    if (flat >= FLAT.steps) break;
    before = total;
    yield;
  }
  return best;
}

function keepBest(best: Float32Array, bounds: Tensor): void {
  bounds.read().forEach((value, r) => {
    // NaN stays: where a bound is no number, nothing is claimed.
    best[r] = Math.max(best[r]!, value);
  });
}

/** The slopes of the context's own relaxations, for every row and every node behind it. */
function startingSlopes(context: BoundedNetwork, rows: Rows, hidden: boolean): Slopes {
  const { graph } = context;
  const targets = new Map([[graph.nodes.length - 1, rows.sample]]);
  if (hidden) {
    const tight = exactNodes(context.graph);
    for (const v of preActivations(graph)) {
      const count = samplesOf(context) * (v < 0 ? 0 : sizeOf(graph.nodes[v]!.shape));
      if (v >= 0 && !tight.has(v))
        targets.set(
          v,
          Int32Array.from({ length: 2 * count }, (_, r) => sampleOf(r, count, context)),
        );
    }
  }
  const slopes: Slopes = new Map();
  for (const [target, at] of targets)
    slopes.set(
      target,
      new Map(
        unstableNodes(context, target).map(([v, { low }]) => {
          const flat = reshape(low, [low.shape[0]!, sizeOf(low.shape.slice(1))]);
          const start = takeRows(flat, at);
          const zeros = (): Tensor => filled(context.engine, start.shape, 0);
          const { layer, options } = graph.nodes[v]!;
          const range = layer.role === 'pointwise' ? layer.breakpointSlopes?.(options) : undefined;
          return [v, { at: start, first: zeros(), second: zeros(), range: range ?? [0, 1] }];
        }),
      ),
    );
  return slopes;
}

/** Sample of row r, of `count` low ends and as many high ends, those of a sample together. */
const sampleOf = (r: number, count: number, context: BoundedNetwork): number =>
  Math.floor(r / ((2 * count) / samplesOf(context)));

function bound(context: BoundedNetwork, rows: Rows, slopes: Slopes, hidden: boolean): Tensor {
  const of = (target: number): LowerSlopes =>
    new Map([...(slopes.get(target) ?? [])].map(([v, slope]) => [v, slope.at]));
  const target = context.graph.nodes.length - 1;
  if (!hidden) return lowerBounds(context, rows, { slopes: of(target) });
  const { sound, slopes: kind, pass, phases } = context;
  const options = { sound, slopes: kind, pass, phases, chunk: null, hiddenSlopes: of };
  return lowerBounds(hiddenBounds(context, context.set, options), rows, { slopes: of(target) });
}

/** One step of Adam (Kingma and Ba 2015) in place, back into the range of slopes. */
function adam(slope: Slope, g: Tensor, t: number, { rate, decay }: AlphaOptions): void {
  const { at, first, second, range } = slope;
  const [beta1, beta2] = [0.9, 0.999];
  const length = rate * decay ** (t - 1);
  const scale = [1 / (1 - beta1 ** t), 1 / (1 - beta2 ** t)] as const;
  const state = [at.ptr, g.ptr, first.ptr, second.ptr] as const;
  at.engine.run('adam', at.size, ...state, length, beta1, beta2, 1e-8, 0, ...scale);
  at.engine.run('clamp', at.size, range[0], range[1], at.ptr, at.ptr);
}
