/**
 * Runs a bench: bundles bench/main.ts by the bundler that tsup brings, and starts it with this Node,
 * its options and the arguments.
 *
 * With `--against DIR` it bundles the same benches of another checkout, built, for one interleaved run.
 *
 * usage: node scripts/bench.mjs [SUBJECT ...] [--against DIR] [options of bench/main.ts]
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const SELF = fileURLToPath(import.meta.url);
const ROOT = dirname(dirname(SELF));

/** Bundles a source (relative to the root) below node_modules, where packages are found; its path. */
export const bundle = (entry, name) => bundled({ entryPoints: [join(ROOT, entry)] }, name);

/** The subjects and the engine of another checkout, whose `npm run build:wasm` has run. */
export const bundleOther = (dir, name) =>
  bundled(
    {
      stdin: {
        contents: `export { subjects } from './bench/subjects';
          export { load } from './src/runtime/engine';
          export const root = ${JSON.stringify(resolve(dir))};`,
        resolveDir: resolve(dir),
      },
    },
    name,
  );

async function bundled(source, name) {
  const { build } = createRequire(createRequire(SELF).resolve('tsup'))('esbuild');
  const outfile = join(ROOT, 'node_modules/.cache/espalier-bench', `${name}.mjs`);
  await build({
    ...source,
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // benchmark.js finds its own parts at run time; asc is large.
    packages: 'external',
    logLevel: 'error',
  });
  return outfile;
}

if (process.argv[1] === SELF) {
  const given = process.argv.slice(2);
  const at = given.indexOf('--against') + 1;
  if (at > 0 && given[at]) given[at] = await bundleOther(given[at], 'against');
  process.chdir(ROOT);
  const script = await bundle('bench/main.ts', 'main');
  const argv = [...process.execArgv, script, ...given];
  process.exitCode = spawnSync(process.execPath, argv, { stdio: 'inherit' }).status ?? 1;
}
