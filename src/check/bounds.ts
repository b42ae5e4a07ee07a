/**
 * Bounds of all nodes by a certificate's method, and from them the lower bounds of its rows.
 *
 * `interval`: every node by intervals, rows over the affine nodes at the end. `linear`: rows backward
 * to the input; the bounds in front of activations by intervals too, or by backward passes of their
 * own for those values where an activation bends.
 */
import { isStraight } from './activations';
import { lowerBounds, type Setting } from './backward';
import { type Bounds, stepBounds, unbounded } from './forward';
import type { Program, Step } from './program';

export interface Method {
  readonly name: 'interval' | 'linear';
  readonly intermediate: 'interval' | 'linear';
  readonly slopes: Setting['slopes'];
}

export type Proof =
  | { readonly lower: Float64Array }
  /** The limit of multiply-adds was reached. */
  | { readonly exhausted: true }
  /** The node whose values have no bounds, as a sum there could overflow. */
  | { readonly unbounded: string };

/** Rows of a claim: an array, or made when asked for. */
export interface Rows {
  readonly length: number;
  at(row: number): Float64Array | undefined;
}

/** Values refined together at most, two rows each. */
const CHUNK = 32;
/** Coefficients that a backward pass holds at most, where that is more than a row's: 64 MiB. */
const MOST_COEFFICIENTS = 2 ** 23;

/** Rows that go backward together: memory stays bounded, whatever the number of rows. */
const together = ({ values }: Program): number =>
  Math.max(1, Math.floor(MOST_COEFFICIENTS / values));

/** Multiply-adds spent against a limit. */
interface Meter {
  spent: number;
  readonly limit: number;
}

export function prove(
  program: Program,
  input: Bounds,
  rows: Rows,
  { name, intermediate, slopes }: Method,
  limit: number,
): Proof {
  const bounds: Bounds[] = [];
  const setting: Setting = { program, input, bounds, slopes };
  const meter: Meter = { spent: program.work * (rows.length + 2), limit };
  if (meter.spent > limit) return { exhausted: true };
  const refined = name === 'linear' && intermediate === 'linear';
  for (const [k, step] of program.steps.entries()) {
    const inputs = step.inputs.map((i) => (i < 0 ? input : bounds[i]!));
    if (refined && (step.kind === 'pointwise' || step.kind === 'max') && step.inputs[0]! >= 0)
      refine(setting, step, step.inputs[0]!, meter);
    if (meter.spent > limit) return { exhausted: true };
    bounds[k] = stepBounds(step, inputs);
  }
  const missing = unbounded(program, bounds);
  if (missing !== undefined) return { unbounded: missing };
  const last = program.steps.length - 1;
  const bends = (step: Step): boolean => name === 'interval' && step.kind !== 'affine';
  const lower = new Float64Array(rows.length);
  const block = together(program);
  for (let from = 0; from < rows.length; from += block) {
    const some = Array.from(
      { length: Math.min(block, rows.length - from) },
      (_, r) => rows.at(from + r)!,
    );
    lower.set(lowerBounds(setting, last, some, bends), from);
  }
  return { lower };
}

/** Tightens the bounds of node k where `step` bends them, as far as the meter allows. */
function refine(setting: Setting, step: Step, k: number, meter: Meter): void {
  const { lo, hi } = setting.bounds[k]!;
  const bent = Array.from(lo.keys()).filter(
    (j) => step.kind !== 'pointwise' || !isStraight(step.activation, lo[j]!, hi[j]!),
  );
  const chunk = Math.min(CHUNK, Math.ceil(together(setting.program) / 2));
  for (let from = 0; from < bent.length; from += chunk) {
    const some = bent.slice(from, from + chunk);
    meter.spent += 2 * some.length * setting.program.work;
    if (meter.spent > meter.limit) return;
    const unit = (sign: number) => (j: number) => {
      const row = new Float64Array(lo.length);
      row[j] = sign;
      return row;
    };
    const found = lowerBounds(setting, k, [...some.map(unit(1)), ...some.map(unit(-1))]);
    some.forEach((j, s) => {
      // Comparisons with NaN change nothing.
      if (found[s]! > lo[j]!) lo[j] = found[s]!;
      if (-found[s + some.length]! < hi[j]!) hi[j] = -found[s + some.length]!;
    });
  }
}
