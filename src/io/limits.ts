/** How much a reader may make of a file, for all containers that compress. */

const SMALL = 64 << 20;
const MAX_EXPANSION = 50;

/**
 * Most bytes a reader may make of a file of `fileBytes` bytes: 64 MiB, or 50 times its size if that
 * is more. Real weights and images stay far below; a bomb is nothing else but being above.
 */
export function expansionCap(fileBytes: number): number {
  return Math.max(SMALL, MAX_EXPANSION * fileBytes);
}
