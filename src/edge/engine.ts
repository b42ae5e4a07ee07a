/**
 * The engine of the edge: one thread and the kernels of assembly/runtime.ts, embedded deflated, or
 * given as a compiled module where the runtime compiles none itself.
 */
import { inflateSync } from 'fflate';
import { fail } from '../errors';
import { nativeZlib } from '../io/native';
import { RUNTIME_DEFLATED } from '../runtime/binaries.gen';
import { Engine } from '../runtime/engine';
import { LinearMemory } from '../runtime/memory';
import { decodeBase64 } from '../runtime/wasm';

/** The built-in kernels. */
export function runtimeBinary(): Uint8Array<ArrayBuffer> {
  const packed = decodeBase64(RUNTIME_DEFLATED);
  const native = nativeZlib();
  return new Uint8Array(
    native ? native.inflateRawSync(packed, { maxOutputLength: 2 ** 20 }) : inflateSync(packed),
  );
}

/** An engine over a `WebAssembly.Module`, or the built-in one. */
export function edgeEngine(module: object | undefined, maxMemory: number): Engine {
  const memory = new LinearMemory(false, maxMemory);
  const imports = { env: { memory: memory.memory as WebAssembly.Memory, abort: () => {} } };
  const { exports } = new WebAssembly.Instance(
    (module as WebAssembly.Module | undefined) ?? compiled(),
    imports,
  );
  if (typeof exports.sparse_pair !== 'function')
    fail('openModel: module', 'the module espalier/runtime.wasm', 'another');
  const kernels = exports as unknown as Record<string, (...args: number[]) => void>;
  return new Engine({ memory, kernels, pool: undefined, binary: 'simd', reasons: [] });
}

function compiled(): WebAssembly.Module {
  try {
    return new WebAssembly.Module(runtimeBinary());
  } catch (error) {
    return fail(
      'openModel',
      'a runtime that compiles WebAssembly with SIMD',
      error instanceof Error ? error.message : error,
      'Where modules come compiled only, give espalier/runtime.wasm as module.',
    );
  }
}
