/**
 * `espalier/runtime`, bundled as it is published, in a process of its own for every sample: import, a
 * compact model of a file, the first prediction, measured there. And its bytes, gzipped. Beside it
 * other engines do the same with the same pruned weights as float32, if bench/peers is installed.
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
import { createModel, freeModel, type Model } from '../src/nn/model';
import { buildNetwork } from '../src/nn/zoo';
import { prune } from '../src/prune/prune';
import { bitsByKind, shareWeights } from '../src/prune/share';
import { strategies } from '../src/prune/strategies/registry';
import type { Engine } from '../src/runtime/engine';
import { sizeOf } from '../src/tensor/shape';
import type { Contestant, Race } from './harness';
import { assertClose, outputs } from './networks';
import { INSTALL, installed } from './peers/packages';
import { type Programs, rivals } from './peers/start';
import type { Subject } from './subject';

/** Wanted on Node 20. */
const BAR_SECONDS = 0.04;
const SPARSITY = 0.9;
const TOLERANCE = 1e-4;
const OURS = 'espalier/runtime';

const PROGRAM = `
  const { openModel } = await import('./runtime.mjs');
  const model = await openModel(read('network.compact'));
  const { logits } = model.predict(image);`;

/** What every process runs around one of the programs. */
const timed = (program: string, samples: number): string => `
  const started = performance.now();
  const { readFileSync } = await import('node:fs');
  const read = (name) => readFileSync(new URL(name, import.meta.url));
  const image = new Float32Array(${samples}).fill(0.5);
  ${program}
  const ended = performance.now();
  console.log(JSON.stringify({ seconds: (ended - started) / 1000, logits: [...logits] }));
  process.exit();`;

export const edge: Subject = {
  about: 'import, a pruned model, the first prediction in a fresh process, beside other engines',
  async *races({ engine, size }) {
    const folder = mkdtempSync(join(tmpdir(), 'espalier-bench-'));
    const name = size === 'full' ? 'cnn-large' : 'cnn-small';
    const model = await pruned(engine, name);
    try {
      const file = await compactFile(model, {});
      writeFileSync(join(folder, 'network.compact'), file);
      const bytes = await bundleInto(join(folder, 'runtime.mjs'));
      const others = installed() ? await rivals(folder, model) : {};
      const alone = installed() ? '' : `; no other engines: run ${INSTALL} to have them`;
      yield {
        title: `${name} with ${100 * SPARSITY} % zeros, ${file.length} bytes, by ${bytes} bytes of program gzipped (wanted: ${1000 * BAR_SECONDS} ms)${alone}`,
        contestants: contestants(folder, model, { [OURS]: PROGRAM, ...others }),
        quotients: Object.keys(others).map((to) => ({ of: OURS, to })),
      } satisfies Race;
    } finally {
      freeModel(model);
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function pruned(engine: Engine, name: string): Promise<Model> {
  const model = createModel(engine, buildNetwork(name, {}, [3, 32, 32], 10), { seed: 1 });
  await prune(model, strategies.magnitude!, {}, { sparsity: SPARSITY, seed: 1 });
  shareWeights(model, bitsByKind(model, { conv2d: 8, dense: 5 }));
  return model;
}

function contestants(folder: string, model: Model, programs: Programs): Contestant[] {
  const samples = sizeOf(model.graph.network.input);
  const expected = outputs(model, new Float32Array(samples).fill(0.5));
  return Object.entries(programs).map(([name, program], i) => {
    const path = join(folder, `program${i}.mjs`);
    writeFileSync(path, timed(program, samples));
    return { name, selfTimed: true, run: () => seconds(path, expected, name) };
  });
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

async function seconds(path: string, expected: Float32Array, name: string): Promise<number> {
  const argv = [...process.execArgv, path];
  const { stdout } = await promisify(execFile)(process.execPath, argv);
  const found = JSON.parse(stdout) as { seconds: number; logits: number[] };
  assertClose(found.logits, expected, TOLERANCE, name);
  return found.seconds;
}
