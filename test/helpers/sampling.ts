/**
 * Many points of boxes through a network, 500 at a time and on the engine, against the box's
 * interval bounds: how the million points of the soundness tests are checked in seconds.
 */
import { propagate } from '../../src/domain/domain';
import { ball, interval } from '../../src/domain/interval';
import { intervalMargins } from '../../src/domain/rows';
import { value } from '../../src/domain/value';
import type { Model } from '../../src/nn/model';
import { add, affine, maximum, minimum, mul, reshape, sub, sum } from '../../src/tensor/ops/core';
import { clamp, sign } from '../../src/tensor/ops/elementwise';
import { uniform } from '../../src/tensor/ops/random';
import { concat, slice } from '../../src/tensor/ops/shape';
import { gradients } from '../../src/tensor/tape';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import { violation } from './close';

const BATCH = 500;
/** Of no other consumer of random numbers. */
const STREAM = 99;

export interface Sampling {
  /** [n, ...input] in [0, 1]. */
  readonly images: Float32Array;
  readonly labels: ArrayLike<number>;
  readonly eps: number;
  /** Points in all, spread evenly over the images; at least 3 * 500 n to use every kind. */
  readonly points: number;
  /** What verifiers claim: lower bounds of the least margin of each image. */
  readonly floors?: ArrayLike<number>;
  /** Other seeds, other points. */
  readonly seed?: number;
}

export interface Sampled {
  readonly points: number;
  /** The first point outside of its bounds, in words. */
  readonly violation: string | undefined;
  /** Mean share of a logit's interval that lies between two points: nothing is proved by 0. */
  readonly coverage: number;
}

/** Turns the ends [1, size] of box i into `BATCH` points of it, by numbers u in [0, 1], [BATCH, size]. */
type Draw = (lo: Tensor, hi: Tensor, i: number, u: Tensor) => Tensor;

/** u = 0 and 1 give lo and hi, bit by bit. */
const corner = (lo: Tensor, hi: Tensor, u: Tensor, rest: Tensor): Tensor =>
  add(mul(u, hi), mul(rest, lo));
const other = (u: Tensor): Tensor => affine(u, -1, 1);

/** 1 where x > 0, else 0. */
const heaviside = (x: Tensor): Tensor => clamp(sign(x), 0, 1);
const above = (u: Tensor, at: number): Tensor => heaviside(affine(u, 1, -at));

/**
 * Kinds of points, in turns: of the inside, corners at random, and corners that push a logit up or
 * down (by the sign of its gradient at the image) with one pixel in ten at random.
 */
function draws(up: Tensor): readonly Draw[] {
  const [, ways, size] = up.shape as [number, number, number];
  return [
    (lo, hi, _, u) => minimum(maximum(add(lo, mul(u, sub(hi, lo))), lo), hi),
    (lo, hi, _, u) => {
      const one = above(u, 0.5);
      return corner(lo, hi, one, other(one));
    },
    (lo, hi, i, u) => {
      const flips = reshape(above(u, 0.9), [BATCH / ways, ways, size]);
      const way = reshape(slice(up, 0, i, i + 1), [ways, size]);
      const at = add(mul(flips, other(way)), mul(other(flips), way));
      const flat = reshape(at, [BATCH, size]);
      return corner(lo, hi, flat, other(flat));
    },
  ];
}

/** [n, 2 classes, size]: 1 where a pixel increases (then: decreases) each logit, else 0. */
function directions({ engine, graph, params }: Model, images: Tensor): Tensor {
  const [n, size] = images.shape as [number, number];
  const k = graph.output[0]!;
  const rows = Array.from({ length: k }, (_, j) => {
    const { gradients: g } = gradients(engine, [images], () => {
      const z = propagate(graph, params, value, reshape(images, [n, ...graph.network.input]));
      return { loss: sum(slice(z, 1, j, j + 1)) };
    });
    return heaviside(reshape(g[0]!, [n, 1, size]));
  });
  return concat([...rows, ...rows.map(other)], 1);
}

/** Runs the network over all points and reports the first that leaves bounds or margins. */
export function sampleBoxes(
  model: Model,
  { images, labels, eps, points, floors = [], seed = 0 }: Sampling,
): Sampled {
  const { engine, graph, params } = model;
  const shape = graph.network.input;
  const size = shape.reduce((a, b) => a * b, 1);
  const [n, k] = [labels.length, graph.output[0]!];
  const bounds = step(engine, () => {
    const centre = input(engine, images, [n, size]);
    const box = ball(reshape(centre, [n, ...shape]), eps, { sound: true });
    const out = propagate(graph, params, interval({ sound: true }), box);
    const margins = intervalMargins(graph, params, box, labels, { sound: true });
    const ends = [box.lo, box.hi].map((t) => reshape(t, [n, size]));
    return { centre, ends, lo: out.lo.read(), hi: out.hi.read(), margins: margins.read() };
  });
  const up = step(engine, () => directions(model, bounds.centre));
  const key = { seed, stream: STREAM + 1 };
  const numbers = step(engine, () => uniform(engine, [BATCH, size], key));
  const all = draws(up);
  const seen = Array.from(bounds.lo, () => [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
  const rounds = Math.ceil(points / BATCH);
  let found: string | undefined;
  for (let round = 0; round < rounds && found === undefined; round++) {
    const i = round % n;
    const draw = all[Math.floor(round / n) % all.length]!;
    const z = step(engine, () => {
      const [lo, hi] = bounds.ends.map((t) => slice(t, 0, i, i + 1));
      // The same numbers turned by others in every round, so all points are new.
      const shift = uniform(engine, [1, size], { seed: seed * 2 ** 32 + round, stream: STREAM });
      const turned = add(numbers, shift);
      const u = sub(turned, above(turned, 1));
      const x = reshape(draw(lo!, hi!, i, u), [BATCH, ...shape]);
      return propagate(graph, params, value, x).read();
    });
    const own = (values: Float32Array): Float32Array => values.subarray(i * k, (i + 1) * k);
    // Each margin is bounded by the domain, and by the least one that a verifier claims.
    const least = own(bounds.margins).map((m, j) =>
      j === labels[i] ? m : Math.max(m, floors[i] ?? m),
    );
    found = outside(z, own(bounds.lo), own(bounds.hi), least, labels[i]!);
    z.forEach((v, at) => {
      const range = seen[i * k + (at % k)]!;
      if (v < range[0]!) range[0] = v;
      if (v > range[1]!) range[1] = v;
    });
  }
  for (const t of [up, numbers, bounds.centre, ...bounds.ends]) t.free();
  const shares = seen.map(([a, b], j) => Math.max(0, b! - a!) / (bounds.hi[j]! - bounds.lo[j]!));
  const coverage = shares.reduce((a, b) => a + b, 0) / shares.length;
  return { points: rounds * BATCH, violation: found, coverage };
}

/** The first logit or margin of the rows of z that is not within its bounds. */
function outside(
  z: Float32Array,
  lo: Float32Array,
  hi: Float32Array,
  margins: Float32Array,
  label: number,
): string | undefined {
  const k = lo.length;
  const bad = violation(z, lo, hi);
  if (bad !== undefined)
    return `logit ${bad % k} is ${z[bad]}, not in [${lo[bad % k]}, ${hi[bad % k]}]`;
  for (let row = 0; row < z.length; row += k)
    for (let j = 0; j < k; j++) {
      const margin = z[row + label]! - z[row + j]!;
      if (!(margin >= margins[j]!)) return `margin ${j} is ${margin}, below ${margins[j]}`;
    }
  return undefined;
}
