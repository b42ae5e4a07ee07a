/**
 * Outcomes of a search: certified, falsified with a witness that was run again, or unknown with the
 * reason; always with what it proved so far and what it spent.
 */

import { isOutOfMemory } from '../errors';
import type { AnyModel } from '../nn/model';
import type { Spent } from './budget';
import { outputsAt } from './descent';
import { outputsOf } from './head';
import { outOfMemory } from './memory';
import { inOtherBinary, type OtherRun, type Rows, replay } from './replay';
import { clampTo, inside, isUnsafe, type Specification } from './specification';

/** A network in canonical form, with the one it was made of where that is another. */
export interface Subject extends AnyModel {
  readonly original?: AnyModel;
  /** Rows of weights that one witness was run again with, for others. */
  readonly rows?: Rows;
  /** Takes notice of a point that is unsafe in one run and not in another. */
  readonly onDisagreement?: (what: string) => void;
}

/** An unsafe point of the region. */
export interface Witness {
  /** The input, in the region exactly; float32 numbers wherever the region has one there. */
  readonly x: Float64Array;
  /** The float32 network's outputs at x rounded to float32. */
  readonly y: Float32Array;
  /** The outputs in float64. */
  readonly exact: Float64Array;
  /** Those of the other binary, where this runtime has it. */
  readonly other?: OtherRun;
}

interface Found {
  /** Proven lower bound of the slack: everywhere in the region outputs are this far from unsafe. */
  readonly bound: number;
  readonly spent: Spent;
  /** Method that gave the answer. */
  readonly by: string;
}

export type Answer =
  | { readonly verdict: 'certified' }
  | { readonly verdict: 'falsified'; readonly witness: Witness }
  /** `timeout`: for want of seconds. */
  | { readonly verdict: 'unknown'; readonly reason: string; readonly timeout: boolean };

export type Outcome = Found & Answer;

/** State of a search. */
export interface SearchProgress {
  readonly stage: string;
  readonly bound: number;
  /** Nodes not yet proven. */
  readonly open: number;
  readonly spent: Spent;
}

/**
 * The witness at a float32 point, if the network as its file has it is unsafe there in float32 by both
 * binaries and in float64. What there is no memory to run again is none.
 */
export function confirm(
  model: Subject,
  specification: Specification,
  point: Float32Array,
): Witness | undefined {
  const x = clampTo(specification.region, point);
  if (!inside(specification.region, x)) return undefined;
  try {
    return runAgain(model, specification, x);
  } catch (error) {
    if (!isOutOfMemory(error)) throw error;
    const own = model.engine.binary;
    model.onDisagreement?.(`unsafe in float32 (${own}), but not run again: ${outOfMemory(error)}`);
    return undefined;
  }
}

/** The witness at x, if every run finds it unsafe; the cheap runs first. */
function runAgain(
  model: Subject,
  specification: Specification,
  x: Float64Array,
): Witness | undefined {
  const { original = model } = model;
  const own = `float32 (${model.engine.binary})`;
  const form = original === model ? '' : ' of the network as its file has it';
  const agrees = (run: string, outputs: ArrayLike<number>): boolean => {
    if (isUnsafe(specification.unsafe, outputs)) return true;
    if (run !== own || form) model.onDisagreement?.(`unsafe in ${own}, but not in ${run}${form}`);
    return false;
  };
  const rounded = Float32Array.from(x);
  const y = outputsOf(specification, outputsAt(original, rounded, 1));
  if (!agrees(own, y)) return undefined;
  const run = inOtherBinary(original, rounded);
  const other = run && { ...run, y: outputsOf(specification, run.y) };
  if (other && !agrees(`float32 (${other.binary})`, other.y)) return undefined;
  const exact = outputsOf(specification, replay(original, x, model.rows));
  return agrees('float64', exact) ? { x, y, exact, ...(other && { other }) } : undefined;
}
