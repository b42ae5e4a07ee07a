/**
 * What a core reaches where nothing but multiply-adds is left: a loop over registers, without a load
 * or a store, compiled here by asc with the features of one binary. It is the roof of the products'
 * inner loop, which has to feed the same multiply-adds from memory.
 *
 * Twelve chains s <- s a + b cover the latency of the units (a chain waits for its own last result,
 * so fewer leave them idle) and with a, b and a product fill 15 of the 16 vector registers.
 */
import type { Binary } from '../src/runtime/engine';
import type { Contestant } from './harness';

const CHAINS = 12;
const LANES = 4;

const lines = (line: (i: number) => string): string =>
  Array.from({ length: CHAINS }, (_, i) => line(i)).join('\n');

/** Starts the chains from the numbers at p, runs them n times, and puts them back. */
const source = (madd: string): string => `
export function peak(n: i32, a: f32, b: f32, p: usize): void {
  const va = f32x4.splat(a);
  const vb = f32x4.splat(b);
  ${lines((i) => `let s${i} = v128.load(p, ${16 * i});`)}
  for (let i = 0; i < n; i++) {
    ${lines((i) => `s${i} = ${madd.replace('s', `s${i}`)};`)}
  }
  ${lines((i) => `v128.store(p, s${i}, ${16 * i});`)}
}`;

const MADD: Readonly<Record<Binary, string>> = {
  simd: 'f32x4.add(f32x4.mul(s, va), vb)',
  relaxed: 'f32x4.relaxed_madd(s, va, vb)',
};

/** The loop as a contestant; `steps` rounds of the twelve chains a call. */
export async function peak(binary: Binary, steps: number): Promise<Contestant> {
  // Large, and of no use to the other subjects.
  const { default: asc } = await import('assemblyscript/asc');
  const {
    error,
    stderr,
    binary: bytes,
  } = await asc.compileString(source(MADD[binary]), {
    optimizeLevel: 3,
    runtime: 'stub',
    noAssert: true,
    enable: binary === 'simd' ? ['simd'] : ['simd', 'relaxed-simd'],
  });
  if (error || !bytes) throw new Error(`asc: ${error?.message ?? 'no binary'}\n${stderr}`);
  const module = new WebAssembly.Module(new Uint8Array(bytes));
  const { exports } = new WebAssembly.Instance(module, { env: { abort() {} } });
  const loop = exports.peak as (n: number, a: number, b: number, p: number) => void;
  const memory = exports.memory as WebAssembly.Memory;
  memory.grow(1);
  const at = 1024;
  const name = `registers only, ${binary}`;
  return {
    name,
    flops: 2 * LANES * CHAINS * steps,
    run: () => loop(steps, 0.5, 1, at),
    check() {
      const values = new Float32Array(memory.buffer, at, LANES * CHAINS);
      values.fill(3);
      loop(1, 0.5, 1, at);
      // s = 3 -> 2.5, and on to the fixed point 2.
      const once = values.every((s) => s === 2.5);
      loop(100, 0.5, 1, at);
      if (!once || !values.every((s) => s === 2)) throw new Error(`${name}: wrong result`);
    },
  };
}
