/** Joins never decrease in any input, as computed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { value } from '../../src/domain/value';
import { layers } from '../../src/nn/layers/registry';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { map, nd } from '../helpers/nd';
import { LAYER_CASES, modelOf, networkOf, titleOf } from '../helpers/networks';
import { sampler } from '../helpers/random';

const JOINS = LAYER_CASES.filter((c) => layers[c.kind]?.role === 'join');

describe('join', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it.each(JOINS.map((c) => [titleOf(c), c] as const))('%s', (_, layerCase) => {
    const random = sampler(31);
    const network = networkOf(layerCase);
    const shape = [200, ...layerCase.input];
    // The scalings in front of a join with several inputs stay the identity: those are monotone.
    const run = (x: ArrayLike<number>): Float32Array =>
      step(engine, () => {
        const ones = (name: string) =>
          new Array(layerCase.input[0]!).fill(name.endsWith('scale') ? 1 : 0);
        const weights = new Map(
          Array.from({ length: layerCase.inputs ?? 0 }, (_, i) => [`s${i}.scale`, `s${i}.shift`])
            .flat()
            .map((name) => [name, nd([layerCase.input[0]!], ones(name))]),
        );
        const { graph, params } = modelOf(engine, network, weights);
        return propagate(graph, params, value, input(engine, x, shape)).read();
      });
    const x = random.spread(shape, -8, 8);
    const y = map((v) => Math.fround(v! + (random.real() < 0.5 ? 0 : random.real(0, 10))), x);
    const [low, high] = [run(x.data), run(y.data)];
    expect(low.findIndex((v, i) => !(v <= high[i]!))).toBe(-1);
    const { layer, inputs } = modelOf(
      engine,
      network,
      new Map(fakeWeights(layerCase)),
    ).graph.nodes.at(-1)!;
    if (layer.role === 'join') expect(layer.terms(inputs.length)).toBeGreaterThanOrEqual(0);
  });
});

function fakeWeights({ inputs = 0, input }: (typeof JOINS)[number]) {
  const vector = nd([input[0]!], new Array(input[0]!).fill(1));
  return Array.from({ length: inputs }, (_, i) => [`s${i}.scale`, `s${i}.shift`])
    .flat()
    .map((name) => [name, vector] as const);
}
