/**
 * Networks by name, with the layer lists of the papers they are compared in: those of Sehwag et al. 2019 and
 * the code published with its successor HYDRA (2020); the LeNets of Han et al. 2015, and All-CNN-C.
 */
import * as v from 'valibot';
import { fail, lookup } from '../errors';
import { type OptionsSchema, parseOptions, real, whole } from '../options';
import type { Shape } from '../tensor/shape';
import { INPUT, type Network, type NodeSpec, sequential } from './graph';

type Chain = readonly (readonly [string, Readonly<Record<string, unknown>>?])[];

export interface ZooEntry<S extends OptionsSchema = OptionsSchema> {
  readonly about: string;
  readonly options: S;
  build(input: Shape, classes: number, o: v.InferOutput<S>): Network;
}

const entry = <S extends OptionsSchema>(e: ZooEntry<S>): ZooEntry => e as unknown as ZooEntry;
const conv = (channels: number, kernel: number, stride: number): Chain => [
  ['conv2d', { channels, kernel, stride, padding: 1 }],
  ['relu'],
];
const fc = (units: number): Chain => [['dense', { units }], ['relu']];

const mlp = entry({
  about: 'fully connected with ReLU: hidden [units, ...]',
  options: v.strictObject({ hidden: v.optional(v.array(whole(1)), [100, 100]) }),
  build(input, classes, { hidden }) {
    const start: Chain = input.length > 1 ? [['flatten']] : [];
    const chain = [...start, ...hidden.flatMap(fc), ['dense', { units: classes }] as const];
    return sequential('mlp', input, chain);
  },
});

const lenet300 = entry({
  about: 'LeNet-300-100: fully connected, 300 and 100 hidden units (266 k weights on MNIST)',
  options: v.strictObject({}),
  build(input, classes) {
    const chain: Chain = [['flatten'], ...fc(300), ...fc(100), ['dense', { units: classes }]];
    return sequential('lenet-300-100', input, input.length > 1 ? chain : chain.slice(1));
  },
});

/** As Caffe ships it, with one ReLU: its convolutions are followed by max pools alone. */
const lenet5 = entry({
  about:
    'LeNet-5 as Caffe has it: conv20 5x5, pool, conv50 5x5, pool, fc500 (431 k weights on MNIST)',
  options: v.strictObject({}),
  build: (input, classes) =>
    sequential('lenet-5', input, [
      ['conv2d', { channels: 20, kernel: 5 }],
      ['max-pool', { kernel: 2 }],
      ['conv2d', { channels: 50, kernel: 5 }],
      ['max-pool', { kernel: 2 }],
      ['flatten'],
      ...fc(500),
      ['dense', { units: classes }],
    ]),
});

/** All-CNN-C (Springenberg et al. 2014, "Striving for simplicity", table 1), without its dropout. */
const allCnn = entry({
  about: 'All-CNN-C: convolutions only, nine of them; width multiplies the channels',
  options: v.strictObject({ width: v.optional(real(1 / 64, 4), 1) }),
  build(input, classes, { width }) {
    const [, height = 1, across = 1] = input;
    const at = (n: number): number => Math.max(1, Math.round(n * width));
    const convolve = (channels: number, kernel: number, stride = 1, padding = 1): Chain => [
      ['conv2d', { channels, kernel, stride, padding }],
      ['relu'],
    ];
    // Both strides, and the one convolution that is not padded.
    const side = (size: number): number => Math.ceil(Math.ceil(size / 2) / 2) - 2;
    return sequential('all-cnn', input, [
      ...[...convolve(at(96), 3), ...convolve(at(96), 3), ...convolve(at(96), 3, 2)],
      ...[...convolve(at(192), 3), ...convolve(at(192), 3), ...convolve(at(192), 3, 2)],
      ...convolve(at(192), 3, 1, 0),
      ...convolve(at(192), 1, 1, 0),
      ...convolve(classes, 1, 1, 0),
      ['avg-pool', { kernel: [side(height), side(across)] }],
      ['flatten'],
    ]);
  },
});

const cnnSmall = entry({
  about: 'conv16 4x4/2, conv32 4x4/2, fc100 (166 k weights on MNIST)',
  options: v.strictObject({}),
  build: (input, classes) =>
    sequential('cnn-small', input, [
      ...conv(16, 4, 2),
      ...conv(32, 4, 2),
      ['flatten'],
      ...fc(100),
      ['dense', { units: classes }],
    ]),
});

const cnnLarge = entry({
  about: 'conv32 3x3, conv32 4x4/2, conv64 3x3, conv64 4x4/2, fc512 twice (2.0 M weights on MNIST)',
  options: v.strictObject({}),
  build: (input, classes) =>
    sequential('cnn-large', input, [
      ...conv(32, 3, 1),
      ...conv(32, 4, 2),
      ...conv(64, 3, 1),
      ...conv(64, 4, 2),
      ['flatten'],
      ...fc(512),
      ...fc(512),
      ['dense', { units: classes }],
    ]),
});

const vgg16 = entry({
  about: 'VGG-16 with batch norm and four pools; width multiplies the channels',
  options: v.strictObject({ width: v.optional(real(1 / 64, 4), 1) }),
  build(input, classes, { width }) {
    const wide = (n: number): number => Math.max(1, Math.round(n * width));
    const block = (n: number, repeat: number, pool: boolean): Chain => [
      ...Array.from(
        { length: repeat },
        (): Chain => [
          ['conv2d', { channels: wide(n), kernel: 3, padding: 1, bias: false }],
          ['batch-norm'],
          ['relu'],
        ],
      ).flat(),
      ...(pool ? ([['max-pool', { kernel: 2 }]] as const) : []),
    ];
    return sequential('vgg16', input, [
      ...block(64, 2, true),
      ...block(128, 2, true),
      ...block(256, 3, true),
      ...block(512, 3, true),
      ...block(512, 3, false),
      ['flatten'],
      ...fc(wide(256)),
      ...fc(wide(256)),
      ['dense', { units: classes }],
    ]);
  },
});

const wrn = entry({
  about: 'wide residual network, depth 6n + 4 and width (also "wrn-28-4")',
  options: v.strictObject({
    depth: v.optional(whole(10, 2000), 28),
    width: v.optional(whole(1, 1000), 4),
  }),
  build(input, classes, { depth, width }) {
    if ((depth - 4) % 6 !== 0) fail('wrn', 'a depth of 6n + 4 (16, 22, 28, 34, 40)', depth);
    return wideResNet(input, classes, (depth - 4) / 6, width);
  },
});

/** Pre-activation residual blocks (Zagoruyko and Komodakis 2016), 16-32-64 channels times width. */
function wideResNet(input: Shape, classes: number, blocks: number, width: number): Network {
  const nodes: NodeSpec[] = [];
  const put = (name: string, layer: string, from: string, options = {}, other?: string): string => {
    nodes.push({ name, layer, options, inputs: other ? [from, other] : [from] });
    return name;
  };
  const convolve = (name: string, from: string, channels: number, kernel: number, stride = 1) =>
    put(name, 'conv2d', from, { channels, kernel, stride, padding: kernel >> 1, bias: false });
  const activate = (name: string, from: string): string =>
    put(`${name}-relu`, 'relu', put(`${name}-norm`, 'batch-norm', from));

  let x = convolve('stem', INPUT, 16, 3);
  let channels = 16;
  for (let group = 1; group <= 3; group++) {
    for (let block = 1; block <= blocks; block++) {
      const name = `g${group}b${block}`;
      const wide = 8 * 2 ** group * width;
      const stride = group > 1 && block === 1 ? 2 : 1;
      const pre = activate(`${name}a`, x);
      const first = convolve(`${name}-conv1`, pre, wide, 3, stride);
      const second = convolve(`${name}-conv2`, activate(`${name}b`, first), wide, 3);
      const changed = stride !== 1 || wide !== channels;
      const shortcut = changed ? convolve(`${name}-shortcut`, pre, wide, 1, stride) : x;
      x = put(`${name}-add`, 'add', second, {}, shortcut);
      channels = wide;
    }
  }
  const side = Math.ceil(Math.ceil(input[1]! / 2) / 2);
  const pooled = put('pool', 'avg-pool', activate('end', x), { kernel: side });
  put('fc', 'dense', put('flat', 'flatten', pooled), { units: classes });
  return { name: `wrn-${6 * blocks + 4}-${width}`, input, nodes };
}

export const zoo: Readonly<Record<string, ZooEntry>> = {
  mlp,
  'lenet-300-100': lenet300,
  'lenet-5': lenet5,
  'all-cnn': allCnn,
  'cnn-small': cnnSmall,
  'cnn-large': cnnLarge,
  vgg16,
  wrn,
};

/** A network of the zoo by name and options; `wrn-28-4` is short for depth 28, width 4. */
export function buildNetwork(
  name: string,
  options: Readonly<Record<string, unknown>>,
  input: Shape,
  classes: number,
): Network {
  const match = /^wrn-(\d+)-(\d+)$/.exec(name);
  const found = lookup(zoo, match ? 'wrn' : name, 'network');
  const given = match ? { depth: Number(match[1]), width: Number(match[2]), ...options } : options;
  return found.build(input, classes, parseOptions(found.options, given, `network ${name}`));
}
