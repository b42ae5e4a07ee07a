/** Chromium, and a server of pages that run the built library in it. */
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LIBRARY = join(ROOT, 'dist/index.js');
const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** ESPALIER_CHROMIUM, or the first of the usual names on the path. */
export function findChromium(): string | undefined {
  const named = process.env.ESPALIER_CHROMIUM;
  if (named) return named;
  const folders = (process.env.PATH ?? '').split(delimiter);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
}

/** The text of an example. */
export const example = (file: string): string => readFileSync(join(ROOT, 'examples', file), 'utf8');

/** A program beside the examples, bundled for browsers with the built library; not one warning. */
export async function bundle(program: string): Promise<string> {
  if (!existsSync(LIBRARY)) throw new Error(`expected ${LIBRARY}, got none. Run npm run build.`);
  const { outputFiles, warnings } = await build({
    stdin: { contents: program, resolveDir: join(ROOT, 'examples'), loader: 'ts' },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    logLevel: 'silent',
    plugins: [
      {
        name: 'built-library',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^\.\.\/src\/index$/ }, () => ({ path: LIBRARY })),
      },
    ],
  });
  // esbuild says so of the imports between chunks, but not below node_modules, where users have them.
  const told = warnings.filter(
    ({ id, location }) => id !== 'ignored-bare-import' || !location?.file.includes('dist/'),
  );
  if (told.length > 0) throw new Error(told.map(({ text }) => text).join('\n'));
  return outputFiles[0]!.text;
}

const ISOLATED = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};
const HTML = '<!doctype html><script type="module" src="program.js"></script>';

/** Serves the scripts and a page in each of three settings; the address and a way to end. */
export async function serve(
  scripts: Readonly<Record<string, string>>,
): Promise<{ address: string; close(): void }> {
  const pages: Readonly<Record<string, Record<string, string>>> = {
    '/isolated': ISOLATED,
    '/plain': {},
    '/strict': {
      ...ISOLATED,
      'content-security-policy': "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'",
    },
  };
  const server = createServer(({ url = '' }, response) => {
    const [page, script] = [pages[url], scripts[url]];
    if (page) response.writeHead(200, { ...page, 'content-type': 'text/html' }).end(HTML);
    else if (script === undefined) response.writeHead(404).end();
    else response.writeHead(200, { ...ISOLATED, 'content-type': 'text/javascript' }).end(script);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { address: `http://127.0.0.1:${port}`, close: () => server.close() };
}
