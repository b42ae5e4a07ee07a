/**
 * Linear bounds with optimised lower slopes (alpha-CROWN, Xu et al. 2021): every row has slopes of its
 * own, moved by projected Adam up the gradient of its bound. Every iterate is a bound, so the best of
 * them is; the first is CROWN's, so none is looser than that.
 *
 * With `hidden` the slopes behind the boxes of hidden values are optimised too, which are then shared by
 * all rows of a sample: tighter, for a walk from every hidden value at each step; for small networks.
 *
 * Deterministic. Cost of a step: about four walks of the rows, and memory for all of them.
 */
import { workOf } from '../nn/graph';
import { neg, reshape, sum } from '../tensor/ops/core';
import { slice, takeRows } from '../tensor/ops/shape';
import { type Parts, stepInParts, whole } from '../tensor/parts';
import { sizeOf } from '../tensor/shape';
import { gradients } from '../tensor/tape';
import { filled, step, type Tensor } from '../tensor/tensor';
import type { LowerSlopes, Rows } from './backward';
import { freeNodes, prepare, samplesOf } from './context';
import {
  type Hidden,
  hiddenBounds,
  inFrontOfLines,
  type LinearOptions,
  lowerBounds,
  rowBytes,
  tightNodes,
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

/** Tensors of a walk, its gradient and the slopes, as multiples of what the walk alone takes. */
export const SHARE = 8;
/** Multiply-adds of a walk of all rows of a run, so that a step takes about a second at most. */
const WORK = 2 ** 28;
/** A run is flat when so many steps in a row gained less than this share of the bounds' size. */
const FLAT = { steps: 4, share: 1e-5 };

/** What is optimised: by target of a walk, the slopes of its rows; with Adam's two moments. */
type Slopes = Map<number, Map<number, Slope>>;
interface Slope {
  readonly at: Tensor;
  readonly first: Tensor;
  readonly second: Tensor;
  readonly range: readonly [number, number];
}

/**
 * Lower bounds of rows of the output, never below those of `scene` itself. `scene` must keep all rows
 * at once (chunk null). Runs inside `step()`.
 */
export const optimisedBounds = (
  scene: Hidden,
  rows: Rows,
  options: AlphaOptions = ALPHA,
): Float32Array => whole(optimisedBoundsInParts(scene, rows, options));

/** The same in parts, a step of the optimiser each. */
export function* optimisedBoundsInParts(
  scene: Hidden,
  rows: Rows,
  options: AlphaOptions = ALPHA,
): Parts<Float32Array> {
  const { engine, graph } = scene;
  const target = graph.nodes.length - 1;
  // Before the step() of a run, which would free it.
  prepare(scene, target);
  const most = Math.min(options.memory / (SHARE * rowBytes(graph, target)), WORK / workOf(graph));
  const size = options.hidden ? rows.at.length : Math.max(1, Math.floor(most));
  const best = new Float32Array(rows.at.length);
  for (let from = 0; from < best.length; from += size) {
    const to = Math.min(from + size, best.length);
    const found = yield* stepInParts(engine, () => {
      const values = slice(rows.values as Tensor, 0, from, to);
      return climb(scene, { at: rows.at.subarray(from, to), values }, options);
    });
    best.set(found, from);
  }
  return best;
}

function* climb(scene: Hidden, rows: Rows, options: AlphaOptions): Parts<Float32Array> {
  const { engine } = scene;
  const slopes = startingSlopes(scene, rows, options.hidden);
  const all = [...slopes.values()].flatMap((nodes) => [...nodes.values()]);
  const best = new Float32Array(rows.at.length).fill(Number.NEGATIVE_INFINITY);
  let [flat, before] = [0, Number.NEGATIVE_INFINITY];
  for (let t = 1; t <= options.steps; t++) {
    step(engine, () => {
      const evaluate = (): { loss: Tensor; bounds: Tensor } => {
        const bounds = bound(scene, rows, slopes, options.hidden);
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

/** The slopes of the scene's own lines, for every row and every node behind it. */
function startingSlopes(scene: Hidden, rows: Rows, hidden: boolean): Slopes {
  const { graph } = scene;
  const targets = new Map([[graph.nodes.length - 1, rows.at]]);
  if (hidden) {
    const tight = tightNodes(scene);
    for (const v of inFrontOfLines(graph)) {
      const count = samplesOf(scene) * (v < 0 ? 0 : sizeOf(graph.nodes[v]!.shape));
      if (v >= 0 && !tight.has(v))
        targets.set(
          v,
          Int32Array.from({ length: 2 * count }, (_, r) => sampleOf(r, count, scene)),
        );
    }
  }
  const slopes: Slopes = new Map();
  for (const [target, at] of targets)
    slopes.set(
      target,
      new Map(
        freeNodes(scene, target).map(([v, { low }]) => {
          const flat = reshape(low, [low.shape[0]!, sizeOf(low.shape.slice(1))]);
          const start = takeRows(flat, at);
          const zeros = (): Tensor => filled(scene.engine, start.shape, 0);
          const { layer, options } = graph.nodes[v]!;
          const kink = layer.role === 'pointwise' ? layer.kink?.(options) : undefined;
          return [v, { at: start, first: zeros(), second: zeros(), range: kink ?? [0, 1] }];
        }),
      ),
    );
  return slopes;
}

/** Sample of row r of `count` low ends and then as many high ends. */
const sampleOf = (r: number, count: number, scene: Hidden): number =>
  Math.floor((r % count) / (count / samplesOf(scene)));

function bound(scene: Hidden, rows: Rows, slopes: Slopes, hidden: boolean): Tensor {
  const of = (target: number): LowerSlopes =>
    new Map([...(slopes.get(target) ?? [])].map(([v, slope]) => [v, slope.at]));
  const target = scene.graph.nodes.length - 1;
  if (!hidden) return lowerBounds(scene, rows, { slopes: of(target) });
  const { sound, slopes: kind, pass } = scene;
  const options: LinearOptions = { sound, slopes: kind, pass, chunk: null, hiddenSlopes: of };
  return lowerBounds(hiddenBounds(scene, scene.set, options), rows, { slopes: of(target) });
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
