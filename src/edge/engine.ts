/**
 * The engine of the edge: one thread and the kernels of assembly/runtime.ts, embedded deflated, or
 * given as a compiled module where the runtime compiles none itself.
 */
import { fail } from '../errors';
import type { Inflate } from '../io/inflate';
import { RUNTIME_DEFLATED } from '../runtime/binaries.gen';
import { Engine } from '../runtime/engine';
import { LinearMemory } from '../runtime/memory';
import { decodeBase64 } from '../runtime/wasm';
import { type DecodeKernels, Decoder } from './decode';

/** The built-in kernels. */
const runtimeBinary = (inflate: Inflate): Uint8Array<ArrayBuffer> =>
  new Uint8Array(inflate(decodeBase64(RUNTIME_DEFLATED), 2 ** 16));

/** An engine over a `WebAssembly.Module`, or the built-in one, and what decodes into its memory. */
export function edgeEngine(
  module: object | undefined,
  maxMemory: number,
  inflate: Inflate,
): { readonly engine: Engine; readonly decoder: Decoder } {
  const memory = new LinearMemory(false, maxMemory);
  const imports = { env: { memory: memory.memory as WebAssembly.Memory, abort: () => {} } };
  const exports = instanceOf(module ?? compiled(inflate), imports);
  if (typeof exports.compact_places !== 'function') notOurs('another');
  const kernels = exports as unknown as Record<string, (...args: number[]) => void>;
  const engine = new Engine({ memory, kernels, pool: undefined, binary: 'simd', reasons: [] });
  return { engine, decoder: new Decoder(memory, exports as unknown as DecodeKernels) };
}

const notOurs = (got: unknown): never =>
  fail('openModel: module', 'the module espalier/runtime.wasm', got);

function instanceOf(module: object, imports: WebAssembly.Imports): WebAssembly.Exports {
  try {
    return new WebAssembly.Instance(module as WebAssembly.Module, imports).exports;
  } catch (error) {
    const got = error instanceof Error ? error.message : error;
    return notOurs(got);
  }
}

function compiled(inflate: Inflate): WebAssembly.Module {
  try {
    return new WebAssembly.Module(runtimeBinary(inflate));
  } catch (error) {
    return fail(
      'openModel',
      'a runtime that compiles WebAssembly with SIMD',
      error instanceof Error ? error.message : error,
      'Where modules come compiled only, give espalier/runtime.wasm as module.',
    );
  }
}
