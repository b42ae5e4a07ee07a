/** ONNX out: the checker's rules, the way back, and onnxruntime's opinion. */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { logits } from '../../src/domain/classifier';
import type { ModelProto } from '../../src/io/onnx/proto.gen';
import { readOnnx } from '../../src/io/onnx/reader';
import { decodeModel } from '../../src/io/onnx/wire';
import { WRITERS } from '../../src/io/onnx/write-layers';
import { writeOnnx } from '../../src/io/onnx/writer';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { layers } from '../../src/nn/layers/registry';
import { freeModel, type Model, modelFrom, nodeParams } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { expectClose } from '../helpers/close';
import { bits } from '../helpers/engine';
import {
  graphs,
  LAYER_CASES,
  modelOf,
  networkOf,
  randomWeights,
  titleOf,
} from '../helpers/networks';
import { installed, runOrt } from '../helpers/onnxruntime';
import { sampler } from '../helpers/random';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const random = sampler(17);

/** A model of the network with random weights, for as long as `use` runs. */
async function withModel<T>(network: Network, use: (model: Model) => T | Promise<T>): Promise<T> {
  const model = modelOf(engine, network, randomWeights(compile(network), random));
  try {
    return await use(model);
  } finally {
    freeModel(model);
  }
}

function outputs(model: Model, x: Float32Array): Float32Array {
  const { input: sample } = model.graph.network;
  const n = x.length / sample.reduce((a, b) => a * b, 1);
  return step(engine, () => logits(model, input(engine, x, [n, ...sample])).read());
}

const batchFor = ({ input: sample }: Network): Float32Array =>
  Float32Array.from(random.array([3, ...sample], 0, 1).data);

/** The rules of onnx.checker that apply to graphs without subgraphs. */
function check(model: ModelProto): void {
  expect(model.ir_version).toBe(8);
  const ops = new Set(model.graph!.node.map((n) => n.op_type));
  const version = ops.has('Gelu') ? 20 : ops.has('HardSwish') ? 14 : 13;
  expect(model.opset_import).toEqual([{ domain: '', version }]);
  const { node, initializer, input: inputs, output, value_info, name } = model.graph!;
  expect(name).not.toBe('');
  const known = new Set(initializer.map((t) => t.name));
  expect(known.size).toBe(initializer.length);
  for (const { name: of } of inputs) known.add(of);
  for (const { op_type, input: from, output: to } of node) {
    expect(op_type).not.toBe('');
    for (const value of from) expect(value === '' || known.has(value), value).toBe(true);
    for (const value of to) {
      expect(known.has(value), value).toBe(false);
      known.add(value);
    }
  }
  expect(new Set(node.map((n) => n.name)).size).toBe(node.length);
  for (const info of [...inputs, ...output, ...value_info]) {
    expect(known.has(info.name), info.name).toBe(true);
    expect(info.type?.tensor_type?.elem_type).toBe(1);
    const dims = info.type?.tensor_type?.shape?.dim ?? [];
    expect(dims[0]?.dim_param).toBe('batch');
    expect(dims.slice(1).every((d) => d.dim_value > 0)).toBe(true);
  }
  expect(inputs.map((i) => i.name)).toEqual(['input']);
  expect(output.map((o) => o.name)).toEqual(['logits']);
  for (const { dims, data_type, raw_data } of initializer) {
    const size = dims.reduce((a, b) => a * b, 1);
    expect(raw_data?.length).toBe(size * (data_type === 7 ? 8 : 4));
  }
}

/** Numbers by name, of input normalisations the scale and shift that certificates speak of. */
function canonical({ graph, params }: Model): Map<string, Float32Array> {
  const all = graph.nodes.flatMap((node) => {
    const own = nodeParams(node, params);
    const { layer, kind, options } = node;
    const normal = kind === 'normalise' && layer.role === 'affine';
    return step(engine, () =>
      Object.entries(normal ? layer.derive!(own, options) : own).map(
        ([local, t]) => [`${node.name}.${local}`, t.read()] as const,
      ),
    );
  });
  return new Map(all);
}

/** Written, checked and read again: the same weights to the bit, and the same outputs. */
function roundTrip(model: Model): void {
  const { network } = model.graph;
  const bytes = writeOnnx(model);
  expect(writeOnnx(model)).toEqual(bytes);
  check(decodeModel(bytes, 'written'));
  const { network: back, weights, notes } = readOnnx(bytes, 'written');
  expect(notes).toEqual([]);
  expect(back.name).toBe(network.name);
  expect(back.input).toEqual(network.input);
  // A normalisation comes back as the scale that its canonical form is, to the bit.
  const form = canonical(model);
  expect([...weights.keys()].sort()).toEqual([...form.keys()].sort());
  for (const [name, { values }] of weights)
    expect(bits(values), name).toEqual(bits(form.get(name)!));
  const again = modelFrom(engine, back, (name) => weights.get(name)!.values);
  const x = batchFor(network);
  expectClose(outputs(again, x), outputs(model, x), { rel: 1e-6, abs: 1e-7 });
  freeModel(again);
}

async function agrees(model: Model): Promise<void> {
  const { network } = model.graph;
  const x = batchFor(network);
  const expected = await runOrt(writeOnnx(model), x, [3, ...network.input]);
  expect(expected.dims).toEqual([3, ...model.graph.output]);
  const y = outputs(model, x);
  expected.data.forEach((value, i) => {
    expect(Math.abs(y[i]! - value) / (1 + Math.abs(value)), `output ${i}`).toBeLessThan(1e-4);
  });
}

describe('every layer', () => {
  it('has a writer', () => {
    expect(Object.keys(WRITERS).sort()).toEqual(Object.keys(layers).sort());
  });

  const cases = LAYER_CASES.map((c) => [titleOf(c), networkOf(c)] as const);
  it.each(cases)('%s comes back', (_, network) => withModel(network, roundTrip));

  it.skipIf(!installed).each(cases)('%s is the same in onnxruntime', (_, network) =>
    withModel(network, agrees),
  );
});

describe('random graphs', () => {
  it('come back with their weights and outputs', () =>
    fc.assert(
      fc.asyncProperty(graphs, ({ network }) => withModel(network, roundTrip)),
      { numRuns: 150 },
    ));

  it.skipIf(!installed)('are the same in onnxruntime', () =>
    fc.assert(
      fc.asyncProperty(graphs, ({ network }) => withModel(network, agrees)),
      { numRuns: 50 },
    ),
  );
});

const ZOO: readonly (readonly [string, Readonly<Record<string, unknown>>, readonly number[]])[] = [
  ['mlp', { hidden: [9, 7] }, [1, 4, 4]],
  ['cnn-small', {}, [1, 8, 8]],
  ['cnn-large', {}, [1, 8, 8]],
  ['vgg16', { width: 1 / 16 }, [3, 16, 16]],
  ['wrn', { depth: 10, width: 1 }, [3, 8, 8]],
];

describe('the zoo', () => {
  it.each(ZOO)('%s comes back', (name, options, shape) =>
    withModel(buildNetwork(name, options, shape, 10), roundTrip),
  );

  it.skipIf(!installed).each(ZOO)('%s is the same in onnxruntime', (name, options, shape) =>
    withModel(buildNetwork(name, options, shape, 10), agrees),
  );
});

describe('details', () => {
  const nodesOf = (bytes: Uint8Array) =>
    decodeModel(bytes, 'written').graph!.node.map((node) => node.op_type);

  it('leaves out dropout, and normalise where asked', async () => {
    const options = { mean: [0.1307], std: [0.3081] };
    const network = sequential(
      'n',
      [1, 2, 2],
      [['normalise', options], ['dropout'], ['flatten'], ['dense', { units: 2 }], ['dropout']],
    );
    await withModel(network, (model) => {
      const tail = ['Flatten', 'Gemm', 'Identity'];
      expect(nodesOf(writeOnnx(model))).toEqual(['Mul', 'Add', ...tail]);
      expect(nodesOf(writeOnnx(model, { normalise: false }))).toEqual(tail);
      const { nodes } = readOnnx(writeOnnx(model), 'n').network;
      expect(nodes.map(({ layer }) => layer)).toEqual(['scale', 'flatten', 'dense']);
    });
  });

  it('keeps options as they were', async () => {
    const network = sequential(
      'n',
      [2, 6, 6],
      [
        [
          'conv2d',
          { channels: 2, kernel: [2, 3], stride: [1, 2], padding: [0, 1, 1, 1], groups: 2 },
        ],
        ['batch-norm', { momentum: 0.1, epsilon: 1e-5 }],
        ['leaky-relu', { slope: 0.1 }],
        ['clip', { lo: -0.3, hi: null }],
        ['avg-pool', { kernel: 2, stride: 1, padding: [1, 0], countPadding: false }],
        ['flatten'],
        ['dense', { units: 3, bias: false }],
      ],
    );
    await withModel(network, (model) => {
      const { network: back } = readOnnx(writeOnnx(model), 'n');
      const options = (n: Network) => compile(n).nodes.map((node) => node.options);
      expect(options(back)).toEqual(options(network));
      expect(back.nodes.map(({ name }) => name)).toEqual(network.nodes.map(({ name }) => name));
    });
  });

  it('writes a node that is called as the output is', async () => {
    const network: Network = {
      name: '',
      input: [2],
      nodes: [
        { name: 'logits', layer: 'relu' },
        { name: 'logits-value', layer: 'tanh' },
      ],
    };
    await withModel(network, (model) => {
      check(decodeModel(writeOnnx(model), 'written'));
    });
  });

  it('lists all layers that ONNX lacks', async () => {
    await withModel(sequential('n', [2], [['relu'], ['tanh']]), (model) => {
      const nodes = model.graph.nodes.map((node) => ({ ...node, kind: `odd-${node.kind}` }));
      expect(() => writeOnnx({ ...model, graph: { ...model.graph, nodes } })).toThrow(
        'n.relu1: expected a layer ONNX has, got odd-relu.\nn.tanh1: expected',
      );
    });
  });
});
