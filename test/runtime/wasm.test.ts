/** Base64, and the one flag that makes an imported memory shared. */
import { describe, expect, it } from 'vitest';
import { RELAXED_BASE64, SIMD_BASE64 } from '../../src/runtime/binaries.gen';
import { KERNELS } from '../../src/runtime/kernels';
import { decodeBase64, withSharedMemory } from '../../src/runtime/wasm';
import { binaries } from '../helpers/engine';

const SOURCES = { simd: SIMD_BASE64, relaxed: RELAXED_BASE64 };
const HEAD = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

describe.each(binaries())('the %s binary', (name) => {
  const bytes = decodeBase64(SOURCES[name]);

  it('is valid, and so is its shared form, which differs in one byte', () => {
    const shared = withSharedMemory(bytes);
    expect(WebAssembly.validate(bytes)).toBe(true);
    expect(WebAssembly.validate(shared)).toBe(true);
    const different = [...bytes.keys()].filter((i) => bytes[i] !== shared[i]);
    expect(shared.length).toBe(bytes.length);
    expect(different.map((i) => [bytes[i], shared[i]])).toEqual([[1, 3]]);
  });

  it('exports exactly the kernels of the table', () => {
    const names = WebAssembly.Module.exports(new WebAssembly.Module(bytes))
      .filter(({ kind }) => kind === 'function')
      .map((e) => e.name);
    expect(names.sort()).toEqual(Object.keys(KERNELS).sort());
  });

  it('takes a shared memory only in its shared form', () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 16, shared: true });
    const start = (b: Uint8Array<ArrayBuffer>) =>
      new WebAssembly.Instance(new WebAssembly.Module(b), { env: { memory } });
    expect(() => start(bytes)).toThrow();
    expect(start(withSharedMemory(bytes)).exports.gemm).toBeTypeOf('function');
  });
});

describe('withSharedMemory', () => {
  it('skips other sections and function imports', () => {
    // A custom section, a type section, then imports e.f (function) and e.m (memory 1 2).
    const module = new Uint8Array([
      ...[...HEAD, 0, 3, 1, 0x78, 7, 1, 4, 1, 0x60, 0, 0],
      ...[2, 15, 2, 1, 0x65, 1, 0x66, 0, 0, 1, 0x65, 1, 0x6d, 2, 1, 1, 2],
    ]);
    expect(WebAssembly.validate(module)).toBe(true);
    const shared = withSharedMemory(module);
    expect(WebAssembly.validate(shared)).toBe(true);
    expect([...shared.slice(-3)]).toEqual([3, 1, 2]);
    expect(module.at(-3)).toBe(1);
  });

  it.each([
    ['no import at all', HEAD],
    ['a table import only', [...HEAD, 2, 9, 1, 1, 0x65, 1, 0x74, 1, 0x70, 0, 0]],
  ])('refuses %s', (_, module) => {
    expect(() => withSharedMemory(new Uint8Array(module))).toThrow('imports its memory');
  });
});

describe('decodeBase64', () => {
  it('inverts the encoding', () => {
    const bytes = Uint8Array.from({ length: 257 }, (_, i) => (i * 31) & 255);
    expect(decodeBase64(Buffer.from(bytes).toString('base64'))).toEqual(bytes);
  });
});
