/**
 * How many weights each layer keeps. Every scope is exact: over all layers together
 * round(sparsity * total) weights go, and no layer is left without any.
 *
 * - `layer`: the same share of every layer.
 * - `erk`: Erdos-Renyi-Kernel (Evci et al. 2020, "Rigging the lottery", section 3): densities
 *   proportional to (in + out + kh + kw) / (in * out * kh * kw), dense layers
 *   (in + out) / (in * out); a layer that would exceed density 1 stays dense and the others share
 *   the rest. Small layers keep more.
 * - `global` has no counts of its own: one threshold over all weights (select.ts).
 *
 * Fractions are rounded by largest remainder.
 */
import { expect } from '../errors';
import { type Shape, sizeOf } from '../tensor/shape';

export const SCOPES = ['layer', 'global', 'erk'] as const;
export type Scope = (typeof SCOPES)[number];

/** One prunable weight tensor. */
export interface Part {
  readonly shape: Shape;
  /** Most weights it may keep: its size, or what an earlier mask has left, at least 1. */
  readonly cap: number;
}

/** A layer's share of the kept weights, up to one common factor. */
const SHARES: Readonly<Record<Exclude<Scope, 'global'>, (shape: Shape) => number>> = {
  layer: sizeOf,
  erk: sum,
};

/**
 * Weights kept over all layers: total - round(sparsity * total). Raises an error where that is less
 * than one a layer, or more than earlier masks have left.
 */
export function keptTotal(parts: readonly Part[], sparsity: number): number {
  const inRange = sparsity >= 0 && sparsity < 1;
  expect(inRange, 'prune.sparsity', 'a fraction in [0, 1): the share of weights removed', sparsity);
  const total = sum(parts.map((part) => sizeOf(part.shape)));
  const kept = total - Math.round(sparsity * total);
  const left = sum(parts.map((part) => part.cap));
  expect(
    kept >= parts.length,
    'prune.sparsity',
    `at most ${1 - parts.length / total}`,
    sparsity,
    `Each of the ${parts.length} layers keeps at least one of ${total} weights.`,
  );
  expect(
    kept <= left,
    'prune.sparsity',
    `at least ${1 - left / total}, which earlier masks removed`,
    sparsity,
  );
  return kept;
}

/**
 * Weights kept of each part, in [1, cap], by a scope or in proportion to given numbers >= 0; they add up to
 * `keptTotal` exactly.
 */
export function allocate(
  by: Exclude<Scope, 'global'> | readonly number[],
  parts: readonly Part[],
  sparsity: number,
): number[] {
  const total = keptTotal(parts, sparsity);
  const caps = parts.map((part) => part.cap);
  const weights = typeof by === 'string' ? parts.map((part) => SHARES[by](part.shape)) : by;
  return apportion(proportional(weights, caps, total), caps, total);
}

/** Numbers in proportion to `weights` with the given sum, none above its cap. */
function proportional(
  weights: readonly number[],
  caps: readonly number[],
  total: number,
): readonly number[] {
  const shares = [...caps];
  let open = weights.map((_, i) => i);
  let rest = total;
  for (;;) {
    const scale = rest / sum(open.map((i) => weights[i]!));
    const full = open.filter((i) => weights[i]! * scale > caps[i]!);
    if (full.length === 0) {
      for (const i of open) shares[i] = weights[i]! * scale;
      return shares;
    }
    rest -= sum(full.map((i) => caps[i]!));
    open = open.filter((i) => !full.includes(i));
  }
}

/** Whole numbers in [1, cap] close to `ideal` that add up to `total`: largest remainders first. */
function apportion(ideal: readonly number[], caps: readonly number[], total: number): number[] {
  const counts = ideal.map((x, i) => Math.max(1, Math.min(caps[i]!, Math.floor(x))));
  let missing = total - sum(counts);
  while (missing !== 0) {
    const way = Math.sign(missing);
    const free = (i: number): boolean => (way > 0 ? counts[i]! < caps[i]! : counts[i]! > 1);
    const gain = (i: number): number => (free(i) ? way * (ideal[i]! - counts[i]!) : -Infinity);
    const best = counts.reduce((at, _, i) => (gain(i) > gain(at) ? i : at), 0);
    counts[best]! += way;
    missing -= way;
  }
  return counts;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, x) => total + x, 0);
}
