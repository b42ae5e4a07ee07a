/**
 * Random search by squares (Andriushchenko, Croce, Flammarion and Hein 2020, "Square Attack: a query-efficient
 * black-box adversarial attack via random search"): changes a square of the image at random and keeps what lowers
 * the margin. It asks for logits only. Squares cover a share p of the image that falls by a fixed schedule.
 *
 * Deviations: squares are drawn for each image, where the authors' code draws one a step for the whole batch; every
 * position of a square can be drawn, theirs leaves out the last; a vector is an image of one row.
 */
import type { Shape } from '../tensor/shape';
import type { Draws } from './draws';
import { difference, type ImageBall, intoBall, lengthOf, tabulate } from './geometry';
import { foundAt, logitsAt, type Search, type Subject } from './search';

/** Queries after which p halves. */
export const HALVINGS = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000] as const;

/** Share of the image that the square of a query covers; queries count from 0. */
export const shareAt = (query: number, first: number): number =>
  first / 2 ** HALVINGS.filter((from) => query > from).length;

/** Image as channels of rows of columns; shapes with fewer axes are one channel, or one row. */
export interface Planes {
  readonly channels: number;
  readonly rows: number;
  readonly columns: number;
}

export function planesOf(shape: Shape): Planes {
  const [columns = 1, rows = 1, ...rest] = [...shape].reverse();
  return { channels: rest.reduce((a, b) => a * b, 1), rows, columns };
}

interface Window {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** A square of `side`, as far as it fits, at a random place. */
function windowOf({ rows, columns }: Planes, side: number, draws: Draws): Window {
  const [height, width] = [Math.min(side, rows), Math.min(side, columns)];
  const top = draws.below(rows - height + 1);
  return { top, left: draws.below(columns - width + 1), height, width };
}

/** Positions in the image of a window's pixels, a list a channel, row by row. */
function pixelsOf(
  { channels, rows, columns }: Planes,
  { top, left, height, width }: Window,
): number[][] {
  return Array.from({ length: channels }, (_, c) =>
    Array.from({ length: height * width }, (_, i) => {
      const row = top + Math.floor(i / width);
      return (c * rows + row) * columns + left + (i % width);
    }),
  );
}

export interface SquareOptions {
  readonly queries: number;
  /** Share of the image that the first squares cover. */
  readonly p: number;
}

/** The whole search from one random start. */
export function* squares(
  subject: Subject,
  ball: ImageBall,
  { queries, p }: SquareOptions,
  draws: Draws,
): Search {
  const planes = planesOf(subject.shape);
  const propose = PROPOSALS[ball.norm];
  const first = intoBall(ball, propose.first(planes, ball.eps, draws));
  let found = foundAt(subject, first, yield* logitsAt(first));
  for (let query = 0; query < queries && !found.broken; query++) {
    const area = shareAt(query, p) * planes.rows * planes.columns;
    const delta = difference(found.image, ball.image);
    propose.change(delta, { planes, side: Math.round(Math.sqrt(area)), eps: ball.eps, draws });
    const next = intoBall(ball, delta);
    const here = foundAt(subject, next, yield* logitsAt(next));
    if (here.broken || here.margin < found.margin) found = here;
  }
  return found;
}

interface Change {
  readonly planes: Planes;
  /** Side of the square, in pixels, 0 for less than one. */
  readonly side: number;
  readonly eps: number;
  readonly draws: Draws;
}

interface Proposal {
  /** The first perturbation. */
  first(planes: Planes, eps: number, draws: Draws): Float64Array;
  /** Changes a perturbation in place; what leaves the ball is brought back. */
  change(delta: Float64Array, change: Change): void;
}

/** L-infinity: columns, then squares, of one sign a channel. */
const corners: Proposal = {
  first({ channels, rows, columns }, eps, draws) {
    const signs = tabulate(channels * columns, () => draws.sign());
    return tabulate(channels * rows * columns, (i) => {
      const channel = Math.floor(i / (rows * columns));
      return eps * signs[channel * columns + (i % columns)]!;
    });
  },
  change(delta, { planes, side, eps, draws }) {
    const window = windowOf(planes, Math.max(1, side), draws);
    for (const pixels of pixelsOf(planes, window)) {
      const sign = draws.sign();
      // Twice the radius is over the other end of the ball, wherever the pixel was.
      for (const i of pixels) delta[i] = delta[i]! + 2 * eps * sign;
    }
  },
};

/** L2: bumps of two halves of opposite sign; a square takes over the mass of another. */
const bumps: Proposal = {
  first(planes, eps, draws) {
    const { channels, rows, columns } = planes;
    const delta = new Float64Array(channels * rows * columns);
    const side = Math.max(1, Math.floor(Math.min(rows, columns) / 5));
    const margin = Math.floor((Math.min(rows, columns) - 5 * side) / 2);
    const offset = Math.max(0, margin);
    for (let top = offset; top + side <= rows; top += side)
      for (let left = offset; left + side <= columns; left += side) {
        const bump = bumpOf(side, side, draws);
        const window = { top, left, height: side, width: side };
        for (const pixels of pixelsOf(planes, window)) {
          const sign = draws.sign();
          for (const [at, i] of pixels.entries()) delta[i] = sign * bump[at]!;
        }
      }
    return scaled(delta, eps);
  },
  change(delta, { planes, side, eps, draws }) {
    const odd = Math.max(3, side) + (side > 3 && side % 2 === 0 ? 1 : 0);
    const into = windowOf(planes, odd, draws);
    const from = windowOf(planes, odd, draws);
    const [targets, sources] = [pixelsOf(planes, into), pixelsOf(planes, from)];
    const squareOf = (pixels: readonly number[]): number =>
      pixels.reduce((sum, i) => sum + delta[i]! ** 2, 0);
    const unused = Math.max(0, eps ** 2 - lengthOf('l2', delta) ** 2) / planes.channels;
    const bump = bumpOf(into.height, into.width, draws);
    const values = targets.map((pixels, c) => {
      const sign = draws.sign();
      const mass = Math.sqrt(unused + squareOf([...new Set([...pixels, ...sources[c]!])]));
      const norm = 1e-12 + Math.sqrt(squareOf(pixels));
      const mixed = pixels.map((i, at) => sign * bump[at]! + delta[i]! / norm);
      return scaled(Float64Array.from(mixed), mass);
    });
    for (const i of sources.flat()) delta[i] = 0;
    for (const [c, pixels] of targets.entries())
      for (const [at, i] of pixels.entries()) delta[i] = values[c]![at]!;
    delta.set(scaled(delta, eps));
  },
};

const PROPOSALS: Readonly<Record<ImageBall['norm'], Proposal>> = { linf: corners, l2: bumps };

const scaled = (values: Float64Array, length: number): Float64Array => {
  const factor = length / (lengthOf('l2', values) || 1);
  return values.map((v) => v * factor);
};

/** Two halves of opposite sign, one above the other or side by side, each falling from its middle; norm 1. */
function bumpOf(height: number, width: number, draws: Draws): Float64Array {
  const turned = draws.uniform() > 0.5;
  const [rows, columns] = turned ? [width, height] : [height, width];
  const half = Math.floor(rows / 2);
  const upper = peak(half, columns);
  const whole = [...upper, ...peak(rows - half, columns).map((v) => -v)];
  const bump = tabulate(height * width, (i) => {
    const [y, x] = [Math.floor(i / width), i % width];
    return turned ? whole[x * columns + y]! : whole[y * columns + x]!;
  });
  return scaled(bump, 1);
}

/** Sum of rectangles around the middle, the k-th of 1 / k^2; norm 1. */
export function peak(rows: number, columns: number): Float64Array {
  const [top, left] = [Math.floor(rows / 2), Math.floor(columns / 2)];
  const values = new Float64Array(rows * columns);
  for (let k = 0; k <= Math.max(top, left); k++)
    for (let y = Math.max(0, top - k); y < Math.min(rows, top + k + 1); y++)
      for (let x = Math.max(0, left - k); x < Math.min(columns, left + k + 1); x++)
        values[y * columns + x]! += 1 / (k + 1) ** 2;
  return scaled(values, 1);
}
