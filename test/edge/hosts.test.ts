/** The examples of examples/edge in Node, in what a browser has, and as a function of AWS Lambda. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { type CompactModel, openModel } from '../../src/edge/index';
import { load } from '../../src/runtime/engine';
import { sizeOf } from '../../src/tensor/shape';
import { LAYER_CASES, networkOf, titleOf } from '../helpers/networks';
import { bundled, images, modelAt, site } from './bundle';
import { compactOf, imageOf } from './models';

const here = await site();
const { folder, bytes, model } = here;
const [image = []] = images;
afterAll(() => here.remove());

describe('the entry', () => {
  it('takes at most 40 kB, gzipped, with its kernels, and names no module of Node', async () => {
    const text = await bundled('src/edge/index.ts', { format: 'esm', platform: 'browser' });
    expect(gzipSync(text, { level: 9 }).length).toBeLessThan(40_000);
    expect(text).not.toMatch(/\b(import|require)\s*\(|\beval\b|new Function/);
  });
});

describe('the bundle', async () => {
  const text = await bundled('src/edge/index.ts', { format: 'esm', platform: 'browser' });
  const file = join(folder, 'runtime.mjs');
  writeFileSync(file, text);
  const { openModel: openBundled } = (await import(
    /* @vite-ignore */ pathToFileURL(file).href
  )) as typeof import('../../src/edge/index');
  const engine = await load({ threads: 1 });
  // A dropout alone has no canonical form.
  const cases = LAYER_CASES.filter(({ kind }) => kind !== 'dropout');

  it.each(cases.map((one) => [titleOf(one), networkOf(one)] as const))(
    'needs nothing that it lacks: %s',
    async (_, network) => {
      const bytes = await compactOf(engine, network, 0);
      const [ours, theirs] = [await openModel(bytes), await openBundled(bytes)];
      const xs = Array.from({ length: 16 }, (_, i) => imageOf(sizeOf(network.input), i));
      const answers = (model: CompactModel) => [
        model.predictBatch(xs),
        ...xs.slice(0, 2).map((x) => [model.predict(x), model.certify(x, 0.01), model.radius(x)]),
      ];
      expect(answers(theirs)).toEqual(answers(ours));
    },
  );
});

describe('examples/edge', () => {
  it('node.ts, in Node', async () => {
    const home = process.cwd();
    const printed: unknown[][] = [];
    const log = vi.spyOn(console, 'log').mockImplementation((...line) => void printed.push(line));
    process.chdir(folder);
    try {
      await import('../../examples/edge/node');
    } finally {
      process.chdir(home);
      log.mockRestore();
    }
    const grey = new Float32Array(64).fill(0.5);
    const [first, second] = printed as [unknown[], unknown[]];
    expect(first[0]).toBe(`a ${model.predict(grey).label}`);
    expect(second).toEqual(['certified up to', model.radius(grey)]);
  });

  it('browser.ts, with what a browser has and nothing of Node', async () => {
    const code = await bundled('examples/edge/browser.ts', { format: 'esm', platform: 'browser' });
    const listeners: ((event: { data: unknown }) => void)[] = [];
    const posted: unknown[] = [];
    const context = createContext({
      ...{ WebAssembly, TextDecoder, TextEncoder, atob, Uint8Array, Float32Array, ArrayBuffer },
      fetch: async (url: string) => new Response(url === 'digits.compact' ? bytes.slice() : null),
      addEventListener: (_: string, run: (event: { data: unknown }) => void) => listeners.push(run),
      postMessage: (message: unknown) => posted.push(message),
    });
    await runInContext(`(async () => { ${code} })()`, context);
    for (const run of listeners) run({ data: image });
    expect(posted).toEqual([{ label: model.predict(image).label, radius: model.radius(image) }]);
  });

  it('lambda.ts, bundled by esbuild', async () => {
    const code = await bundled('examples/edge/lambda.ts', {
      ...{ format: 'esm', platform: 'node', loader: { '.compact': 'binary' } },
      plugins: [modelAt(here.path)],
    });
    const file = join(folder, 'lambda.mjs');
    writeFileSync(file, code);
    const { handler } = await import(/* @vite-ignore */ pathToFileURL(file).href);
    const answers = await Promise.all(
      [0, 0.001, 0.5].map((eps) => handler({ body: JSON.stringify({ image, eps }) })),
    );
    [0, 0.001, 0.5].forEach((eps, i) => {
      const { label, certified } = model.certify(image, eps);
      expect(answers[i]).toEqual({ statusCode: 200, body: JSON.stringify({ label, certified }) });
    });
  });
});
