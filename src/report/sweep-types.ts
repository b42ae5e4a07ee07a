/** The result of a sweep, as plain JSON: `sweep.json` is a `SweepResult`. */
import type { Mean } from '../statistics';
import type { Accuracy } from './types';

/** What a network costs, by which fronts are drawn. */
export const COSTS = ['bytes', 'multiplyAdds'] as const;
export type Cost = (typeof COSTS)[number];

type Each<T> = Readonly<Record<Accuracy, T>>;

/** One run. Accuracies are fractions; null where they were not measured. */
export interface RunResult {
  readonly labels: Readonly<Record<string, string>>;
  readonly seed: number;
  /** Folder of the run, below that of the sweep; null where the config could not be. */
  readonly dir: string | null;
  /** Why there is no result. */
  readonly error: string | null;
  readonly result: {
    readonly dense: Each<number | null>;
    readonly pruned: Each<number | null>;
    /** Pruned over dense. */
    readonly retained: Each<number | null>;
    readonly sparsity: number;
    /** Of the pruned network, its non-zeros as value and place. */
    readonly bytes: number;
    /** Of an image, over the non-zeros. */
    readonly multiplyAdds: number;
    readonly contradictions: number;
    readonly seconds: number;
  } | null;
}

/** Runs that differ in their seeds alone; those with a result. */
export interface GroupResult {
  readonly labels: Readonly<Record<string, string>>;
  readonly seeds: readonly number[];
  readonly dense: Each<Mean | null>;
  readonly pruned: Each<Mean | null>;
  readonly retained: Each<Mean | null>;
  readonly sparsity: number;
  readonly bytes: number;
  readonly multiplyAdds: number;
}

/** McNemar's exact test between two groups, over the pairs of a seed and a test image. */
export interface PairResult {
  /** Positions of the groups. */
  readonly a: number;
  readonly b: number;
  readonly accuracy: Accuracy;
  readonly seeds: readonly number[];
  /** Pairs that both were asked. */
  readonly pairs: number;
  readonly onlyA: number;
  readonly onlyB: number;
  /** (onlyA - onlyB) / pairs. */
  readonly difference: number;
  readonly p: number;
}

export interface SweepResult {
  readonly schema: 'espalier-sweep/1';
  readonly name: string;
  readonly runs: readonly RunResult[];
  readonly groups: readonly GroupResult[];
  /** Groups that no other one beats: none is as good at a lower cost, or better at the same. */
  readonly fronts: Readonly<Record<Cost, Each<readonly number[]>>>;
  readonly pairs: readonly PairResult[];
  readonly provenance: { readonly espalier: string; readonly node: string };
}
