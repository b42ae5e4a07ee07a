/**
 * Linear bounds, backward (CROWN, Zhang et al. 2018, and the general form of Xu et al. 2020): a row of
 * coefficients on some node is rewritten onto the nodes before it until only inputs remain, and the
 * least value over their bounds is a lower bound. Every rewriting adds what rounding can do, of the
 * network's float32 execution and of this f64 computation, to the row's error term.
 *
 * Cost: one pass over the network a call, each weight met once for all rows of the call.
 */
import { type Line, lines } from './activations';
import { F64, UNDERFLOW, up } from './arithmetic';
import { addError, affineError, type Bounds, greatest, least, magnitude } from './forward';
import type { Program, Step } from './program';

export interface Setting {
  readonly program: Program;
  readonly input: Bounds;
  /** Bounds of each node up to the one that the rows are on. */
  readonly bounds: readonly Bounds[];
  /** Slopes of the lower lines of a pointwise node, by its name, where a certificate gives them. */
  readonly slopes: Readonly<Record<string, ArrayLike<number>>>;
}

interface State {
  /** Coefficients on a node's values, [row][value]; -1 is the input. */
  readonly on: Map<number, Float64Array[]>;
  readonly constant: Float64Array;
  readonly error: Float64Array;
}

/**
 * Lower bounds of the rows on node `from`. With `stopAt` they are not rewritten over the nodes it
 * accepts, but take their least value over the bounds there.
 */
export function lowerBounds(
  setting: Setting,
  from: number,
  rows: Float64Array[],
  stopAt: (step: Step) => boolean = () => false,
): Float64Array {
  const { program, bounds, input } = setting;
  const state: State = {
    on: new Map([[from, rows]]),
    constant: new Float64Array(rows.length),
    error: new Float64Array(rows.length),
  };
  for (let k = from; k >= 0; k--) {
    const own = state.on.get(k);
    const step = program.steps[k]!;
    if (!own || stopAt(step)) continue;
    state.on.delete(k);
    rewrite(setting, step, own, state);
  }
  for (const [k, own] of state.on)
    own.forEach((a, r) => {
      const found = least(a, k < 0 ? input : bounds[k]!);
      state.constant[r]! += found.value;
      state.error[r]! += found.error;
    });
  return state.constant.map((c, r) => c - (up(state.error[r]!) + F64 * Math.abs(c)) - UNDERFLOW);
}

/** Coefficients on node k, made of zeros when first asked for. */
function target(setting: Setting, state: State, k: number, rows: number): Float64Array[] {
  const found = state.on.get(k);
  if (found) return found;
  const size = k < 0 ? setting.program.input : setting.program.steps[k]!.size;
  const made = Array.from({ length: rows }, () => new Float64Array(size));
  state.on.set(k, made);
  return made;
}

function rewrite(setting: Setting, step: Step, own: Float64Array[], state: State): void {
  const inputs = step.inputs.map((k) => (k < 0 ? setting.input : setting.bounds[k]!));
  const into = step.inputs.map((k) => target(setting, state, k, own.length));
  const [x] = inputs;
  const [to] = into;
  const claimed = Object.hasOwn(setting.slopes, step.name) ? setting.slopes[step.name] : undefined;
  const read = new Uint8Array(step.size);
  for (const a of own) for (let i = 0; i < a.length; i++) if (a[i] !== 0) read[i] = 1;
  for (let i = 0; i < step.size; i++) {
    if (read[i] === 0) continue;
    switch (step.kind) {
      case 'affine':
        affine(step.operator, i, x!, own, to!, state);
        break;
      case 'pointwise': {
        const both = lines(step.activation, x!.lo[i]!, x!.hi[i]!, claimed?.[i]);
        relax(both, i, i, magnitude(x!, i), own, to!, state);
        break;
      }
      case 'add': {
        const error = addError(inputs, i);
        own.forEach((a, r) => {
          for (const t of into) t[r]![i]! += a[i]!;
          state.error[r]! += Math.abs(a[i]!) * error;
        });
        break;
      }
      case 'max':
        maximum(step.windows(i), i, x!, own, to!, state);
        break;
      case 'concat': {
        const [k, j] = step.source(i);
        const error = F64 * magnitude(inputs[k]!, j);
        own.forEach((a, r) => {
          into[k]![r]![j]! += a[i]!;
          state.error[r]! += Math.abs(a[i]!) * error;
        });
      }
    }
  }
}

function affine(
  operator: Extract<Step, { kind: 'affine' }>['operator'],
  i: number,
  x: Bounds,
  own: Float64Array[],
  to: Float64Array[],
  state: State,
): void {
  const error = affineError(operator, i, x, F64);
  const bias = operator.bias(i);
  const rows = own.map((_, r) => r).filter((r) => own[r]![i] !== 0);
  for (const r of rows) {
    const a = own[r]![i]!;
    state.constant[r]! += a * bias;
    state.error[r]! += Math.abs(a) * error;
  }
  operator.row(i, (j, w) => {
    for (const r of rows) to[r]![j]! += own[r]![i]! * w;
  });
}

/** Takes the lower line where a coefficient of output i is positive, else the upper one, onto input j. */
function relax(
  [lower, upper]: readonly [Line, Line],
  i: number,
  j: number,
  size: number,
  own: Float64Array[],
  to: Float64Array[],
  state: State,
): void {
  own.forEach((row, r) => {
    const a = row[i]!;
    if (a === 0) return;
    const { slope, offset } = a > 0 ? lower : upper;
    to[r]![j]! += a * slope;
    state.constant[r]! += a * offset;
    state.error[r]! += Math.abs(a) * F64 * (Math.abs(slope) * size + Math.abs(offset));
  });
}

/** Below a maximum lies its likeliest input, above it a constant; where one input always wins, it. */
function maximum(
  places: readonly number[],
  i: number,
  x: Bounds,
  own: Float64Array[],
  to: Float64Array[],
  state: State,
): void {
  let best = places[0]!;
  for (const j of places) if (x.lo[j]! > x.lo[best]!) best = j;
  const top = greatest(x.hi, places);
  const wins = places.every((j) => j === best || x.hi[j]! <= x.lo[best]!);
  const line: Line = { slope: 1, offset: 0 };
  const above = wins ? line : { slope: 0, offset: top };
  relax([line, above], i, best, magnitude(x, best), own, to, state);
}
