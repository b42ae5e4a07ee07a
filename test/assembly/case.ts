/** What a test case of a kernel is, and helpers to state one. */
import type { Ptr } from '../../src/runtime/kernels';
import type { KernelName, Machine, Random } from './harness';

/** An output: where it lies and what a plain f64 computation says it should be. */
export interface Output {
  readonly at: Ptr;
  readonly want: ArrayLike<number>;
  readonly type?: 'i32';
  /** Allowed |got - want| relative to |want|, and on top of it, absolute. Default: f32 rounding. */
  readonly rel?: number;
  readonly abs?: number;
}

export interface Case {
  readonly label: string;
  readonly args: readonly number[];
  readonly outputs: readonly Output[];
}

/** Places the inputs of all cases of one kernel, one after the other, on a fresh machine. */
export type CaseMaker = (m: Machine, rng: Random) => Case;
export type CaseTable = Partial<Record<KernelName, readonly CaseMaker[]>>;

export const SIZES = [0, 1, 2, 3, 4, 5, 7, 17, 64, 131] as const;

/** Every index tuple of a shape, in row-major order. */
export function* indices(...shape: number[]): Generator<number[]> {
  const total = shape.reduce((a, b) => a * b, 1);
  for (let flat = 0; flat < total; flat++) {
    let rest = flat;
    const at = new Array<number>(shape.length);
    for (let d = shape.length - 1; d >= 0; d--) {
      at[d] = rest % shape[d]!;
      rest = Math.floor(rest / shape[d]!);
    }
    yield at;
  }
}

/** A mismatch in words, or undefined. */
export function mismatch(m: Machine, output: Output): string | undefined {
  const { at, want, type, rel = 1.5e-7, abs = 1e-44 } = output;
  for (let i = 0; i < want.length; i++) {
    const got = type ? m.i32[(at >> 2) + i]! : m.f32[(at >> 2) + i]!;
    const expected = want[i]!;
    if (Object.is(got, expected) || got === expected) continue;
    if (Math.fround(expected) === got) continue;
    if (Math.abs(got - expected) <= rel * Math.abs(expected) + abs) continue;
    return `element ${i}: expected ${expected}, got ${got}`;
  }
  return undefined;
}
