/** `load()`: its options, its reasons, and engines that share nothing. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SIMD_BASE64 } from '../../src/runtime/binaries.gen';
import { type Engine, type LoadOptions, load, supports } from '../../src/runtime/engine';
import { decodeBase64 } from '../../src/runtime/wasm';
import { sum } from '../../src/tensor/ops/core';
import { filled, item, keep, step } from '../../src/tensor/tensor';

const simd = () => decodeBase64(SIMD_BASE64);
const works = (engine: Engine): number => step(engine, () => item(sum(filled(engine, [100], 0.5))));

async function using(options: LoadOptions, check: (engine: Engine) => void): Promise<void> {
  const engine = await load(options);
  try {
    check(engine);
  } finally {
    engine.close();
  }
}

describe('load', () => {
  it.each([
    [{ threads: 0 }, 'load: threads: expected a whole number in [1, 64]'],
    [{ threads: 1.5 }, 'got 1.5'],
    [{ threads: 65 }, 'got 65'],
    [{ threads: Number.NaN }, 'got NaN'],
    [{ binary: 'fast' as never }, 'load: binary'],
    [{ maxMemory: 1000 }, 'load: maxMemory'],
    [{ maxMemory: 2 ** 33 }, 'load: maxMemory'],
  ])('refuses %o', async (options, message) => {
    await expect(load({ threads: 1, ...options })).rejects.toThrow(message);
  });

  it('says what it found', async () => {
    await using({ threads: 2, maxMemory: 64 << 20 }, (engine) => {
      const info = engine.info();
      expect(info.threads).toBe(2);
      expect(info.memory.shared).toBe(true);
      expect(info.memory.maxBytes).toBe(64 << 20);
      expect(works(engine)).toBe(50);
      expect(engine.info().memory.usedBytes).toBeGreaterThan(0);
      expect(engine.info().memory.scratchHighWater).toBeGreaterThan(0);
    });
  });

  it('gives a reason for every wish it could not fulfil', async () => {
    const module = new WebAssembly.Module(simd());
    await using({ threads: 3, module }, (engine) => {
      expect(engine.threads).toBe(1);
      expect(engine.info().reasons).toEqual([
        '1 thread: a compiled module cannot be given a shared memory',
      ]);
      expect(works(engine)).toBe(50);
    });
    if (supports('relaxed')) return;
    await using({ threads: 1 }, (engine) => {
      expect(engine.info().reasons).toEqual([
        expect.stringContaining('cannot compile relaxed SIMD'),
      ]);
    });
    await expect(load({ binary: 'relaxed' })).rejects.toThrow('--experimental-wasm-relaxed-simd');
  });

  it('takes bytes, and refuses bytes without the kernels', async () => {
    await using({ threads: 2, bytes: simd() }, (engine) => expect(works(engine)).toBe(50));
    const empty = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    await expect(load({ threads: 1, bytes: empty })).rejects.toThrow('exports the kernel');
    const cut = new Uint8Array([...empty, 2]);
    await expect(load({ threads: 2, bytes: cut })).rejects.toThrow(
      'load: expected a module that this runtime can compile, got 9 other bytes',
    );
  });

  it('goes on with one thread where there is no SharedArrayBuffer', async () => {
    const saved = globalThis.SharedArrayBuffer;
    Reflect.deleteProperty(globalThis, 'SharedArrayBuffer');
    try {
      await using({ threads: 2, binary: 'simd' }, (engine) => {
        expect(engine.threads).toBe(1);
        expect(engine.info().reasons).toEqual(['1 thread: this runtime has no SharedArrayBuffer']);
      });
    } finally {
      Object.defineProperty(globalThis, 'SharedArrayBuffer', {
        value: saved,
        configurable: true,
        writable: true,
      });
    }
  });
});

describe('load from a url', () => {
  let server: Server;
  let base: string;
  beforeAll(async () => {
    server = createServer((request, response) => {
      const found = request.url === '/simd.wasm';
      response.writeHead(found ? 200 : 404, {
        'content-type': found ? 'application/wasm' : 'text/html',
      });
      response.end(found ? simd() : '<p>nothing here</p>');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server.close());

  it('fetches the module', async () => {
    await using({ threads: 1, url: `${base}/simd.wasm` }, (engine) =>
      expect(works(engine)).toBe(50),
    );
  });

  it('says what came instead of a module', async () => {
    await expect(load({ threads: 1, url: `${base}/other` })).rejects.toThrow(
      /other: expected a WebAssembly module, got text\/html, status 404/,
    );
  });
});

describe('Engine', () => {
  it('refuses to run once closed, and closes twice without harm', async () => {
    const engine = await load({ threads: 2 });
    expect(works(engine)).toBe(50);
    engine.close();
    engine.close();
    expect(() => works(engine)).toThrow('engine: expected an open engine, got a closed one');
  });

  it('lives beside others, each with its own memory', async () => {
    const [a, b] = [await load({ threads: 2 }), await load({ threads: 1 })];
    const first = keep(a, [3], [1, 2, 3]);
    const second = keep(b, [3], [4, 5, 6]);
    expect([...first.read()]).toEqual([1, 2, 3]);
    expect([...second.read()]).toEqual([4, 5, 6]);
    step(a, () => {
      expect(works(b)).toBe(50);
      expect(b.arena.epoch).toBeUndefined();
    });
    a.close();
    expect(works(b)).toBe(50);
    expect([...second.read()]).toEqual([4, 5, 6]);
    b.close();
  });
});
