/** What a bench is: a subject names its races; sizes are full, or tiny for the smoke tests. */
import type { Context, Race } from './harness';

export interface Subject {
  readonly about: string;
  /** One race after the other; what a race needs is made before its `yield` and freed after it. */
  races(context: Context): Generator<Race> | AsyncGenerator<Race>;
}
