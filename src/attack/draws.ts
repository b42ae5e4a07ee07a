/**
 * Random draws of one image's search: a sequence keyed by (seed, stream, index of the image), so it depends
 * neither on the batch nor on what happened to other images.
 */
import { block, STREAMS } from '../tensor/philox';

export interface Draws {
  /** Uniform in [0, 1), a multiple of 2^-32. */
  uniform(): number;
  /** Uniform in 0 .. n - 1. */
  below(n: number): number;
  /** -1 or 1. */
  sign(): number;
  /** Standard normal (Box and Muller 1958). */
  normal(): number;
}

/** Numbers of the attacks that draw: no two share a stream. */
export const SEARCHES = { apgdCe: 1, apgdDlr: 2, apgdT: 3, fab: 4, fabT: 5, square: 6 } as const;

export interface DrawKey {
  readonly seed: number;
  readonly index: number;
}

/** Draws of a restart of an attack on an image. */
export function drawsOf(
  { seed, index }: DrawKey,
  search: keyof typeof SEARCHES,
  restart = 0,
): Draws {
  const stream = STREAMS.attack + 2 ** 24 * SEARCHES[search] + 16 * restart;
  let [number, at] = [0, 4];
  let words: readonly number[] = [];
  const word = (): number => {
    if (at === 4) [words, at] = [block(seed, stream, index, number++), 0];
    return words[at++]!;
  };
  const uniform = (): number => word() / 2 ** 32;
  return {
    uniform,
    below: (n) => Math.floor(uniform() * n),
    sign: () => (word() & 1 ? 1 : -1),
    normal: () => {
      const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
      return radius * Math.cos(2 * Math.PI * uniform());
    },
  };
}
