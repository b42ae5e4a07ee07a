/** Joins never decrease in any input, as computed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { value } from '../../src/domain/value';
import { compile, paramSpecs } from '../../src/nn/graph';
import { layers } from '../../src/nn/layers/registry';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { map, type Nd, nd, sizeOf } from '../helpers/nd';
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
    const graph = compile(network);
    // The scalings in front of a join with several inputs are the identity here.
    const weights = new Map(
      [...paramSpecs(graph)].map(([name, { shape }]): [string, Nd] => [
        name,
        nd(shape, new Float32Array(sizeOf(shape)).fill(name.endsWith('scale') ? 1 : 0)),
      ]),
    );
    const run = (x: Nd): Float32Array =>
      step(engine, () => {
        const { params } = modelOf(engine, network, weights);
        return propagate(graph, params, value, input(engine, x.data, x.shape)).read();
      });
    const x = random.spread([200, ...layerCase.input], -8, 8);
    const y = map((v) => Math.fround(v! + (random.real() < 0.5 ? 0 : random.real(0, 10))), x);
    const [low, high] = [run(x), run(y)];
    expect(low.findIndex((v, i) => !(v <= high[i]!))).toBe(-1);
    const { layer, inputs } = graph.nodes.at(-1)!;
    if (layer.role === 'join') expect(layer.roundings(inputs.length)).toBeLessThan(inputs.length);
  });
});
