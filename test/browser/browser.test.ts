/**
 * The built library in Chromium: trained weights are those of Node bit for bit, on one thread and two,
 * on the main thread of a page and in a Web Worker; where there can be no threads it says why.
 *
 * Needs a Chromium: on Debian `apt-get install chromium`, elsewhere its path in ESPALIER_CHROMIUM.
 */
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { train } from '../../examples/browser';
import type { Binary } from '../../src/runtime/engine';
import { binaries, bits } from '../helpers/engine';
import { bundle, example, findChromium, serve } from './page';

const executablePath = findChromium();
if (!executablePath) {
  if (process.env.CI === 'true') throw new Error('CI needs a Chromium: apt-get install chromium');
  console.warn('SKIPPED: the browser tests, as no Chromium was found (ESPALIER_CHROMIUM).');
}

const PROGRAM = `
  import { train } from './browser';
  import { trainInWorker } from './browser-page';
  import { readModelFile } from '../src/index';
  const bits = (t) => [...new Uint32Array(t.slice().buffer)];
  const plain = (r) => ({ ...r, weights: r.weights.map(bits) });
  globalThis.here = async (options) => plain(await train(options));
  globalThis.inWorker = async (options) => plain(await trainInWorker(options));
  globalThis.read = (path) => readModelFile({}, path).then(() => 'read', ({ message }) => message);`;

interface Trained {
  readonly binary: Binary;
  readonly threads: number;
  readonly reasons: readonly string[];
  readonly weights: readonly (readonly number[])[];
}

describe.skipIf(!executablePath)('in Chromium', () => {
  let browser: Browser;
  let server: Awaited<ReturnType<typeof serve>>;
  const expected = new Map<Binary, number[][]>();
  beforeAll(async () => {
    const [program, worker] = [await bundle(PROGRAM), await bundle(example('browser-worker.ts'))];
    server = await serve({ '/program.js': program, '/worker.js': worker });
    browser = await chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox'] });
    for (const binary of binaries()) {
      const { weights } = await train({ binary, threads: 1 });
      expected.set(
        binary,
        weights.map((w) => [...bits(w)]),
      );
    }
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  /** Evaluates an expression in a fresh page; what the page logs as an error is one. */
  async function inPage<T>(path: string, expression: string): Promise<T> {
    const page = await browser.newPage();
    try {
      await page.goto(server.address + path);
      await page.waitForFunction('globalThis.here');
      return await page.evaluate<T>(expression);
    } finally {
      await page.close();
    }
  }

  describe.each(binaries())('%s', (binary) => {
    it.each([
      ['on one thread', 1, 'here({ threads: 1, binary })'],
      ['on two', 2, 'here({ threads: 2, binary })'],
      // So the page takes no rows back, but waits for its workers.
      [
        'on two, rows shared for sure',
        2,
        'here({ threads: 2, binary }, Atomics.compareExchange = () => 0)',
      ],
      ['in a Web Worker', 1, 'inWorker({ threads: 1, binary })'],
      ['in a Web Worker on three', 3, 'inWorker({ threads: 3, binary })'],
    ])('trains to the bits of Node %s', async (_, threads, call) => {
      const found = await inPage<Trained>(
        '/isolated',
        call.replace('binary', `binary: '${binary}'`),
      );
      expect(found).toMatchObject({ binary, threads, reasons: [] });
      expect(found.weights.map((w) => w.length)).toEqual([144, 16, 16000, 10]);
      expect(found.weights).toEqual(expected.get(binary));
    });
  });

  it.each([
    ['/plain', 'the page is not cross-origin isolated'],
    ['/strict', 'the content security policy must allow worker-src blob:'],
  ])('says why there is one thread at %s', async (path, reason) => {
    const call = `here({ threads: 2, binary: 'simd' })`;
    const { threads, reasons, weights } = await inPage<Trained>(path, call);
    expect(threads).toBe(1);
    expect(reasons).toEqual([expect.stringMatching(/^1 thread: /)]);
    expect(reasons[0]).toContain(reason);
    expect(weights).toEqual(expected.get('simd'));
  });

  it('says that files need Node', async () => {
    expect(await inPage('/isolated', `read('model.onnx')`)).toMatch(
      /expected a runtime with node:[a-z/]+, got one without/,
    );
  });
});
