/**
 * Patterns of zeros that the sparse kernels know (sparse/blocks.ts), as changes of scores: whoever takes
 * the largest of them gets the pattern, and counts stay exact.
 *
 * - `4x1`: four neighbouring rows share the places of their zeros. Each weight has the mean of its block,
 *   so blocks stay or go as wholes, but for the one at the border of the count.
 * - `n:4` (`n:2`, `n:8`, `n:16`): of every m neighbouring inputs equally many stay. A weight's rank in its
 *   group comes first, so every group gives its largest before any gives its second largest. Where the
 *   share kept is n / m each group keeps n. Weights whose channels are no multiple of m have no groups.
 */
import { expect } from '../errors';
import { BLOCK } from '../sparse/blocks';
import { type Shape, sizeOf } from '../tensor/shape';

export const PATTERNS = ['single', '4x1', 'n:2', 'n:4', 'n:8', 'n:16'] as const;
export type Pattern = (typeof PATTERNS)[number];

/** Scores of a weight [rows, channels, ...window] by which the largest are of the pattern. */
export function patterned(scores: Float32Array, shape: Shape, pattern: Pattern): Float32Array {
  if (pattern === 'single') return scores;
  return pattern === '4x1' ? byBlocks(scores, shape) : byRanks(scores, shape, groupOf(pattern)!);
}

/** The m of a pattern n:m. */
export function groupOf(pattern: Pattern): number | undefined {
  return pattern.startsWith('n:') ? Number(pattern.slice(2)) : undefined;
}

/** Raises an error for a sparsity that n:m cannot have. */
export function checkPattern(pattern: Pattern, sparsity: number): void {
  const m = groupOf(pattern);
  if (m === undefined || sparsity === 0) return;
  const n = m * (1 - sparsity);
  const reachable = Array.from({ length: m - 1 }, (_, i) => 1 - (i + 1) / m).reverse();
  const hint = `Of every ${m} inputs a whole number stays.`;
  const isWhole = Math.abs(n - Math.round(n)) < 1e-9 && Math.round(n) >= 1;
  expect(isWhole, 'prune.sparsity', `one of ${reachable.join(', ')}`, sparsity, hint);
}

function byBlocks(scores: Float32Array, [rows = 1]: Shape): Float32Array {
  const width = scores.length / rows;
  const means = scores.slice();
  for (let first = 0; first < rows; first += BLOCK)
    for (let column = 0; column < width; column++) {
      // Entries that are gone already say nothing of those that are left.
      const left = Array.from({ length: Math.min(BLOCK, rows - first) }, (_, r) => first + r)
        .map((row) => row * width + column)
        .filter((at) => scores[at] !== Number.NEGATIVE_INFINITY);
      const mean = left.reduce((sum, at) => sum + scores[at]!, 0) / left.length;
      for (const at of left) means[at] = mean;
    }
  return means;
}

function byRanks(scores: Float32Array, shape: Shape, m: number): Float32Array {
  const [rows = 1, channels = 1, ...window] = shape;
  if (channels % m !== 0) return scores;
  const area = sizeOf(window);
  const order = Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b);
  const taken = new Uint8Array((rows * channels * area) / m);
  const places = order.map((at): [number, number] => {
    const group = Math.floor(at / (m * area)) * area + (at % area);
    return [at, taken[group]!++];
  });
  // Among equals of rank, the order of the scores, as a number that float32 tells apart.
  const byRank = Array.from({ length: m }, (_, rank) =>
    places.filter(([, r]) => r === rank),
  ).flat();
  const ranks = new Float32Array(scores.length);
  byRank.forEach(([at], i) => {
    ranks[at] = scores[at] === Number.NEGATIVE_INFINITY ? scores[at] : scores.length - i;
  });
  return ranks;
}
