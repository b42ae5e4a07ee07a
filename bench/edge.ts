/**
 * `espalier/runtime`, bundled as it is published, in a process of its own for every sample: import, a
 * compact model of a file, the first prediction, measured there. And its bytes, gzipped.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build, type Plugin } from 'esbuild';
// @ts-expect-error A script without types.
import { withoutDense } from '../scripts/edge-bundle.mjs';
import { compactFile } from '../src/io/compact-write';
import { createModel, freeModel } from '../src/nn/model';
import { buildNetwork } from '../src/nn/zoo';
import { freeMasks } from '../src/prune/mask';
import { prune } from '../src/prune/prune';
import { bitsByKind, shareWeights } from '../src/prune/share';
import { strategies } from '../src/prune/strategies/registry';
import type { Engine } from '../src/runtime/engine';
import type { Race } from './harness';
import type { Subject } from './subject';

/** Wanted on Node 20. */
const BAR_SECONDS = 0.04;
const SPARSITY = 0.9;

const PROGRAM = `
  const started = performance.now();
  const { openModel } = await import('./runtime.mjs');
  const { readFileSync } = await import('node:fs');
  const model = await openModel(readFileSync('network.compact'));
  const size = model.info().input.reduce((a, b) => a * b, 1);
  const { logits } = model.predict(new Float32Array(size).fill(0.5));
  const ended = performance.now();
  console.log(logits.every(Number.isFinite) ? (ended - started) / 1000 : 'wrong');`;

export const edge: Subject = {
  about: 'espalier/runtime: import, a compact model, the first prediction in a fresh process',
  async *races({ engine, size }) {
    const folder = mkdtempSync(join(tmpdir(), 'espalier-bench-'));
    const name = size === 'full' ? 'cnn-large' : 'cnn-small';
    try {
      const model = await compacted(engine, name);
      writeFileSync(join(folder, 'network.compact'), model);
      const bytes = await bundleInto(join(folder, 'runtime.mjs'));
      yield {
        title: `${name} with ${100 * SPARSITY} % zeros, ${model.length} bytes, by ${bytes} bytes of program gzipped (wanted: ${1000 * BAR_SECONDS} ms)`,
        contestants: [
          { name: 'import, open and predict', selfTimed: true, run: () => seconds(folder) },
        ],
      } satisfies Race;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function compacted(engine: Engine, name: string): Promise<Uint8Array> {
  const model = createModel(engine, buildNetwork(name, {}, [3, 32, 32], 10), { seed: 1 });
  freeMasks(prune(model, strategies.magnitude!, {}, { sparsity: SPARSITY, seed: 1 }).masks);
  shareWeights(model, bitsByKind(model, { conv2d: 8, dense: 5 }));
  const bytes = await compactFile(model, {});
  freeModel(model);
  return bytes;
}

async function bundleInto(outfile: string): Promise<number> {
  const { outputFiles } = await build({
    entryPoints: ['src/edge/index.ts'],
    ...{ bundle: true, minify: true, format: 'esm', platform: 'browser', target: 'es2022' },
    ...{ external: ['node:*'], plugins: [withoutDense as Plugin], write: false, outfile },
    define: { ESPALIER_VERSION: '"0"' },
    logLevel: 'error',
  });
  const { contents } = outputFiles![0]!;
  writeFileSync(outfile, contents);
  return gzipSync(contents, { level: 9 }).length;
}

async function seconds(folder: string): Promise<number> {
  const argv = [...process.execArgv, '--input-type=module', '-e', PROGRAM];
  const { stdout } = await promisify(execFile)(process.execPath, argv, { cwd: folder });
  const time = Number(stdout);
  if (!(time > 0)) throw new Error(`edge: expected a first prediction, got ${stdout}`);
  return time;
}
