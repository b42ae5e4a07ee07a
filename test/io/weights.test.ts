/** Weights to parameters: by name, by order and shape, and what is said where they do not fit. */
import { describe, expect, it } from 'vitest';
import { type MatchOptions, matchWeights } from '../../src/io/weights/match';
import type { WeightFile } from '../../src/io/weights/types';
import { compile, type Network, paramSpecs, sequential } from '../../src/nn/graph';
import { prependNormalise } from '../../src/nn/prepend';
import { buildNetwork } from '../../src/nn/zoo';
import type { Shape } from '../../src/tensor/shape';
import { sizeOf } from '../../src/tensor/shape';

const NET = buildNetwork('cnn-small', {}, [1, 8, 8], 4);
const NORMED = sequential(
  'normed',
  [2, 4, 4],
  [
    ['conv2d', { channels: 3, kernel: 3, bias: false }],
    ['batch-norm'],
    ['flatten'],
    ['dense', { units: 2 }],
  ],
);

/** Tensors filled with their own position. */
function file(...entries: readonly (readonly [string, Shape])[]): WeightFile {
  return new Map(
    entries.map(([name, shape], i) => [
      name,
      { shape, values: new Float32Array(sizeOf(shape)).fill(i) },
    ]),
  );
}

/** The network's parameters under other names, in its order. */
function renamed(network: Network, names: readonly string[]): WeightFile {
  const shapes = [...paramSpecs(compile(network)).values()].map(({ shape }) => shape);
  return file(...shapes.map((shape, i) => [names[i]!, shape] as const));
}

/** Parameter -> position of the tensor it got. */
function taken(network: Network, weights: WeightFile, options: Partial<MatchOptions> = {}) {
  const matched = matchWeights(network, weights, 'w', { order: 'file', ...options });
  const places = [...matched.weights].map(([name, values]) => [name, values[0]] as const);
  return { places: Object.fromEntries(places), notes: matched.notes };
}

const OWN = [...paramSpecs(compile(NET)).keys()];
const IN_ORDER = Object.fromEntries(OWN.map((name, i) => [name, i]));
const TORCH = [0, 2, 5, 7].flatMap((i) => [`${i}.weight`, `${i}.bias`]);

const ASKED = { byOrder: true };

const refusal = (
  network: Network,
  weights: WeightFile,
  options: Partial<MatchOptions> = {},
): string => {
  try {
    matchWeights(network, weights, 'w.pt', { order: 'file', ...options });
  } catch (error) {
    return (error as Error).message;
  }
  return expect.fail('matched');
};

describe('by name', () => {
  it('takes exact names in any order, without a note', () => {
    const reversed = new Map([...renamed(NET, OWN)].reverse());
    expect(taken(NET, reversed)).toEqual({ places: IN_ORDER, notes: [] });
  });

  it('takes other separators, and the words of PyTorch for statistics', () => {
    const net: Network = {
      ...NORMED,
      nodes: NORMED.nodes.map((n) => ({ ...n, name: `a-${n.name}` })),
    };
    const names = ['a.conv2d1.weight', 'a.batch-norm1.weight', 'a.batch-norm1.bias'];
    const statistics = ['a.batch-norm1.running_mean', 'a.batch-norm1.running_var'];
    const weights = renamed(net, [...names, ...statistics, 'a.dense1.weight', 'a.dense1.bias']);
    const { places, notes } = taken(net, weights);
    expect(notes).toEqual([]);
    expect(places['a-batch-norm1.variance']).toBe(4);
  });

  it('needs no mean and std of a normalise node, but takes them', () => {
    const net = prependNormalise(NET, { mean: [0.5], std: [0.25] });
    expect(taken(net, renamed(NET, OWN)).places).toEqual(IN_ORDER);
    expect(taken(net, renamed(NET, TORCH), ASKED).places).toEqual(IN_ORDER);
    const both = file(['normalise.mean', [1]], ['normalise.std', [1]]);
    expect(taken(net, new Map([...both, ...renamed(NET, OWN)])).places).toMatchObject({
      'normalise.std': 1,
    });
  });
});

describe('by order and shape', () => {
  it('takes names like 0.weight, in the order of the file, and says so', () => {
    const { places, notes } = taken(NET, renamed(NET, TORCH), ASKED);
    expect(places).toEqual(IN_ORDER);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toContain('conv2d1 <- 0, conv2d2 <- 2, dense1 <- 5, dense2 <- 7');
  });

  it('takes the order of the numbers where the file has none of its own', () => {
    const deep = buildNetwork('mlp', { hidden: [6, 6, 6, 6, 6, 6] }, [6], 6);
    const names = [0, 2, 4, 6, 8, 10, 12].flatMap((i) => [`net.${i}.weight`, `net.${i}.bias`]);
    const weights = new Map([...renamed(deep, names)].sort(([a], [b]) => (a < b ? -1 : 1)));
    const { places } = taken(deep, weights, { order: 'name', byOrder: true });
    expect(places['dense2.weight']).toBe(2);
    expect(places['dense6.weight']).toBe(10);
  });

  it('matches kind by kind, and ignores the counter of batches', () => {
    const weights = file(
      ['fc.weight', [2, 12]],
      ['fc.bias', [2]],
      ['bn.weight', [3]],
      ['bn.bias', [3]],
      ['bn.running_mean', [3]],
      ['bn.running_var', [3]],
      ['bn.num_batches_tracked', []],
      ['conv.weight', [3, 2, 3, 3]],
    );
    expect(taken(NORMED, weights, ASKED).places).toEqual({
      'conv2d1.weight': 7,
      'batch-norm1.weight': 2,
      'batch-norm1.bias': 3,
      'batch-norm1.mean': 4,
      'batch-norm1.variance': 5,
      'dense1.weight': 0,
      'dense1.bias': 1,
    });
  });
});

describe('what does not fit', () => {
  it('is listed: missing, left over, of another shape, the nearest side by side', () => {
    const weights = new Map(renamed(NET, OWN));
    weights.set('dense1.weight', { shape: [100, 99], values: new Float32Array(9900) });
    weights.set('dense3.bias', weights.get('dense2.bias')!);
    weights.delete('dense2.bias');
    weights.set('extra', { shape: [7], values: new Float32Array(7) });
    expect(refusal(NET, weights)).toBe(
      [
        'w.pt: expected the 8 weights of cnn-small, got 9 tensors: 1 missing, 2 left over, 1 of another shape.',
        '  dense1.weight [100, 128]  dense1.weight [100, 99]: another shape',
        '  dense2.bias [4]           missing; nearest: dense3.bias [4]',
        '                            extra [7]: left over',
      ].join('\n'),
    );
  });

  it('is not guessed in part', () => {
    const swapped = renamed(NET, TORCH);
    const short = new Map([...swapped].slice(2));
    expect(refusal(NET, short)).toMatch(/8 weights.*got 6 tensors: 8 missing, 6 left over/);
    expect(refusal(NET, file())).toMatch(/got 0 tensors: 8 missing/);
    const shapes = new Map(swapped);
    shapes.set('5.weight', { shape: [128, 100], values: new Float32Array(12800) });
    expect(refusal(NET, shapes)).toContain('nearest: 5.weight [128, 100]');
  });

  it('stays short for files of many odd names', () => {
    const long = 'x'.repeat(1000);
    const entries = Array.from({ length: 20_000 }, (_, i): [string, Shape] => [`${long}${i}`, [1]]);
    const message = refusal(NET, file(...entries), { order: 'name', byOrder: true });
    expect(message.length).toBeLessThan(10_000);
    expect(message).toMatch(/and \d+ more$/);
  });
});
