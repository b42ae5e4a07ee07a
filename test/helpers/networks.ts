/** Networks for tests: one case or more a layer, random graphs, and random weights for them. */
import * as fc from 'fast-check';
import {
  compile,
  type Graph,
  INPUT,
  type Network,
  type NodeSpec,
  paramSpecs,
} from '../../src/nn/graph';
import { type Model, modelFrom } from '../../src/nn/model';
import type { Engine } from '../../src/runtime/engine';
import type { Shape } from '../../src/tensor/shape';
import { type Nd, nd } from './nd';
import { type Sampler, sampler } from './random';
import type { Weights } from './reference-network';

export interface LayerCase {
  /** Key of the layer registry. */
  readonly kind: string;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly input: Shape;
  /** Inputs of a join. */
  readonly inputs?: number;
}

/** At least one case for every layer of the registry, with odd sizes. */
export const LAYER_CASES: readonly LayerCase[] = [
  { kind: 'dense', options: { units: 3 }, input: [17] },
  { kind: 'dense', options: { units: 17, bias: false }, input: [1] },
  { kind: 'conv2d', options: { channels: 3, kernel: 3, padding: 1 }, input: [2, 5, 4] },
  {
    kind: 'conv2d',
    options: {
      channels: 5,
      kernel: [2, 3],
      stride: [2, 1],
      padding: [1, 0, 0, 2],
      dilation: [1, 2],
    },
    input: [3, 5, 6],
  },
  { kind: 'conv2d', options: { channels: 1, kernel: 1, bias: false }, input: [1, 3, 3] },
  { kind: 'conv2d', options: { channels: 4, kernel: 3, padding: 1, groups: 2 }, input: [6, 3, 3] },
  { kind: 'conv2d', options: { channels: 3, kernel: 2, groups: 3, bias: false }, input: [3, 3, 4] },
  { kind: 'relu', input: [17] },
  { kind: 'leaky-relu', options: { slope: 0.25 }, input: [2, 3, 3] },
  { kind: 'leaky-relu', input: [17] },
  { kind: 'sigmoid', input: [17] },
  { kind: 'tanh', input: [2, 3, 3] },
  { kind: 'clip', options: { lo: 0, hi: 0.5 }, input: [2, 3, 3] },
  { kind: 'clip', options: { lo: -0.25 }, input: [17] },
  { kind: 'clip', options: { hi: 0.25 }, input: [17] },
  { kind: 'clip', input: [5] },
  { kind: 'abs', input: [2, 3, 3] },
  { kind: 'silu', input: [17] },
  { kind: 'gelu', input: [2, 3, 3] },
  { kind: 'gelu', options: { approximate: 'tanh' }, input: [17] },
  { kind: 'hard-swish', input: [17] },
  { kind: 'flatten', input: [2, 3, 3] },
  { kind: 'flatten', input: [5] },
  { kind: 'max-pool', options: { kernel: 2 }, input: [2, 4, 6] },
  { kind: 'max-pool', options: { kernel: 3, stride: 2, padding: 1 }, input: [1, 5, 5] },
  { kind: 'avg-pool', options: { kernel: 2 }, input: [2, 4, 6] },
  {
    kind: 'max-pool',
    options: { kernel: [2, 3], stride: [1, 2], padding: [0, 1, 1, 2] },
    input: [2, 4, 5],
  },
  { kind: 'avg-pool', options: { kernel: 3, stride: 1, padding: 2 }, input: [1, 3, 5] },
  {
    kind: 'avg-pool',
    options: { kernel: [3, 2], stride: [2, 1], padding: [2, 1, 0, 1] },
    input: [2, 4, 5],
  },
  {
    kind: 'avg-pool',
    options: { kernel: [3, 2], stride: [2, 1], padding: [2, 1, 0, 1], countPadding: false },
    input: [2, 4, 5],
  },
  { kind: 'reshape', options: { shape: [3, 4] }, input: [2, 3, 2] },
  { kind: 'reshape', options: { shape: [1, 2, 1, 3] }, input: [6] },
  { kind: 'permute', options: { order: [2, 0, 1] }, input: [2, 3, 4] },
  { kind: 'permute', options: { order: [1, 0] }, input: [2, 5] },
  { kind: 'select', options: { indices: [3, 0, 3] }, input: [5] },
  { kind: 'select', options: { axis: 1, indices: [2, 1] }, input: [2, 3, 4] },
  { kind: 'pad', options: { before: [0, 1, 0], after: [0, 2, 3] }, input: [2, 3, 2] },
  { kind: 'pad', options: { before: [2], after: [0] }, input: [5] },
  { kind: 'reduce', options: { axes: [1, 2], mean: true }, input: [2, 3, 4] },
  { kind: 'reduce', options: { axes: [0, 2] }, input: [2, 3, 4] },
  { kind: 'reduce', options: { axes: [0], mean: true }, input: [17] },
  { kind: 'batch-norm', input: [3, 3, 2] },
  { kind: 'batch-norm', options: { epsilon: 0.1 }, input: [17] },
  { kind: 'normalise', options: { mean: [0.25, 0.5], std: [0.5, 0.125] }, input: [2, 3, 3] },
  { kind: 'scale', input: [3, 2, 2] },
  { kind: 'scale', input: [5] },
  { kind: 'elementwise', input: [3, 2, 2] },
  { kind: 'elementwise', input: [5] },
  { kind: 'dropout', input: [5] },
  { kind: 'add', input: [2, 3, 3], inputs: 2 },
  { kind: 'add', input: [5], inputs: 4 },
  { kind: 'concat', input: [2, 3, 3], inputs: 2 },
  { kind: 'concat', input: [5], inputs: 3 },
  { kind: 'concat', options: { axis: 2 }, input: [2, 3, 3], inputs: 2 },
];

export const titleOf = ({ kind, options, input, inputs }: LayerCase): string =>
  [kind, `[${input}]`, options && JSON.stringify(options), inputs && `${inputs} inputs`]
    .filter(Boolean)
    .join(' ');

/** The layer as a network; the inputs of a join are different scalings of the one input. */
export function networkOf({ kind, options = {}, input, inputs }: LayerCase): Network {
  const name = titleOf({ kind, input }).replace(/\W+/g, '-');
  if (!inputs) return { name, input, nodes: [{ name: 'it', layer: kind, options }] };
  const branches = Array.from({ length: inputs }, (_, i) => `s${i}`);
  const scales = branches.map((s): NodeSpec => ({ name: s, layer: 'scale', inputs: [INPUT] }));
  return {
    name,
    input,
    nodes: [...scales, { name: 'it', layer: kind, options, inputs: branches }],
  };
}

/** Float32 weights of a size that keeps values near 1; statistics that are not the identity. */
export function randomWeights(graph: Graph, random: Sampler): Map<string, Nd> {
  const entries = [...paramSpecs(graph)].map(([name, spec]): [string, Nd] => {
    if (Array.isArray(spec.init)) return [name, nd(spec.shape, Float32Array.from(spec.init))];
    if (/\.(variance|std)$/.test(name)) return [name, random.array(spec.shape, 0.5, 2)];
    const size = spec.init === 'weight' ? 2 / Math.sqrt(spec.fanIn) : 1;
    return [name, random.away(spec.shape, 0.05 * size, size)];
  });
  return new Map(entries);
}

export const modelOf = (engine: Engine, network: Network, weights: Weights): Model =>
  modelFrom(engine, network, (name) => weights.get(name)!.data);

/** Each letter adds a block whose layers fit the shape reached so far. */
type Block = (name: string, from: string, shape: Shape, random: Sampler) => NodeSpec[];

const plain =
  (layer: string, options?: (shape: Shape, random: Sampler) => Record<string, unknown>): Block =>
  (name, from, shape, random) => [
    { name, layer, options: options?.(shape, random) ?? {}, inputs: [from] },
  ];
const spatial =
  (block: Block): Block =>
  (name, from, shape, random) =>
    shape.length === 3 && shape[1]! >= 2 && shape[2]! >= 2
      ? block(name, from, shape, random)
      : plain('relu')(name, from, shape, random);

const linear: Block = (name, from, shape, random) =>
  shape.length === 3
    ? plain('conv2d', () => ({ channels: shape[0], kernel: 3, padding: 1 }))(
        name,
        from,
        shape,
        random,
      )
    : plain('dense', () => ({ units: shape[0] }))(name, from, shape, random);

const BLOCKS: readonly Block[] = [
  linear,
  plain('relu'),
  plain('leaky-relu', (_, random) => ({ slope: random.real() })),
  plain('sigmoid'),
  plain('tanh'),
  plain('batch-norm'),
  plain('scale'),
  plain('dropout'),
  plain('normalise', ([c], random) => ({
    mean: Array.from({ length: c! }, () => random.real()),
    std: Array.from({ length: c! }, () => random.real(0.2, 2)),
  })),
  spatial(plain('conv2d', () => ({ channels: 3, kernel: 2, stride: 2, padding: 1 }))),
  spatial(plain('max-pool', () => ({ kernel: 2, stride: 1 }))),
  spatial(plain('avg-pool', () => ({ kernel: 2 }))),
  (name, from, shape, random) => [
    ...linear(`${name}-in`, from, shape, random),
    { name: `${name}-act`, layer: 'relu' },
    { name, layer: 'add', inputs: [`${name}-act`, from] },
  ],
  (name, from, shape, random) => [
    ...linear(`${name}-a`, from, shape, random),
    { name: `${name}-b`, layer: 'tanh', inputs: [from] },
    { name, layer: 'concat', inputs: [`${name}-a`, `${name}-b`] },
  ],
  (name, from, shape, random) => [
    ...linear(`${name}-a`, from, shape, random),
    { name: `${name}-b`, layer: 'scale', inputs: [from] },
    { name, layer: 'add', inputs: [`${name}-a`, from, `${name}-b`] },
  ],
  plain('clip', (_, random) => ({ lo: -random.real(), hi: random.real() })),
  plain('elementwise'),
  plain('permute', (shape) => ({ order: shape.length === 3 ? [0, 2, 1] : [0] })),
  plain('reshape', ([c, ...rest]) => ({ shape: [c, ...rest.toReversed()] })),
  plain('select', ([c], random) => ({
    indices: Array.from({ length: c! }, () => random.whole(c!)),
  })),
  plain('pad', (shape) => ({
    before: shape.map((_, i) => (i === shape.length - 1 ? 1 : 0)),
    after: shape.map(() => 0),
  })),
  plain('reduce', (shape, random) => ({ axes: [shape.length - 1], mean: random.real() < 0.5 })),
  spatial(plain('conv2d', ([c]) => ({ channels: 2 * c!, kernel: [2, 1], groups: c }))),
  spatial(
    plain('avg-pool', () => ({ kernel: [2, 1], stride: 1, padding: [1, 0], countPadding: false })),
  ),
  (name, from, shape) => [
    { name: `${name}-b`, layer: 'tanh', inputs: [from] },
    { name, layer: 'concat', options: { axis: shape.length - 1 }, inputs: [from, `${name}-b`] },
  ],
];

/** A network of the given blocks, then flatten and a dense layer of 4 classes. */
export function networkFrom(codes: readonly number[], input: Shape, seed: number): Network {
  const random = sampler(seed);
  let nodes: NodeSpec[] = [];
  let shape = input;
  for (const [i, code] of codes.entries()) {
    const from = nodes.at(-1)?.name ?? INPUT;
    const block = BLOCKS[code % BLOCKS.length]!;
    nodes = [...nodes, ...block(`n${i}`, from, shape, random)];
    shape = compile({ name: 'random', input, nodes }).output;
  }
  const tail: NodeSpec[] = shape.length > 1 ? [{ name: 'flat', layer: 'flatten' }] : [];
  nodes = [...nodes, ...tail, { name: 'out', layer: 'dense', options: { units: 4 } }];
  return { name: 'random', input, nodes };
}

/** Random small graphs over all blocks; shrinks to fewer blocks. */
export const graphs = fc
  .record({
    codes: fc.array(fc.nat(BLOCKS.length - 1), { minLength: 1, maxLength: 6 }),
    input: fc.constantFrom<Shape>([2, 4, 4], [1, 5, 3], [6]),
    seed: fc.nat(10_000),
  })
  .map(({ codes, input, seed }) => ({ network: networkFrom(codes, input, seed), seed }));
