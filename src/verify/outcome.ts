/**
 * What a search says: certified, falsified with a witness that was run again, or unknown with the
 * reason; always with what it proved so far and what it spent.
 */
import type { Model } from '../nn/model';
import type { Spent } from './budget';
import { outputsAt } from './descent';
import { replay } from './replay';
import { clampTo, inside, type Specification, slackOf } from './specification';

/** A network in canonical form, with the one it was made of where that is another. */
export interface Subject extends Model {
  readonly original?: Model;
}

/** An unsafe point of the region. */
export interface Witness {
  /** In the region exactly; float32 numbers wherever the region has one there. */
  readonly x: Float64Array;
  /** The float32 network's outputs at x rounded to float32. */
  readonly y: Float32Array;
  /** The outputs in float64. */
  readonly exact: Float64Array;
}

interface Found {
  /** Proven lower bound of the slack: everywhere in the region outputs are this far from unsafe. */
  readonly bound: number;
  readonly spent: Spent;
  /** What gave the answer. */
  readonly by: string;
}

export type Answer =
  | { readonly verdict: 'certified' }
  | { readonly verdict: 'falsified'; readonly witness: Witness }
  /** `timeout`: for want of seconds. */
  | { readonly verdict: 'unknown'; readonly reason: string; readonly timeout: boolean };

export type Outcome = Found & Answer;

/** How far a search is. */
export interface SearchProgress {
  readonly stage: string;
  readonly bound: number;
  /** Nodes not yet proven. */
  readonly open: number;
  readonly spent: Spent;
}

/**
 * The witness at a float32 point, if it is unsafe in float32 and in float64, in the network's canonical
 * form and in the original.
 */
export function confirm(
  model: Subject,
  { region, unsafe }: Specification,
  point: Float32Array,
): Witness | undefined {
  const x = clampTo(region, point);
  if (!inside(region, x)) return undefined;
  const run = (one: Model): Witness | undefined => {
    const y = outputsAt(one, Float32Array.from(x), 1);
    if (!(slackOf(unsafe, y) <= 0)) return undefined;
    const exact = replay(one, x);
    return slackOf(unsafe, exact) <= 0 ? { x, y, exact } : undefined;
  };
  const witness = run(model);
  // What is shown is what the network itself computes, as its file has it.
  return witness && model.original ? run(model.original) : witness;
}
