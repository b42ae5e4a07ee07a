/** Memory of loading and predicting, in a process of its own, against what `inspect` says before. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readCompact } from '../../src/io/compact';
import { inflater } from '../../src/io/inflate';
import { readModelFile } from '../../src/io/read';
import { inspect } from '../../src/measure/inspect';
import { buildNetwork } from '../../src/nn/zoo';
import { load } from '../../src/runtime/engine';
import { bundled, site } from './bundle';
import { compactOf } from './models';

const here = await site();
afterAll(() => here.remove());

const runtime = (): Promise<string> =>
  bundled('src/edge/index.ts', { format: 'esm', platform: 'browser' });

/** Array buffers and linear memory, seen whenever either may have grown. */
const PROGRAM = `
  const { openModel } = await import('./runtime.mjs');
  const { readFileSync } = await import('node:fs');
  const zlib = process.getBuiltinModule('node:zlib');
  const bytes = readFileSync('large.compact');
  const used = () => process.memoryUsage().external;
  const before = used();
  let peak = 0;
  const watch = (owner, name) => {
    const inner = owner[name];
    owner[name] = function (...args) {
      const result = inner.apply(this, args);
      peak = Math.max(peak, used());
      return result;
    };
  };
  watch(zlib, 'inflateRawSync');
  watch(WebAssembly.Memory.prototype, 'grow');
  const model = await openModel(bytes);
  model.predict(new Float32Array(3072).fill(0.5));
  peak = Math.max(peak, used());
  console.log(JSON.stringify({ peak: peak - before, ...model.info().bytes }));`;

it('never holds dense weights, and stays below what inspect says', async () => {
  const engine = await load({ threads: 1 });
  const bytes = await compactOf(engine, buildNetwork('cnn-large', {}, [3, 32, 32], 10), 0.9);
  const path = join(here.folder, 'large.compact');
  writeFileSync(path, bytes);
  const { model } = await readModelFile(engine, path);
  const said = inspect(model);
  engine.close();
  writeFileSync(join(here.folder, 'runtime.mjs'), await runtime());
  const argv = ['--input-type=module', '-e', PROGRAM];
  const text = execFileSync(process.execPath, argv, { cwd: here.folder, encoding: 'utf8' });
  const found = JSON.parse(text) as Record<'peak' | 'file' | 'decoded' | 'linear', number>;
  expect(found.file).toBe(bytes.length);
  expect(found.decoded).toBe(readCompact(bytes, path, await inflater()).decodedBytes);
  // Biases of an untrained network are zeros, which the file codes.
  const weights = said.layers.reduce((total, layer) => total + layer.weights, 0);
  const biases = 4 * (said.parameters - weights);
  expect(said.edge.decoded).toBeGreaterThanOrEqual(found.decoded);
  expect(said.edge.decoded - found.decoded).toBeLessThanOrEqual(biases);
  expect(found.peak).toBeGreaterThan(found.decoded);
  expect(found.peak).toBeLessThanOrEqual(said.edge.peak);
  // Less than the dense weights alone.
  expect(found.peak).toBeLessThan(said.bytes);
});

/** Bytes of all kinds that are in use after so many thousand calls, garbage collected. */
const CALLS = `
  const { openModel } = await import('./runtime.mjs');
  const { readFileSync } = await import('node:fs');
  const model = await openModel(readFileSync('digits.compact'));
  const x = new Float32Array(64).fill(0.5);
  const calls = [
    () => model.predict(x),
    () => model.certify(x, 0.01),
    () => model.predictBatch(new Array(6).fill(x)),
    () => model.radius(x),
  ];
  const used = [];
  for (let i = 0; i < 12_000; i++) {
    calls[i % 50 < 47 ? i % 2 : i % 4]();
    if (i % 1000 !== 999) continue;
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    used.push({ heap: heapUsed, external });
  }
  console.log(JSON.stringify(used));`;

it('stays flat over 10 000 calls, heap and all', async () => {
  writeFileSync(join(here.folder, 'runtime.mjs'), await runtime());
  const argv = ['--expose-gc', '--input-type=module', '-e', CALLS];
  const text = execFileSync(process.execPath, argv, { cwd: here.folder, encoding: 'utf8' });
  const used = JSON.parse(text) as { heap: number; external: number }[];
  // The first thousand compiles functions, and collections end late, hence the least of three: less
  // than the smallest array takes, and that of 8000 calls.
  const least = (of: 'heap' | 'external', from: number, end?: number): number =>
    Math.min(...used.slice(from, end).map((one) => one[of]));
  for (const of of ['heap', 'external'] as const)
    expect(least(of, -3) - least(of, 1, 4), of).toBeLessThan(50 * 8000);
});
