/** The examples of examples/edge for workers, in the VM of edge-light and in workerd. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EdgeVM } from '@edge-runtime/vm';
import { Miniflare } from 'miniflare';
import { afterAll, describe, expect, it } from 'vitest';
import { bundled, images, kernels, moduleOfHost, site } from './bundle';

const here = await site();
const { bytes, model } = here;
const [image = []] = images;
afterAll(() => here.remove());

describe('examples/edge', () => {
  it('edge-light.ts, in the VM of the edge runtime', async () => {
    const code = await bundled('examples/edge/edge-light.ts', {
      ...{ format: 'iife', globalName: 'example', platform: 'browser', plugins: [moduleOfHost] },
    });
    const server = createServer((_, response) => response.end(bytes)).listen(0);
    const wasm = await WebAssembly.compile(kernels());
    try {
      const vm = new EdgeVM({ extend: (context) => Object.assign(context, { wasm }) });
      vm.evaluate(`${code}; addEventListener('fetch', (event) =>
        event.respondWith(example.default(event.request)))`);
      const { port } = server.address() as AddressInfo;
      const response = await vm.dispatchFetch(`http://localhost:${port}/`, {
        method: 'POST',
        body: JSON.stringify(images),
      });
      expect(await response.json()).toEqual(images.map((one) => model.predict(one).label));
    } finally {
      server.close();
    }
  });

  it('workerd.ts, in miniflare', async () => {
    const code = await bundled('examples/edge/workerd.ts', {
      ...{ format: 'esm', platform: 'browser' },
      external: ['node:*', '*.wasm', '*.compact'],
    });
    const script = code.replaceAll('../../build/runtime.wasm', './runtime.wasm');
    const flare = new Miniflare({
      compatibilityDate: '2025-10-01',
      modules: [
        { type: 'ESModule', path: 'worker.mjs', contents: script },
        {
          type: 'CompiledWasm',
          path: 'runtime.wasm',
          contents: kernels(),
        },
        { type: 'Data', path: 'digits.compact', contents: new Uint8Array(bytes) },
      ],
    });
    try {
      const ask = (body: object) =>
        flare.dispatchFetch('http://localhost/', { method: 'POST', body: JSON.stringify(body) });
      expect(await (await ask({ image, eps: 0.001 })).json()).toEqual({
        ...model.certify(image, 0.001),
        radius: model.radius(image),
      });
      const refused = await ask({ image: image.slice(1), eps: 0.001 });
      expect(refused.status).toBe(400);
      expect(await refused.json()).toEqual({ error: expect.stringContaining('64 numbers') });
      const many = await Promise.all(images.map((one) => ask({ image: one, eps: 0.001 })));
      const labels = await Promise.all(
        many.map(async (r) => ((await r.json()) as { label: number }).label),
      );
      expect(labels).toEqual(images.map((one) => model.predict(one).label));
    } finally {
      await flare.dispose();
    }
  });
});
