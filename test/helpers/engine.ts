/** Engines for tests, over every binary this Node can run, and a reader that runs inside a step. */
import { setFlagsFromString } from 'node:v8';
import { vi } from 'vitest';
import { type Binary, type Engine, supports } from '../../src/runtime/engine';
import { step, type Tensor } from '../../src/tensor/tensor';

/** Every binary that can run here; Node 20 has relaxed SIMD behind a flag, which this sets. */
export function binaries(): Binary[] {
  if (!supports('relaxed')) setFlagsFromString('--experimental-wasm-relaxed-simd');
  return supports('relaxed') ? ['simd', 'relaxed'] : ['simd'];
}

/** The elements of the tensors `fn` returns, computed in a step of their own. */
export function compute(engine: Engine, fn: () => readonly Tensor[]): Float32Array[] {
  return step(engine, () => fn().map((tensor) => tensor.read()));
}

/** The bits, so that equality means bitwise equality (-0 is not 0, NaN equals itself). */
export function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.slice().buffer);
}

/** From here on this thread takes no rows back from the workers, which so do compute. */
export function workersOnly() {
  const atomics: { compareExchange(...args: unknown[]): number } = Atomics;
  return vi.spyOn(atomics, 'compareExchange').mockReturnValue(0);
}
