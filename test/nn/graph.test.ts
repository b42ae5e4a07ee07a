/** Networks as data: what `compile` works out, and the sentences of what it refuses. */
import { describe, expect, it } from 'vitest';
import {
  compile,
  type Network,
  type NodeSpec,
  paramSpecs,
  readers,
  sequential,
} from '../../src/nn/graph';

const network = (nodes: readonly NodeSpec[], input: readonly number[] = [2, 4, 4]): Network => ({
  name: 'net',
  input,
  nodes,
});
const node = (name: string, layer: string, options = {}, inputs?: string[]): NodeSpec => ({
  name,
  layer,
  options,
  ...(inputs ? { inputs } : {}),
});

describe('compile', () => {
  it('works out shapes, options, inputs and parameters', () => {
    const graph = compile(
      network([
        node('a', 'conv2d', { channels: 3, kernel: 3, padding: 1 }),
        node('b', 'relu'),
        node('c', 'scale', {}, ['a']),
        node('d', 'add', {}, ['b', 'c']),
        node('e', 'concat', {}, ['d', 'input']),
        node('f', 'flatten'),
        node('g', 'dense', { units: 7, bias: false }),
      ]),
    );
    expect(graph.output).toEqual([7]);
    expect(graph.nodes.map((n) => n.shape)).toEqual([
      [3, 4, 4],
      [3, 4, 4],
      [3, 4, 4],
      [3, 4, 4],
      [5, 4, 4],
      [80],
      [7],
    ]);
    expect(graph.nodes.map((n) => n.inputs)).toEqual([[-1], [0], [0], [1, 2], [3, -1], [4], [5]]);
    expect(graph.nodes[0]!.options).toEqual({
      ...{ channels: 3, kernel: 3, padding: 1 },
      ...{ stride: 1, dilation: 1, groups: 1, bias: true },
    });
    expect([...paramSpecs(graph)].map(([name, spec]) => [name, spec.shape, spec.prunable])).toEqual(
      [
        ['a.weight', [3, 2, 3, 3], true],
        ['a.bias', [3], false],
        ['c.scale', [3], false],
        ['c.shift', [3], false],
        ['g.weight', [7, 80], true],
      ],
    );
    expect(readers(graph)).toEqual([2, 1, 1, 1, 1, 1, 1]);
  });

  it('compiles what has been through JSON', () => {
    const one = sequential('n', [3], [['dense', { units: 2 }], ['relu'], ['dense', { units: 2 }]]);
    expect(one.nodes.map((n) => n.name)).toEqual(['dense1', 'relu1', 'dense2']);
    const again = compile(JSON.parse(JSON.stringify(one)) as Network);
    expect(again.output).toEqual([2]);
  });

  it.each<[string, Network, string]>([
    ['no nodes', network([]), 'net: expected at least one node, got none.'],
    ['an unknown layer', network([node('a', 'relo')]), 'Did you mean "relu"?'],
    [
      'an unknown option',
      network([node('a', 'dense', { unit: 3 })], [4]),
      'net.a: unit: expected a known option',
    ],
    [
      'its nearest right name',
      network([node('a', 'dense', { unit: 3 })], [4]),
      'Did you mean "units"?',
    ],
    [
      'an option out of range',
      network([node('a', 'dense', { units: 0 })], [4]),
      'net.a: units: expected a whole number >= 1, got 0',
    ],
    ['a missing option', network([node('a', 'dense')], [4]), 'net.a: units'],
    [
      'a duplicate name',
      network([node('a', 'relu'), node('a', 'relu')]),
      'net.a: expected a new plain name, got a.',
    ],
    ['a reserved name', network([node('input', 'relu')]), 'net.input: expected a new plain name'],
    ['a name with a dot', network([node('a.b', 'relu')]), 'a new plain name, got a.b'],
    [
      'a missing input',
      network([node('a', 'relu', {}, ['z'])]),
      'net.a: expected inputs among the earlier nodes, got "z".',
    ],
    ['a later input', network([node('a', 'relu', {}, ['b']), node('b', 'relu')]), 'got "b"'],
    ['its own output as input', network([node('a', 'relu', {}, ['a'])]), 'got "a"'],
    [
      'two inputs of a relu',
      network([node('a', 'relu', {}, ['input', 'input'])]),
      'net.a: expected one input, got 2.',
    ],
    ['no input', network([node('a', 'relu', {}, [])]), 'net.a: expected one input, got 0.'],
    [
      'two inputs of a pool',
      network([node('a', 'max-pool', { kernel: 2 }, ['input', 'input'])]),
      'net.a: expected',
    ],
  ])('refuses %s', (_, given, message) => {
    expect(() => compile(given)).toThrow(message);
  });
});

it('pads each of four sides by its own', () => {
  const options = { channels: 1, kernel: 2, padding: [1, 0, 2, 3] };
  const { output, nodes } = compile(network([node('a', 'conv2d', options)]));
  expect(output).toEqual([1, 6, 6]);
  expect(nodes[0]!.options.padding).toEqual([1, 0, 2, 3]);
});

describe('wrong shapes', () => {
  it.each<[string, Network, string]>([
    [
      'dense on a plane',
      network([node('a', 'dense', { units: 2 })]),
      'net.a: expected a flat input [features], got [2,4,4]. Add flatten.',
    ],
    [
      'conv2d on a vector',
      network([node('a', 'conv2d', { channels: 2, kernel: 3 })], [5]),
      'net.a: expected an input [channels, height, width], got [5]',
    ],
    [
      'conv2d above its input',
      network([node('a', 'conv2d', { channels: 2, kernel: 5 })]),
      'net.a: expected an input at least as large as the kernel',
    ],
    [
      'max-pool on a vector',
      network([node('a', 'max-pool', { kernel: 2 })], [5]),
      'net.a: expected an input [channels',
    ],
    [
      'avg-pool above its input',
      network([node('a', 'avg-pool', { kernel: 5 })]),
      'net.a: expected a window that fits',
    ],
    [
      'padding as wide as the window',
      network([node('a', 'max-pool', { kernel: 2, padding: 2 })]),
      'net.a: expected a window that fits',
    ],
    [
      'add of one',
      network([node('a', 'add', {}, ['input'])]),
      'net.a: expected two or more inputs of one shape, got [2, 4, 4]',
    ],
    [
      'add of two shapes',
      network([node('f', 'flatten'), node('a', 'add', {}, ['input', 'f'])]),
      'net.a: expected two or more inputs of one shape, got [2, 4, 4] and [32]',
    ],
    [
      'concat of two sizes',
      network([node('p', 'max-pool', { kernel: 2 }), node('a', 'concat', {}, ['input', 'p'])]),
      'net.a: expected inputs that differ in channels only',
    ],
    [
      'normalise of other channels',
      network([node('a', 'normalise', { mean: [0], std: [1] })]),
      'net.a: expected one mean and std for each of 2 channels, got 1',
    ],
  ])('%s names the layer', (_, given, message) => {
    expect(() => compile(given)).toThrow(message);
  });
});
