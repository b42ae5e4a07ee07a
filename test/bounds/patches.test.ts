/**
 * Walks through windows against the same walks over whole planes: for strides, padding, dilation,
 * residual paths with windows of several sizes, products with nothing between them, and layers that
 * have no windows; and on random graphs.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backwardPass } from '../../src/bounds/backward';
import { hiddenBounds } from '../../src/bounds/linear';
import { patchesOf } from '../../src/bounds/patches';
import { inputSet, type Norm } from '../../src/domain/balls';
import { compile, INPUT, type Network, type NodeSpec, sequential } from '../../src/nn/graph';
import { freeModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { binaries } from '../helpers/engine';
import { sizeOf } from '../helpers/nd';
import { graphs, modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';

type Layer = readonly [layer: string, options?: Readonly<Record<string, unknown>>];
type Pair = readonly [number, number];

const INPUTS = [2, 12, 11];
const conv = (kernel: number | Pair, options: object = {}): Layer => [
  'conv2d',
  { channels: 3, kernel, ...options },
];
const relu: Layer = ['relu'];
const chain = (...layers: Layer[]): Network => sequential('chain', INPUTS, layers);
const graph = (...nodes: NodeSpec[]): Network => ({ name: 'graph', input: INPUTS, nodes });
const named = (name: string, [layer, options = {}]: Layer, ...inputs: string[]): NodeSpec => ({
  ...{ name, layer, options, inputs },
});

/** By name: a network, the target of the walk, and the nodes that are seen through windows. */
const CASES: Readonly<Record<string, readonly [Network, target: number, seen: number[]]>> = {
  'one product': [chain(conv(3, { padding: 1 })), 0, [-1, 0]],
  'strides and padding': [
    chain(conv(4, { stride: 2, padding: 1 }), relu, conv(3, { stride: [1, 2], padding: 1 })),
    2,
    [-1, 0, 1, 2],
  ],
  'dilation, a scale in front': [
    chain(['scale'], conv(2, { dilation: [2, 1] }), relu, conv(2, { dilation: 2 })),
    3,
    [-1, 0, 1, 2, 3],
  ],
  'wide kernels end whole': [
    chain(conv(5, { padding: 2 }), relu, conv(5, { padding: 2 }), relu, conv(5, { padding: 2 })),
    4,
    [0, 1, 2, 3, 4],
  ],
  'products that meet': [chain(conv(3, { padding: 1 }), conv(3, { padding: 1 })), 1, [1]],
  'products that meet behind a scale': [
    chain(conv(3, { padding: 1 }), ['scale'], conv(3, { padding: 1 })),
    2,
    [1, 2],
  ],
  'a pool ends them': [
    chain(conv(2), ['max-pool', { kernel: 2 }], conv(2, { padding: 1 })),
    2,
    [2],
  ],
  groups: [chain(conv(3), relu, conv(2, { groups: 3 })), 2, [-1, 0, 1, 2]],
  'sums of several windows': [
    graph(
      named('a', conv(3, { stride: 2, padding: 1 }), INPUT),
      named('ar', relu, 'a'),
      named('b', conv(3, { padding: 1 }), 'ar'),
      named('c', conv(1), 'ar'),
      named('sum', ['add'], 'b', 'c', 'ar'),
    ),
    4,
    [-1, 0, 1, 2, 3, 4],
  ],
  'steps that differ': [
    graph(
      named('in', relu, INPUT),
      named('a', conv([6, 5], { stride: 2 }), 'in'),
      named('b', conv([9, 8]), 'in'),
      named('sum', ['add'], 'a', 'b'),
    ),
    3,
    [1, 2, 3],
  ],
};

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 1 });
  });
  afterAll(() => engine.close());

  /** Both walks from both ends of every value, samples and places in any order. */
  function compare(model: Model, target: number, norm: Norm, sound: boolean): void {
    step(engine, () => {
      const random = sampler(31);
      const { shape } = model.graph.nodes[target]!;
      const size = sizeOf(shape);
      const x = input(engine, random.array([2, sizeOf(model.graph.network.input)]).data, [
        2,
        ...model.graph.network.input,
      ]);
      const set = inputSet(x, 0.2, { sound, norm, range: null });
      const scene = hiddenBounds(model, set, { sound, hidden: 'interval' });
      const places = Array.from({ length: 4 * size }, () => random.whole(2 * size));
      const rows = {
        sample: Int32Array.from(places, (place) => Math.floor(place / size)),
        values: {
          index: Int32Array.from(places, (place) => place % size),
          factor: Float32Array.from(places, () => random.real(-2, 2)),
        },
      };
      const whole = backwardPass(scene, target, rows).read();
      const seen = backwardPass(scene, target, rows, {
        patches: patchesOf(model.graph, target, set),
      }).read();
      seen.forEach((bound, r) => {
        const isSame = Math.abs(bound - whole[r]!) <= 2e-6 * (1 + Math.abs(whole[r]!));
        if (!isSame) expect.fail(`row ${r}: ${bound} instead of ${whole[r]}`);
      });
    });
  }

  it.each(Object.entries(CASES))('%s', (_, [network, target, wanted]) => {
    const compiled = compile(network);
    const windows = patchesOf(compiled, target, {});
    expect([...windows.keys()].sort((a, b) => a - b)).toEqual(wanted);
    const model = modelOf(engine, network, randomWeights(compiled, sampler(5)));
    for (const norm of ['linf', 'l2'] as const)
      for (const sound of [true, false]) compare(model, target, norm, sound);
    freeModel(model);
  });

  it('random graphs', () => {
    fc.assert(
      fc.property(graphs, fc.boolean(), ({ network, seed }, sound) => {
        const compiled = compile(network);
        const model = modelOf(engine, network, randomWeights(compiled, sampler(seed)));
        compiled.nodes.forEach((_, target) => {
          compare(model, target, 'linf', sound);
        });
        freeModel(model);
      }),
      { numRuns: 40 },
    );
  });
});
