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

/** Values refined together, two rows each. */
const CHUNK = 32;

/** Multiply-adds spent against a limit. */
interface Meter {
  spent: number;
  readonly limit: number;
}

export function prove(
  program: Program,
  input: Bounds,
  rows: Float64Array[],
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
  return { lower: lowerBounds(setting, last, rows, bends) };
}

/** Tightens the bounds of node k where `step` bends them, as far as the meter allows. */
function refine(setting: Setting, step: Step, k: number, meter: Meter): void {
  const { lo, hi } = setting.bounds[k]!;
  const bent = Array.from(lo.keys()).filter(
    (j) => step.kind !== 'pointwise' || !isStraight(step.activation, lo[j]!, hi[j]!),
  );
  for (let from = 0; from < bent.length; from += CHUNK) {
    const some = bent.slice(from, from + CHUNK);
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
