/** One door: every kind of model file into an engine, and what is said where one does not open. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { logits } from '../../src/domain/classifier';
import { saveModel } from '../../src/io/model';
import { writeNpz } from '../../src/io/npz';
import { decodeModel, encodeModel } from '../../src/io/onnx/wire';
import { writeOnnx } from '../../src/io/onnx/writer';
import { type ReadOptions, readModelFile, readRecord } from '../../src/io/read';
import { encode, type TensorInput } from '../../src/io/safetensors';
import { createModel, type Model } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { bits } from '../helpers/engine';
import { torchFile } from '../helpers/torch-files';

const NET = buildNetwork('cnn-small', {}, [1, 8, 8], 4);
const ZOO = { network: 'cnn-small', input: [1, 8, 8] } satisfies ReadOptions;
let engine: Engine;
let model: Model;
let folder: string;
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  engine = await load({ threads: 1 });
  model = createModel(engine, NET, { seed: 3 });
  folder = await mkdtemp(join(tmpdir(), 'espalier-read-'));
});
afterAll(async () => {
  engine.close();
  await rm(folder, { recursive: true, force: true });
});

/** The weights under other names, as safetensors. */
function plain(rename: (name: string) => string): Uint8Array {
  const tensors = [...model.params].map(([name, t]): [string, TensorInput] => [
    rename(name),
    { dtype: 'F32', shape: t.shape, data: t.read() },
  ]);
  return encode(new Map(tensors));
}

const same = (name: string): string => name;
const numbered = (name: string): string =>
  name.replace(
    /^\w+\./,
    (layer) => `net.${['conv2d1.', 'conv2d2.', 'dense1.', 'dense2.'].indexOf(layer) * 5}.`,
  );

function equalWeights(other: Model): void {
  for (const [name, t] of model.params)
    expect(bits(other.params.get(name)!.read()), name).toEqual(bits(t.read()));
}

const images = Float32Array.from({ length: 2 * 64 }, (_, i) => ((i * 37) % 101) / 100);
const outputs = (m: Model, x = images): Float32Array =>
  step(engine, () => logits(m, input(engine, x, [2, ...m.graph.network.input])).read());

async function refusal(name: string, options: ReadOptions = {}): Promise<string> {
  return readModelFile(engine, at(name), options).then(
    () => expect.fail('opened'),
    (error: Error) => error.message,
  );
}

/** The ONNX file with its initialisers' bytes moved to another file; returns both. */
function withDataBeside(
  bytes: Uint8Array,
  location: string,
): { file: Uint8Array; data: Uint8Array } {
  const proto = decodeModel(bytes, 'm.onnx');
  const graph = proto.graph!;
  const parts: Uint8Array[] = [];
  let offset = 0;
  const initializer = graph.initializer.map((tensor) => {
    const { raw_data = new Uint8Array(0), ...rest } = tensor;
    parts.push(raw_data);
    const entries = { location, offset: String(offset), length: String(raw_data.length) };
    offset += raw_data.length;
    const external_data = Object.entries(entries).map(([key, value]) => ({ key, value }));
    return { ...rest, external_data, data_location: 1 };
  });
  const file = encodeModel({ ...proto, graph: { ...graph, initializer } });
  return { file, data: new Uint8Array(Buffer.concat(parts)) };
}

describe('reads', () => {
  it('our own, with what it remembers', async () => {
    await saveModel(at('own.safetensors'), model, { config: { seed: 3 } });
    const found = await readModelFile(engine, at('own.safetensors'));
    expect(found).toMatchObject({
      format: 'espalier',
      notes: [],
      metadata: { config: { seed: 3 } },
    });
    equalWeights(found.model);
    expect(await readRecord(at('own.safetensors'))).toMatchObject({ config: { seed: 3 } });
  });

  it('plain safetensors, of the same names or of others, whatever the file is called', async () => {
    await writeFile(at('named.bin'), plain(same));
    const named = await readModelFile(engine, at('named.bin'), ZOO);
    expect(named).toMatchObject({ format: 'safetensors', notes: [], metadata: {} });
    equalWeights(named.model);
    await writeFile(at('numbered.onnx'), plain(numbered));
    expect(await refusal('numbered.onnx', ZOO)).toMatch(
      /got others, which fit by order and shape alone:\n {2}conv2d1\.weight.*<- net\.0\.weight/,
    );
    const other = await readModelFile(engine, at('numbered.onnx'), { ...ZOO, byOrder: true });
    expect(other.notes[0]).toContain('conv2d2 <- net.5, dense1 <- net.10');
    equalWeights(other.model);
    expect(await readRecord(at('named.bin'))).toEqual({});
  });

  it('NumPy archives', async () => {
    const arrays = [...model.params].map(
      ([name, t]) => [name, { values: t.read(), shape: t.shape }] as const,
    );
    await writeFile(at('w.npz'), writeNpz(new Map(arrays)));
    const found = await readModelFile(engine, at('w.npz'), { network: NET });
    expect(found.format).toBe('npz');
    equalWeights(found.model);
  });

  it('modules of PyTorch that were pickled whole, and their weights into another network', async () => {
    await writeFile(at('module.pt'), torchFile('moduleZip'));
    const whole = await readModelFile(engine, at('module.pt'), { input: [1, 2, 2] });
    expect(whole).toMatchObject({ format: 'torch', notes: [] });
    expect(whole.model.graph.nodes.map(({ kind }) => kind)).toEqual([
      'conv2d',
      'batch-norm',
      'relu',
      'flatten',
      'dense',
    ]);
    const { network } = whole.model.graph;
    const nodes = network.nodes.map((node) => ({ ...node, name: `other${node.name}` }));
    const renamed = { network: { ...network, nodes }, byOrder: true };
    const named = await readModelFile(engine, at('module.pt'), renamed);
    expect(named.notes).toHaveLength(1);
    const weights = ({ params }: Model) => [...params.values()].map((t) => t.read());
    expect(weights(named.model)).toEqual(weights(whole.model));
    expect(await refusal('module.pt')).toMatch(/shape of one input.*3,32,32/);
  });

  it('ONNX, also with weights in a file beside it', async () => {
    const bytes = writeOnnx(model);
    await writeFile(at('m.onnx'), bytes);
    const inside = await readModelFile(engine, at('m.onnx'));
    expect(inside).toMatchObject({ format: 'onnx', metadata: {} });
    expect(outputs(inside.model)).toEqual(outputs(model));
    const { file, data } = withDataBeside(bytes, 'weights.bin');
    await writeFile(at('outside.onnx'), file);
    expect(await refusal('outside.onnx')).toMatch(
      /external data weights\.bin beside it, got no such file/,
    );
    await writeFile(at('weights.bin'), data);
    const outside = await readModelFile(engine, at('outside.onnx'));
    expect(outputs(outside.model)).toEqual(outputs(model));
    expect(await refusal('m.onnx', ZOO)).toContain('expected no network');
  });

  it('a network from a JSON file, named or beside the weights', async () => {
    await writeFile(at('net.json'), JSON.stringify(NET));
    await writeFile(at('w1.safetensors'), plain(same));
    equalWeights(
      (await readModelFile(engine, at('w1.safetensors'), { network: at('net.json') })).model,
    );
    await writeFile(at('w1.json'), JSON.stringify(NET));
    equalWeights((await readModelFile(engine, at('w1.safetensors'))).model);
  });

  it('with the normalisation in front, of our own files and of others', async () => {
    const normalise = { mean: [0.25], std: [0.5] };
    const shifted = images.map((x) => Math.fround(Math.fround(x * 2) - 0.5));
    for (const [name, options] of [
      ['own.safetensors', {}],
      ['named.bin', ZOO],
    ] as const) {
      const { model: normed } = await readModelFile(engine, at(name), { ...options, normalise });
      expect(normed.graph.nodes[0]!.kind).toBe('normalise');
      const want = outputs(model, shifted);
      outputs(normed).forEach((z, i) => {
        expect(z).toBeCloseTo(want[i]!, 4);
      });
    }
  });
});

describe('refuses', () => {
  it('a file of an unknown kind, saying what stands at its start', async () => {
    await writeFile(at('notes.safetensors'), 'Dear diary, ...');
    expect(await refusal('notes.safetensors')).toMatch(
      /notes\.safetensors: expected a model: safetensors, ONNX, PyTorch.*got a file that starts with 44 65 61 72 .*\("Dear diary, \.\.\."\)/,
    );
    await writeFile(at('none'), '');
    expect(await refusal('none')).toContain('got an empty file');
    expect(await refusal('missing')).toContain('ENOENT');
    expect(await refusal('.')).toContain('a folder');
  });

  it('weights without a network, naming their tensors and how to go on', async () => {
    const said = await refusal('named.bin');
    expect(said).toContain('conv2d1.bias [16]');
    expect(said).toMatch(/network cnn-small, input 1,28,28.*named\.json/);
    expect(await refusal('named.bin', { network: 'cnn-small' })).toContain(
      'input shape of cnn-small',
    );
    expect(await refusal('named.bin', { ...ZOO, network: 'cnn-smal' })).toContain(
      'Did you mean "cnn-small"?',
    );
    await writeFile(at('bad.json'), '{"name": ');
    expect(await refusal('named.bin', { network: at('bad.json') })).toContain('a network as JSON');
    await writeFile(at('bad.json'), '{"name": "x"}');
    expect(await refusal('named.bin', { network: at('bad.json') })).toContain(
      'an input shape and nodes',
    );
  });

  it('weights of another network, side by side', async () => {
    expect(await refusal('numbered.onnx', { network: 'mlp', input: [64] })).toMatch(
      /6 weights of mlp, got 8 tensors: 6 missing, 8 left over.*(\n.*)*dense1\.weight \[100, 64\] +missing; nearest: net\.10\.weight \[100, 128\]/,
    );
  });

  it('a network beside a file that holds its own', async () => {
    expect(await refusal('own.safetensors', ZOO)).toContain('expected no network');
  });

  it('a normalisation of another number of channels', async () => {
    const normalise = { mean: [0.1, 0.2], std: [1] };
    expect(await refusal('own.safetensors', { normalise })).toContain('each of 1 channels');
  });

  it('a damaged file, by its reader', async () => {
    await writeFile(at('cut.safetensors'), plain(same).subarray(0, 500));
    expect(await refusal('cut.safetensors', ZOO)).toMatch(/cut\.safetensors.*expected/);
    const archive = writeNpz(new Map([['a', { values: new Float32Array(4), shape: [4] }]]));
    await writeFile(at('cut.npz'), archive.subarray(0, 80));
    expect(await refusal('cut.npz', ZOO)).toContain('cut.npz');
  });

  it('and leaves no memory behind', async () => {
    const before = engine.info().memory.usedBytes;
    await refusal('cut.safetensors', ZOO);
    await refusal('numbered.onnx', { network: 'mlp', input: [64] });
    expect(engine.info().memory.usedBytes).toBe(before);
  });
});
