/** Models as files: exact round trips, and a sentence naming the file for everything that is wrong. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EspalierError } from '../../src/errors';
import { loadModel, loadTensors, readMetadata, saveModel, saveTensors } from '../../src/io/model';
import { decode, encode } from '../../src/io/safetensors';
import type { Network } from '../../src/nn/graph';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { buildNetwork, zoo } from '../../src/nn/zoo';
import { type Engine, load } from '../../src/runtime/engine';
import { keep } from '../../src/tensor/tensor';
import { bits } from '../helpers/engine';
import { graphs, LAYER_CASES, networkOf, titleOf } from '../helpers/networks';
import { inTemporaryFolder } from '../recipe/temporary';
import { TOY_NETWORK } from '../train/toy';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const used = (): number => {
  engine.arena.trim();
  return engine.memory.usedBytes;
};

const sameBits = (a: Float32Array, b: Float32Array): boolean =>
  Buffer.compare(new Uint8Array(a.buffer), new Uint8Array(b.buffer)) === 0;

async function expectRoundTrip(network: Network): Promise<void> {
  await inTemporaryFolder(async (file) => {
    const model = createModel(engine, network, { seed: 4 });
    await saveModel(file('m.safetensors'), model, { note: ['kept', 1.5, null] });
    const again = await loadModel(engine, file('m.safetensors'));
    expect(again.graph.network).toEqual(JSON.parse(JSON.stringify(network)));
    expect([...again.params.keys()]).toEqual([...model.params.keys()]);
    for (const [name, t] of model.params) {
      expect(again.params.get(name)!.shape).toEqual(t.shape);
      expect(sameBits(again.params.get(name)!.read(), t.read()), name).toBe(true);
    }
    expect((await readMetadata(file('m.safetensors'))).note).toEqual(['kept', 1.5, null]);
    await saveModel(file('n.safetensors'), again, { note: ['kept', 1.5, null] });
    const files = [await readFile(file('n.safetensors')), await readFile(file('m.safetensors'))];
    expect(Buffer.compare(files[0]!, files[1]!)).toBe(0);
    freeModel(model);
    freeModel(again);
  });
}

describe('a model comes back bit for bit', () => {
  it.each(LAYER_CASES.map((one) => [titleOf(one), one] as const))('%s', async (_, one) => {
    await expectRoundTrip(networkOf(one));
  });

  it.each(Object.keys(zoo))('%s', async (name) => {
    const options =
      name === 'vgg16' ? { width: 1 / 32 } : name === 'wrn' ? { depth: 10, width: 1 } : {};
    await expectRoundTrip(buildNetwork(name, options, [1, 16, 16], 10));
  });

  it('of any graph', async () => {
    const property = fc.asyncProperty(graphs, ({ network }) => expectRoundTrip(network));
    await fc.assert(property, { numRuns: 25 });
  });

  it('with values that are no ordinary numbers', async () => {
    await inTemporaryFolder(async (file) => {
      const odd = [Number.NaN, Number.POSITIVE_INFINITY, -0, 2 ** -149, 3.4e38, 0.1];
      const t = keep(engine, [2, 3], odd);
      await saveTensors(file('t'), new Map([['odd', t]]), { network: TOY_NETWORK });
      const { shape, values } = (await loadTensors(file('t'))).tensor('odd');
      expect(shape).toEqual([2, 3]);
      expect(bits(values)).toEqual(bits(Float32Array.from(odd)));
      t.free();
    });
  });
});

describe('files that are wrong', () => {
  let good: Uint8Array;
  let model: Model;
  beforeAll(async () => {
    model = createModel(engine, TOY_NETWORK, { seed: 1 });
    await inTemporaryFolder(async (file) => {
      await saveModel(file('m'), model);
      good = new Uint8Array(await readFile(file('m')));
    });
  });

  /** The message of the error that loading `bytes` ends in; it names the file and keeps no memory. */
  async function messageOf(bytes: Uint8Array): Promise<string> {
    let message = '';
    await inTemporaryFolder(async (file) => {
      const path = file('bad.safetensors');
      await writeFile(path, bytes);
      const before = used();
      const error = await loadModel(engine, path).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(EspalierError);
      for (const line of (error as Error).message.split('\n')) expect(line).toContain(path);
      message = (error as Error).message.replaceAll(path, 'FILE');
      expect(used()).toBe(before);
    });
    return message;
  }

  /** The good file with other metadata or tensors. */
  function changed(
    change: (parts: { metadata: Record<string, string>; tensors: Map<string, never> }) => void,
  ): Uint8Array {
    const { tensors, metadata } = decode(good, 'good');
    const parts = { metadata: { ...metadata }, tensors: new Map(tensors) as Map<string, never> };
    change(parts);
    return encode(parts.tensors, parts.metadata);
  }
  const withNetwork = (value: unknown): Uint8Array =>
    changed(({ metadata }) => {
      metadata.network = JSON.stringify(value);
    });

  it('are missing, or a folder', async () => {
    await inTemporaryFolder(async (file) => {
      await expect(loadModel(engine, file('none'))).rejects.toThrow(
        /none: expected a readable file/,
      );
      await mkdir(file('folder'));
      await expect(loadModel(engine, file('folder'))).rejects.toThrow(
        /a regular file, got a folder/,
      );
    });
  });

  it('are cut short anywhere', async () => {
    for (const length of [0, 1, 7, 8, 9, 200, good.length - 4, good.length - 1])
      await messageOf(good.subarray(0, length));
  });

  it('are of another program, or a later format', async () => {
    expect(await messageOf(changed(({ metadata }) => delete metadata.format))).toMatch(
      /FILE: expected an espalier model.*without that mark/,
    );
    const later = changed(({ metadata }) => {
      metadata.format = 'espalier/99';
    });
    expect(await messageOf(later)).toMatch(/format espalier\/99/);
    const torn = changed(({ metadata }) => {
      metadata.network = '{';
    });
    expect(await messageOf(torn)).toMatch(/JSON in the metadata network/);
  });

  it('lack tensors, hold others, or hold them in another shape: all said at once', async () => {
    const message = await messageOf(
      changed(({ tensors }) => {
        tensors.delete('fc.bias');
        tensors.set('extra.weight', tensors.get('norm.mean')!);
        tensors.set('fc.weight', tensors.get('norm.mean')!);
      }),
    );
    expect(message).toMatch(/expected a tensor fc\.bias, got none/);
    expect(message).toMatch(/got extra\.weight/);
    expect(message).toMatch(/fc\.weight: expected shape \[4,64\], got \[4\]/);
    expect(message.split('\n')).toHaveLength(3);
  });

  it('hold no network', async () => {
    const node = { name: 'a', layer: 'relu' };
    const networks: unknown[] = [
      ...[null, 1, 'mlp', [], {}, { name: 'x' }],
      { name: 'x', input: [], nodes: [node] },
      { name: 'x', input: [0], nodes: [node] },
      { name: 'x', input: [1e300], nodes: [node] },
      { name: 'x', input: '12', nodes: [node] },
      { name: 'x', input: [2], nodes: [] },
      { name: 'x', input: [2], nodes: [null] },
      { name: 'x', input: [2], nodes: [{ ...node, layer: 'rellu' }] },
      { name: 'x', input: [2], nodes: [{ ...node, layer: 'constructor' }] },
      { name: 'x', input: [2], nodes: [{ ...node, name: 'a.b' }] },
      { name: 'x', input: [2], nodes: [node, node] },
      { name: 'x', input: [2], nodes: [{ ...node, inputs: ['b'] }] },
      { name: 'x', input: [2], nodes: [{ ...node, inputs: [] }] },
      { name: 'x', input: [2], nodes: [{ ...node, inputs: ['input', 'input'] }] },
      { name: 'x', input: [2], nodes: [{ ...node, inputs: 'input' }] },
      { name: 'x', input: [2], nodes: [{ ...node, options: { slope: 1 } }] },
      { name: 'x', input: [2], nodes: [{ ...node, options: 'none' }] },
      {
        name: 'x',
        input: [2],
        nodes: [{ name: 'a', layer: 'dense', options: { units: 2 ** 53 } }],
      },
      {
        name: 'x',
        input: [2],
        nodes: [{ name: 'a', layer: 'conv2d', options: { channels: 1, kernel: 3 } }],
      },
      {
        name: 'x',
        input: [1, 2, 2],
        nodes: [{ name: 'a', layer: 'conv2d', options: { channels: 1, kernel: 3 } }],
      },
      { name: 'x', input: [2], nodes: [{ name: 'a', layer: 'add', inputs: [] }] },
      {
        name: 'x',
        input: [2],
        nodes: [{ name: '__proto__', layer: 'dense', options: { units: 1 } }],
      },
    ];
    for (const network of networks) await messageOf(withNetwork(network));
  });

  it('are damaged at random', async () => {
    const property = fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      async (flips) => {
        const bytes = good.slice();
        for (const [at, value] of flips) bytes[at] = value;
        await inTemporaryFolder(async (file) => {
          await writeFile(file('m'), bytes);
          const before = used();
          const result = await loadModel(engine, file('m')).catch((e: unknown) => e);
          // Where only weights changed there is nothing to notice.
          if (result instanceof Error) expect(result).toBeInstanceOf(EspalierError);
          else freeModel(result as Model);
          expect(used()).toBe(before);
        });
      },
    );
    await fc.assert(property, { numRuns: 150 });
  });
});
