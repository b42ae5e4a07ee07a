/**
 * Sets of inputs: boxes (one lower and upper end a feature) and L2 and L1 balls, cut to the range of
 * inputs. A ball lies inside of its box, which intervals use; linear bounds take the better of what
 * the box and the ball's dual norm say, min c x = c x0 - eps ||c||_q, q = 2 for L2 and infinity for L1.
 */
import { affine, maximum, reshape, sumTo } from '../tensor/ops/core';
import { sqrt, square } from '../tensor/ops/elementwise';
import { toInfSup } from '../tensor/ops/interval';
import { largest, lowerDot, type RowIndices } from '../tensor/ops/rows';
import { sizeOf } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { type BallOptions, type Box, ball } from './interval';
import { EXACT, normError, OUTWARD, roundUp, UNDERFLOW } from './rounding';

export type Norm = 'linf' | 'l2' | 'l1';
export const NORMS = ['linf', 'l2', 'l1'] as const satisfies readonly Norm[];

export const NORM_NAMES: Readonly<Record<Norm, string>> = {
  linf: 'L-infinity',
  l2: 'L2',
  l1: 'L1',
};

/** Inputs of a batch: all of `box`, or of it only what lies within `eps` of `centre`. */
export interface InputSet {
  readonly box: Box;
  readonly ball?: { readonly norm: 'l2' | 'l1'; readonly centre: Tensor; readonly eps: number };
}

/** The inputs within eps of x in the given norm (and in the range of inputs). */
export function inputSet(
  x: Tensor,
  eps: number,
  { norm = 'linf', ...options }: BallOptions & { readonly norm?: Norm },
): InputSet {
  const box = ball(x, eps, options);
  return norm === 'linf' ? { box } : { box, ball: { norm, centre: x, eps } };
}

/**
 * Concretises linear lower bounds: d + the minimum of row . x over the input set of the row's sample, [rows].
 * Rows are [rows, ...input]; `sample` is the sample of each.
 */
export function concretise(
  { box, ball }: InputSet,
  rows: Tensor,
  {
    sample,
    d,
    sound,
  }: { readonly sample: RowIndices; readonly d: Tensor; readonly sound: boolean },
): Tensor {
  const overBox = lowerDot(rows, box.lo, box.hi, sample, d);
  if (!ball) return overBox;
  const centre = lowerDot(rows, ball.centre, ball.centre, sample, d);
  const radius = affine(dualNorm(rows, ball.norm, sound), sound ? roundUp(ball.eps) : ball.eps, 0);
  return maximum(overBox, toInfSup(centre, radius, sound ? OUTWARD : EXACT)[0]);
}

/** ||row||_2 or ||row||_infinity; with `sound` not below the exact number. */
function dualNorm(rows: Tensor, norm: 'l2' | 'l1', sound: boolean): Tensor {
  const flat = reshape(rows, [rows.shape[0]!, sizeOf(rows.shape.slice(1))]);
  const [count, columns] = flat.shape as [number, number];
  // Something above 0 keeps the gradient of a row of zeros finite.
  const squares = (): Tensor => affine(sumTo(square(flat), [count, 1]), 1, UNDERFLOW);
  const length = norm === 'l1' ? largest(flat) : sqrt(reshape(squares(), [count]));
  return sound ? affine(length, ...normError(norm, columns)) : length;
}
