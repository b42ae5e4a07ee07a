/**
 * Randomised smoothing: the classifier g(x) = the class that the network most often gives x + noise,
 * noise ~ N(0, sigma^2 I), keeps its answer within an L2 radius (Cohen, Rosenfeld and Kolter 2019,
 * theorem 1 and `Certify`): where P[class A] >= p > 1/2, within sigma * Phi^-1(p).
 *
 * The class is chosen on n0 draws, its probability bounded from below on others (Clopper-Pearson), wrong
 * with a probability of at most alpha. Deviation: with radii to reach, the estimate is looked at in stages
 * that share alpha (docs/smoothing.md), and stops as soon as they are reached or clearly out of reach.
 *
 * A draw whose outputs hold a NaN has no class: it counts against every one.
 *
 * Draws are counter-based: the same at any batch size, number of threads and after a resume.
 * Cost: n0 + n forward passes at most.
 */
import { predict } from '../domain/classifier';
import { expect } from '../errors';
import type { AnyModel } from '../nn/model';
import { largest, lowerConfidence, normalQuantile } from '../statistics';
import { add } from '../tensor/ops/core';
import { normal } from '../tensor/ops/random';
import { type Parts, whole } from '../tensor/parts';
import { STREAMS } from '../tensor/philox';
import { sizeOf } from '../tensor/shape';
import { input, step, type Tensor } from '../tensor/tensor';

export interface SmoothingOptions {
  /** Standard deviation of the noise, in input space. */
  readonly sigma: number;
  /** Draws to choose the class by. */
  readonly n0: number;
  /** Most draws to estimate its probability by. */
  readonly n: number;
  /** Probability that an answer is wrong. */
  readonly alpha: number;
  readonly seed: number;
  /** L2 radii of interest, in any order; none: the largest radius that n draws give. */
  readonly radii?: readonly number[];
  /** Draws at a time: memory and speed, no more. */
  readonly batch?: number;
  /** The classes of samples, -1 for none, if not by the value domain (plan/predictor.ts). */
  readonly classes?: (x: Tensor) => Int32Array;
}

export interface Smoothed {
  /** The class of the smoothed classifier; null where it abstains, which counts as wrong. */
  readonly predicted: number | null;
  /** L2 radius within which that class is kept; 0 where it abstains. */
  readonly radius: number;
  /** Draws made. */
  readonly draws: number;
}

/** The chosen class and its certified radius for one image, `index` being its position in the data. */
export const smooth = (
  model: AnyModel,
  image: Float32Array,
  index: number,
  options: SmoothingOptions,
): Smoothed => whole(smoothInParts(model, image, index, options));

/** The same in parts, a batch of draws each. */
export function* smoothInParts(
  model: AnyModel,
  image: Float32Array,
  index: number,
  options: SmoothingOptions,
): Parts<Smoothed> {
  const { sigma, n0, n, alpha, seed, radii = [] } = options;
  // Noise is scaled by this number: radii are those of the sigma that was drawn with.
  const scale = Math.fround(sigma);
  expect(scale > 0 && scale < 2 ** 100, 'smooth: sigma', 'a number above 0', sigma);
  expect(alpha > 0 && alpha < 0.5, 'smooth: alpha', 'a number in (0, 0.5)', alpha);
  for (const [name, count] of Object.entries({ n0, n }))
    expect(count >= 1 && count <= HALF, `smooth: ${name}`, `1 to ${HALF}`, count);
  expect(seed >>> 0 === seed, 'smooth: seed', 'a whole number below 2^32', seed);
  expect(index >= 0 && index < 2 ** 21, 'smooth: index', 'a position below 2^21', index);
  const outside = image.find((x) => !(x >= 0 && x <= 1));
  expect(outside === undefined, 'smooth: image', 'pixels in [0, 1]', outside);
  const draw = (from: number, to: number) => count(model, image, index, from, to, options);
  const chosen = yield* draw(0, n0);
  const top = chosen.indexOf(largest(chosen));
  const targets = [...radii].sort((a, b) => a - b);
  const plan = stages(n, alpha, targets.length > 0);
  const radiusOf = (successes: number, stage: Stage): number => {
    const p = lowerConfidence(successes, stage.draws, stage.alpha);
    return p > 0.5 ? scale * normalQuantile(p) : 0;
  };
  let [hits, made, radius] = [0, 0, 0];
  for (const stage of plan) {
    hits += (yield* draw(HALF + made, HALF + stage.draws))[top]!;
    made = stage.draws;
    radius = Math.max(radius, radiusOf(hits, stage));
    const next = targets.find((target) => !(radius > 0 && radius >= target));
    if (targets.length > 0 && next === undefined) break;
    // Giving up is always safe; here the target is, but for a chance of alpha, beyond the truth.
    const most = 1 - lowerConfidence(made - hits, made, alpha);
    if (next !== undefined && most < 1 && scale * normalQuantile(most) < next) break;
  }
  return { predicted: radius > 0 ? top : null, radius, draws: n0 + made };
}

/** Draws to choose by are numbered from 0, those to estimate by from here: none is used twice. */
const HALF = 2 ** 31;

interface Stage {
  /** Draws up to and with this stage. */
  readonly draws: number;
  readonly alpha: number;
}

/** Looks at the estimate; their shares of alpha add up to it (union bound). */
const LOOKS = [
  [1 / 64, 1 / 16],
  [1 / 16, 1 / 16],
  [1 / 4, 1 / 8],
  [1, 3 / 4],
] as const;

export function stages(n: number, alpha: number, early: boolean): Stage[] {
  if (!early) return [{ draws: n, alpha }];
  return LOOKS.map(([share, part]) => ({ draws: Math.ceil(n * share), alpha: alpha * part }));
}

/** How often each class is given to the draws [from, to) of an image; some may have none. */
function* count(
  model: AnyModel,
  image: Float32Array,
  index: number,
  from: number,
  to: number,
  { sigma, seed, batch = 256, classes = (x) => predict(model, x) }: SmoothingOptions,
): Parts<Uint32Array> {
  const { engine, graph } = model;
  const shape = graph.network.input;
  const counts = new Uint32Array(sizeOf(graph.output));
  for (let start = from; start < to; start += batch) {
    const rows = Math.min(batch, to - start);
    const key = {
      seed: index * 2 ** 32 + seed,
      stream: STREAMS.smoothing,
      index: Uint32Array.from({ length: rows }, (_, i) => start + i),
    };
    const found = step(engine, () => {
      const noise = normal(engine, [rows, ...shape], key, 0, sigma);
      return classes(add(noise, input(engine, image, shape)));
    });
    for (const c of found) if (c >= 0) counts[c]!++;
    yield;
  }
  return counts;
}
