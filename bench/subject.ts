/** What a bench is: a subject names its races; sizes are full, or tiny for the smoke tests. */
import type { Engine } from '../src/runtime/engine';
import type { Race } from './harness';

export interface Context {
  readonly engine: Engine;
  readonly size: 'full' | 'tiny';
  /** This bundle, for subjects that start processes of their own. */
  readonly script: string;
  /** The library as its users import it: a path to an ES module. */
  readonly library: string;
}

export interface Subject {
  readonly about: string;
  /** One race after the other; what a race needs is made before its `yield` and freed after it. */
  races(context: Context): Generator<Race> | AsyncGenerator<Race>;
}
