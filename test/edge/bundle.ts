/** The examples of examples/edge as bundles, and the model they ask. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Plugin } from 'esbuild';
// @ts-expect-error A script without types.
import { withoutDense } from '../../scripts/edge-bundle.mjs';
import { type CompactModel, openModel } from '../../src/edge/index';
import { sequential } from '../../src/nn/graph';
import { load } from '../../src/runtime/engine';
import { compactOf, imageOf } from './models';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const images = Array.from({ length: 6 }, (_, i) => [...imageOf(64, i)]);

/** The kernels as a file. */
export const kernels = (): Buffer<ArrayBuffer> => readFileSync(join(ROOT, 'build/runtime.wasm'));

export interface Site {
  readonly folder: string;
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly model: CompactModel;
  remove(): void;
}

/** A folder with a file digits.compact, and its model. */
export async function site(): Promise<Site> {
  const network = sequential(
    'digits',
    [64],
    [['dense', { units: 32 }], ['relu'], ['dense', { units: 10 }]],
  );
  const engine = await load({ threads: 1 });
  const bytes = await compactOf(engine, network, 0.8);
  engine.close();
  const folder = mkdtempSync(join(tmpdir(), 'espalier-edge-'));
  const path = join(folder, 'digits.compact');
  writeFileSync(path, bytes);
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  return { folder, path, bytes, model: await openModel(bytes), remove };
}

/** The model wherever an example imports one. */
export const modelAt = (path: string): Plugin => ({
  name: 'model',
  setup({ onResolve }) {
    onResolve({ filter: /\.compact$/ }, () => ({ path }));
  },
});

/** Compiled modules that the host gives, by the name `wasm`. */
export const moduleOfHost: Plugin = {
  name: 'wasm',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /\.wasm(\?module)?$/ }, () => ({ path: 'wasm', namespace: 'host' }));
    onLoad({ filter: /.*/, namespace: 'host' }, () => ({ contents: 'export default wasm' }));
  },
};

/** The minified text of a source, the runtime as it is published. */
export async function bundled(entry: string, options: BuildOptions): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, entry)],
    bundle: true,
    minify: true,
    write: false,
    // Of files that are not in the bundle in the end.
    external: ['node:*'],
    define: { ESPALIER_VERSION: '"0"' },
    target: 'es2022',
    logLevel: 'error',
    ...options,
    plugins: [withoutDense as Plugin, ...(options.plugins ?? [])],
  });
  return outputFiles![0]!.text;
}
