/** Networks as JSON: as a file beside weights, and inside of our own model files. */
import { encode } from '../../../src/io/safetensors';
import { mutateText } from '../mutate';
import {
  ESCAPES,
  f32,
  type Hostile,
  type Kind,
  LONG,
  list,
  modelFile,
  NAMES,
  NESTED,
  NESTED_OBJECT,
} from './file';

type Node = { name: string; layer: string; options?: unknown; inputs?: readonly string[] };

const json = (nodes: unknown, input: unknown = [4], name: unknown = 'n'): string =>
  JSON.stringify({ name, input, nodes });
const one = (layer: string, options: unknown, input: unknown = [4]): string =>
  json([{ name: 'a', layer, options }], input);

const chain = (count: number, layer: (i: number) => Partial<Node>): Node[] =>
  list(count, (i) => ({ name: `a${i}`, layer: 'relu', ...layer(i) }));
const before = (i: number): string => (i === 0 ? 'input' : `a${i - 1}`);

/** Sizes and the like that no layer should take at their word. */
const SIZES = [
  0,
  -1,
  0.5,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e15,
  1e308,
  null,
  'x',
  [],
  [2 ** 31, 2 ** 31],
];

/** What it is -> the JSON of the network. */
function networks(): [string, string][] {
  return [
    ['2500 activations', json(chain(2500, () => ({})))],
    [
      '1400 nested sums of one',
      json(chain(1400, (i) => ({ layer: 'add', inputs: [before(i), before(i)] }))),
    ],
    ['60 doublings', json(chain(60, (i) => ({ layer: 'concat', inputs: [before(i), before(i)] })))],
    [
      '1100 doublings',
      json(chain(1100, (i) => ({ layer: 'concat', inputs: [before(i), before(i)] }))),
    ],
    ['a sum of 9000', json([{ name: 'a', layer: 'add', inputs: list(9000, () => 'input') }])],
    ['a join of 9000', json([{ name: 'a', layer: 'concat', inputs: list(9000, () => 'input') }])],
    ['a chain of dropouts', json(chain(2200, () => ({ layer: 'dropout' })))],
    [
      '1500 normalisations',
      json(
        chain(1200, () => ({ layer: 'normalise', options: { mean: [0], std: [1] } })),
        [1, 2, 2],
      ),
    ],
    ['many missing weights', json(chain(1500, () => ({ layer: 'dense', options: { units: 4 } })))],
    [
      'nested options',
      `{"name":"n","input":[4],"nodes":[{"name":"a","layer":"relu","options":${NESTED_OBJECT}}]}`,
    ],
    ['nested input', `{"name":"n","input":${NESTED},"nodes":[]}`],
    ['nested alone', NESTED],
    ['nested nodes', `{"name":"n","input":[4],"nodes":${NESTED}}`],
    ['many options', one('relu', Object.fromEntries(list(6000, (i) => [`o${i}`, i])))],
    ['a hostile option', one('relu', { [ESCAPES]: ESCAPES })],
    ['a long option', one('relu', { [LONG]: 1 })],
    [
      'special options',
      '{"name":"n","input":[4],"nodes":[{"name":"a","layer":"relu","options":{"__proto__":{"units":1},"constructor":1}}]}',
    ],
    ['no nodes', json([])],
    ['nodes of nothing', json([null, 1, 'x', []])],
    ['no JSON', '{'],
    [
      'an input of many sizes',
      json(
        chain(1, () => ({})),
        list(20_000, () => 1),
      ),
    ],
    [
      'an input of no sizes',
      json(
        chain(1, () => ({})),
        [],
      ),
    ],
    [
      'inputs ahead',
      json([
        { name: 'a', layer: 'relu', inputs: ['b'] },
        { name: 'b', layer: 'relu' },
      ]),
    ],
    ['a name twice', json(chain(2500, () => ({ name: 'a' })))],
    ['a long layer', json([{ name: 'a', layer: LONG }])],
    ['a hostile layer', json([{ name: 'a', layer: ESCAPES }])],
    ['a special layer', json([{ name: 'a', layer: '__proto__' }])],
    ...NAMES.map((name): [string, string] => [
      `a node ${name.slice(0, 12)}`,
      json([{ name, layer: 'relu' }]),
    ]),
    ...NAMES.map((name): [string, string] => [
      `the name ${name.slice(0, 12)}`,
      json(
        chain(1, () => ({})),
        [4],
        name,
      ),
    ]),
    ...SIZES.flatMap((size): [string, string][] => [
      [`units ${size}`, one('dense', { units: size })],
      [`channels ${size}`, one('conv2d', { channels: size, kernel: 1 }, [1, 4, 4])],
      [`kernel ${size}`, one('conv2d', { channels: 1, kernel: size, padding: 2 ** 30 }, [1, 4, 4])],
      [`padding ${size}`, one('max-pool', { kernel: 2, padding: size }, [1, 4, 4])],
      [`pad ${size}`, one('pad', { before: [size], after: [size] })],
      [`shape ${size}`, one('reshape', { shape: [size] })],
      [`index ${size}`, one('select', { indices: [size] })],
      [
        `input ${size}`,
        json(
          chain(1, () => ({})),
          [size, size],
        ),
      ],
    ]),
    ['a long shape', one('reshape', { shape: list(20_000, () => 1) })],
    ['a long order', one('permute', { order: list(15_000, (i) => i) })],
    ['many indices', one('select', { indices: list(30_000, () => 0) })],
    ['many means', one('normalise', { mean: list(20_000, () => 0), std: list(20_000, () => 1) })],
    ['many axes', one('reduce', { axes: list(20_000, () => 0) })],
    ['a wide layer', one('dense', { units: 30_000 }, [30_000])],
  ];
}

const property = `(declare-const X_0 Real)
(declare-const Y_0 Real)
(assert (>= X_0 0))
(assert (<= X_0 1))
(assert (>= Y_0 5))
`;

/** Ways to read a network: in our own files and beside weights. */
const READ: readonly ((name: string, network: string) => Hostile)[] = [
  (name, network) => ({
    name: `${name}, in a model`,
    files: { 'm.safetensors': modelFile(network) },
    argv: ['inspect', 'm.safetensors'],
  }),
  (name, network) => ({
    name: `${name}, beside weights`,
    files: { 'w.safetensors': encode({ w: f32([1]) }), 'net.json': network },
    argv: ['inspect', 'w.safetensors', '--network', 'net.json'],
  }),
  (name, network) => ({
    name: `${name}, converted`,
    files: { 'm.safetensors': modelFile(network) },
    argv: ['convert', 'm.safetensors', 'out.onnx'],
  }),
  (name, network) => ({
    name: `${name}, verified`,
    files: { 'm.safetensors': modelFile(network), 'p.vnnlib': property },
    argv: ['verify', 'm.safetensors', 'p.vnnlib', '--timeout', '2'],
  }),
  (name, network) => ({
    name: `${name}, planned`,
    files: { 'm.safetensors': modelFile(network) },
    argv: ['inspect', 'm.safetensors', '--plan', '--seconds', '0', '--batch', '1'],
  }),
];

const WORDS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"relu"',
  '"dense"',
  '"units"',
  '1e999',
  '-1',
  'null',
  '"a"',
];
const SOUND = json([
  { name: 'a', layer: 'dense', options: { units: 3 } },
  { name: 'b', layer: 'relu', inputs: ['a'] },
  { name: 'c', layer: 'add', inputs: ['a', 'b'] },
]);

export const networkFiles: Kind = {
  traps: () => networks().map(([name, text], i) => READ[i % READ.length]!(name, text)),
  damaged: (s) => READ[s.whole(READ.length)]!('damaged', mutateText(SOUND, WORDS, s)),
};

/** The traps that are long rather than odd, in every way of reading. */
export const longNetworks: Kind = {
  traps: () =>
    networks()
      .slice(0, 9)
      .flatMap(([name, text]) => READ.map((read) => read(name, text))),
};
