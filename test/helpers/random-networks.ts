/**
 * Networks at random over every layer of the registry, with every option a layer has: strides, paddings
 * of each side, dilations, groups, 1 x 1 planes, several readers, inputs of any rank. Layers are drawn
 * alike; one that does not fit where it would stand is left out.
 */
import { compile, INPUT, type Network, type NodeSpec } from '../../src/nn/graph';
import { type Shape, sameShape, sizeOf } from '../../src/tensor/shape';
import type { Nd } from './nd';
import { type Sampler, sampler } from './random';

type Options = Readonly<Record<string, unknown>>;
type Draw = (shape: Shape, random: Sampler) => Options;

const several = (count: number, draw: () => number): number[] =>
  Array.from({ length: count }, draw);
/** One number, one an axis or one a side. */
const sides = (random: Sampler, most: number): number | number[] =>
  [
    () => random.whole(most + 1),
    () => several(2, () => random.whole(most + 1)),
    () => several(4, () => random.whole(most + 1)),
  ][random.whole(3)]!();
const pair = (random: Sampler, least: number, most: number): number[] =>
  several(2, () => least + random.whole(most - least + 1));

const pool: Draw = (_, random) => ({
  kernel: pair(random, 1, 3),
  stride: pair(random, 1, 3),
  padding: sides(random, 1),
});

/** Options of each layer of the registry for an input of the given shape. */
export const OPTIONS: Readonly<Record<string, Draw>> = {
  dense: (_, random) => ({ units: 1 + random.whole(20), bias: random.real() < 0.7 }),
  conv2d: ([c], random) => ({
    channels: (random.real() < 0.3 ? c! : 1) * (1 + random.whole(random.real() < 0.3 ? 18 : 5)),
    kernel: random.real() < 0.4 ? 1 : pair(random, 1, 3),
    stride: random.real() < 0.5 ? 1 : pair(random, 1, 3),
    padding: sides(random, 2),
    dilation: random.real() < 0.7 ? 1 : pair(random, 1, 2),
    groups: random.real() < 0.8 ? 1 : c,
    bias: random.real() < 0.7,
  }),
  relu: () => ({}),
  'leaky-relu': (_, random) => ({ slope: Math.fround(random.real()) }),
  sigmoid: () => ({}),
  tanh: () => ({}),
  // Limits that are float32 numbers: what others round to is not the question here.
  clip: (_, random) => ({ lo: Math.fround(-random.real()), hi: Math.fround(random.real()) }),
  abs: () => ({}),
  silu: () => ({}),
  gelu: (_, random) => ({ approximate: ['none', 'tanh'][random.whole(2)] }),
  'hard-swish': () => ({}),
  flatten: () => ({}),
  reshape: (shape, random) => ({
    shape: [[sizeOf(shape), 1, 1], [1, sizeOf(shape), 1], shape.toReversed(), [sizeOf(shape)]][
      random.whole(4)
    ],
  }),
  permute: (shape, random) => ({
    order: shape.map((_, i) => i).sort(() => random.real() - 0.5),
  }),
  select: (shape, random) => {
    const axis = random.whole(shape.length);
    return { axis, indices: several(1 + random.whole(3), () => random.whole(shape[axis]!)) };
  },
  pad: (shape, random) => ({
    before: shape.map(() => random.whole(2)),
    after: shape.map(() => random.whole(2)),
  }),
  'max-pool': pool,
  'avg-pool': (shape, random) => ({ ...pool(shape, random), countPadding: random.real() < 0.5 }),
  reduce: (shape, random) => ({
    axes: shape.flatMap((_, axis) => (random.real() < 0.5 ? [axis] : [])),
    mean: random.real() < 0.5,
  }),
  'batch-norm': () => ({}),
  normalise: ([c], random) => ({
    mean: several(c!, () => random.real()),
    std: several(c!, () => random.real(0.5, 2)),
  }),
  scale: () => ({}),
  elementwise: () => ({}),
  dropout: (_, random) => ({ rate: random.real(0, 0.9) }),
  add: () => ({}),
  concat: (shape, random) => ({ axis: random.whole(shape.length) }),
};

const JOINS = new Set(['add', 'concat']);
/** Layers that real networks are made of, which come more often. */
const OFTEN = [
  ...new Array<string>(8).fill('conv2d'),
  ...new Array<string>(4).fill('dense'),
  ...['relu', 'relu', 'flatten', 'batch-norm', 'max-pool', 'avg-pool', 'leaky-relu'],
];
const MOST = 1500;

const shapeAfter = (input: Shape, nodes: readonly NodeSpec[]): Shape | undefined => {
  try {
    return compile({ name: 'random', input, nodes }).output;
  } catch {
    return undefined;
  }
};

/** The network of a seed, of 1 to 9 layers. */
export function randomNetwork(seed: number): Network {
  const random = sampler(seed);
  const size = (): number => [1, 1, 2, 3, 5, 8][random.whole(6)]!;
  const input: Shape = [
    () => [size() + size()],
    () => [1 + random.whole(4), size(), size()],
    () => [1 + random.whole(20), size(), size()],
    () => [size(), size()],
  ][random.real() < 0.1 ? 3 : random.real() < 0.2 ? 0 : 1 + random.whole(2)]!();
  const kinds = [...Object.keys(OPTIONS), ...OFTEN];
  const places: { readonly name: string; readonly shape: Shape }[] = [
    { name: INPUT, shape: input },
  ];
  const nodes: NodeSpec[] = [];
  const wanted = 1 + random.whole(9);
  for (let tries = 0; nodes.length < wanted && tries < 100; tries++) {
    const recent = random.real() < 0.8 ? places.at(-1)! : places[random.whole(places.length)]!;
    const layer = kinds[random.whole(kinds.length)]!;
    const others = places.filter(({ shape }) => sameShape(shape, recent.shape));
    const inputs = JOINS.has(layer)
      ? [recent.name, others[random.whole(others.length)]!.name]
      : [recent.name];
    const options = OPTIONS[layer]!(recent.shape, random);
    const spec = { name: `n${nodes.length}`, layer, options, inputs };
    const shape = shapeAfter(input, [...nodes, spec]);
    if (!shape || sizeOf(shape) > MOST) continue;
    nodes.push(spec);
    places.push({ name: spec.name, shape });
  }
  if (nodes.length === 0) nodes.push({ name: 'n0', layer: 'flatten', inputs: [INPUT] });
  return { name: 'random', input, nodes };
}

/** The same weights with a share of those of products 0. */
export function sparsified(
  weights: ReadonlyMap<string, Nd>,
  sparsity: number,
  random: Sampler,
): Map<string, Nd> {
  return new Map(
    [...weights].map(([name, t]) => {
      if (!name.endsWith('.weight') || t.shape.length < 2) return [name, t];
      return [name, { ...t, data: t.data.map((v) => (random.real() < sparsity ? 0 : v)) }];
    }),
  );
}
