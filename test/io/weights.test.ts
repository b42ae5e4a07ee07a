/** Weights to parameters: by name, by order and shape, and what is said where they do not fit. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { effectiveWeights } from '../../src/io/weights/effective';
import { type MatchOptions, matchWeights } from '../../src/io/weights/match';
import { fitsPattern } from '../../src/io/weights/names';
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
  const places = [...matched.weights].map(([name, t]) => [name, t.values[0]] as const);
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

describe('behind a prefix', () => {
  const prefixed = (prefix: string, network = NET): WeightFile =>
    new Map([...renamed(network, OWN)].map(([name, t]) => [prefix + name, t]).reverse() as never);

  it.each(['model.', 'net.', 'module.', '_orig_mod.', 'module.model._orig_mod.', 'a/b.', 'x_y.'])(
    '%s is taken off every name, and told',
    (prefix) => {
      const { places, notes } = taken(NET, prefixed(prefix));
      expect(places).toEqual(IN_ORDER);
      expect(notes).toEqual([`Took "${prefix}" off every name of w.`]);
    },
  );

  it('of the network is looked past, too', () => {
    const nodes = NET.nodes.map((node) => ({ ...node, name: `net-${node.name}` }));
    const own = { ...NET, nodes };
    expect(Object.values(taken(own, prefixed('')).places)).toEqual(Object.values(IN_ORDER));
    expect(taken(own, prefixed('model.')).notes).toEqual([
      'Took "model." off every name of w, and "net-" off those of the network.',
    ]);
    expect(taken(own, prefixed('module.net.')).notes[0]).toContain('Took "module." off');
  });

  it('names, not order, decide: equal shapes in any order', () =>
    fc.assert(
      fc.property(
        fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 5 }),
        fc.stringMatching(/^([a-z_]{1,5}\.){0,3}$/),
        (order, prefix) => {
          const layers = order.map(() => ['dense', { units: 4 }] as const);
          const net = sequential('deep', [4], layers);
          const names = order.flatMap((i) => [`dense${i + 1}.weight`, `dense${i + 1}.bias`]);
          const entries = names.map((n): [string, Shape] => [
            prefix + n,
            n.endsWith('bias') ? [4] : [4, 4],
          ]);
          const { places } = taken(net, file(...entries));
          for (const [i, name] of names.entries()) expect(places[name]).toBe(i);
        },
      ),
    ));

  it('is not chosen where two have all weights, unless by a key or by what is ignored', () => {
    const both = new Map([...prefixed('model.'), ...prefixed('ema.')]);
    expect(refusal(NET, both)).toMatch(
      /expected one set of weights of cnn-small, got 2, under the keys .*(ema, model|model, ema)\. Choose by --key/,
    );
    expect(taken(NET, both, { key: 'ema' }).notes).toEqual([
      'Read what is under "ema"; left out the tensors of model.',
    ]);
    expect(taken(NET, both, { ignore: ['ema.*'] }).places).toEqual(IN_ORDER);
    const plain = new Map([...prefixed(''), ...prefixed('ema.')]);
    expect(refusal(NET, plain)).toContain('under the keys (none), ema. Choose by --key ema');
    expect(refusal(NET, both, { key: 'swa' })).toContain('Names begin with: model, ema.');
  });
});

describe('under the keys of a checkpoint', () => {
  const under = (...keys: string[]): WeightFile =>
    new Map(
      keys.flatMap((key) => [...renamed(NET, OWN)].map(([n, t]) => [`${key}.${n}`, t] as const)),
    );

  it.each(['state_dict', 'model', 'weights', 'ema', 'model_state', 'net', 'anything'])(
    '%s is found beside other tensors',
    (key) => {
      const weights = new Map([...under(key), ...file(['optimizer.0', [3]], ['best', []])]);
      const { places, notes } = taken(NET, weights, { keys: ['', key, 'optimizer'] });
      expect(places).toEqual(IN_ORDER);
      expect(notes).toEqual([
        `Read what is under "${key}"; left out the tensors of optimizer, best.`,
      ]);
    },
  );

  it('two are listed, and chosen by key; inner ones found; none that fits, shown', () => {
    const two = under('model', 'ema');
    const keys = ['', 'model', 'ema'];
    expect(refusal(NET, two, { keys })).toContain('under the keys model, ema.');
    expect(taken(NET, two, { keys, key: 'ema' }).places).toEqual(IN_ORDER);
    const inner = taken(NET, under('a.b'), { keys: ['', 'a', 'a.b'] });
    expect(inner.notes).toEqual(['Read what is under "a.b".']);
    const odd = file(['model.w', [3]], ['ema.w', [3]], ['other.v', [2]]);
    const said = refusal(NET, odd, { keys: ['', 'other', 'ema', 'model'] });
    expect(said).toContain('got 1 tensors under "model": 8 missing, 1 left over');
    expect(said).toContain('Tensors are also under: (all), other, ema; see --key.');
  });
});

describe('weights in parts', () => {
  const net = sequential('one', [3], [['dense', { units: 2, bias: false }]]);
  const tensors = (parts: Record<string, [Shape, number[]]>): WeightFile =>
    new Map(
      Object.entries(parts).map(([name, [shape, values]]) => [
        `dense1.${name}`,
        { shape, values: Float32Array.from(values) },
      ]),
    );
  const weight = (parts: Record<string, [Shape, number[]]>) => [
    ...matchWeights(net, tensors(parts), 'w', { order: 'file' }).weights.get('dense1.weight')!
      .values,
  ];
  const w = [3, -4, 0, 1, 2, 2];

  it.each<[string, Record<string, [Shape, number[]]>, number[]]>([
    [
      'masks',
      {
        weight_orig: [[2, 3], w],
        weight_mask: [
          [2, 3],
          [1, 0, 1, 0, 1, 1],
        ],
      },
      [3, 0, 0, 0, 2, 2],
    ],
    [
      'weight norm',
      {
        weight_g: [
          [2, 1],
          [10, 6],
        ],
        weight_v: [[2, 3], w],
      },
      [6, -8, 0, 2, 4, 4],
    ],
    [
      'weight norm as a parametrisation',
      {
        'parametrizations.weight.original0': [
          [2, 1],
          [10, 6],
        ],
        'parametrizations.weight.original1': [[2, 3], w],
      },
      [6, -8, 0, 2, 4, 4],
    ],
    [
      'weight norm over columns',
      {
        weight_g: [
          [1, 3],
          [10 ** 0.5, 20 ** 0.5, 4],
        ],
        weight_v: [[2, 3], w],
      },
      [3, -4, 0, 1, 2, 4],
    ],
    [
      'weight norm of all',
      { weight_g: [[], [2 * 34 ** 0.5]], weight_v: [[2, 3], w] },
      [6, -8, 0, 2, 4, 4],
    ],
    [
      'spectral norm',
      { weight_orig: [[2, 3], w], weight_u: [[2], [0, 1]], weight_v: [[3], [0, 1, 0]] },
      [1.5, -2, 0, 0.5, 1, 1],
    ],
    [
      'spectral norm as a parametrisation',
      {
        'parametrizations.weight.original': [[2, 3], w],
        'parametrizations.weight.0._u': [[2], [0, 1]],
        'parametrizations.weight.0._v': [[3], [0, 1, 0]],
      },
      [1.5, -2, 0, 0.5, 1, 1],
    ],
  ])('%s', (_, parts, expected) => {
    weight(parts).forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 5);
    });
  });

  it('that do not belong together are left over, and named', () => {
    const said = (parts: Record<string, [Shape, number[]]>) => refusal(net, tensors(parts));
    const part = 'left over (a part of a weight in another form)';
    const one: [Shape, number[]] = [[1], [1]];
    expect(said({ weight_orig: [[2, 3], w], weight_mask: one })).toContain(part);
    expect(said({ weight_g: [[2], [1, 1]], weight_v: [[2, 3], w] })).toContain(part);
    expect(said({ weight: [[2, 3], w], weight_mask: [[2, 3], w] })).toContain(part);
    expect(said({ 'parametrizations.weight.original': [[2, 3], w] })).toContain('1 missing');
    const u: [Shape, number[]] = [[3], [1, 0, 0]];
    expect(said({ weight_orig: [[2, 3], w], weight_u: u, weight_v: u })).toContain('1 missing');
  });

  it('of a convolution transposed, u goes along axis 1', () => {
    const parts = {
      'c.weight_orig': { shape: [2, 3, 1, 1], values: Float32Array.from([1, 2, 3, 4, 5, 6]) },
      'c.weight_u': { shape: [3], values: Float32Array.of(0, 1, 0) },
      'c.weight_v': { shape: [2], values: Float32Array.of(0, 1) },
    };
    const made = effectiveWeights(new Map(Object.entries(parts))).get('c.weight')!;
    expect([...made.values]).toEqual([1, 2, 3, 4, 5, 6].map((x) => Math.fround(x / 5)));
  });
});

describe('patterns', () => {
  it('fit as a regular expression of the same meaning does', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 8 });
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*'), maxLength: 6 });
    fc.assert(
      fc.property(text, pattern, (name, glob) => {
        const meaning = new RegExp(`^${glob.replace(/\./g, '\\.').replace(/\*/g, '.*')}$`);
        expect(fitsPattern(name, glob)).toBe(meaning.test(name));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('by order and shape', () => {
  it('is an error that shows both sides, unless asked for', () => {
    const said = refusal(NET, renamed(NET, TORCH));
    expect(said).toContain('expected the names of cnn-small, got others, which fit by order');
    expect(said).toMatch(/\n {2}conv2d1\.weight \[16, 1, 4, 4\] +<- 0\.weight \[16, 1, 4, 4\]\n/);
    expect(said).toContain('--by-order');
  });

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
