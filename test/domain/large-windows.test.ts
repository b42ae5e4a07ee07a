/** Windows and kernels of more entries than a call of JavaScript has arguments. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { verifiers } from '../../src/verify/verifiers/registry';
import { differences } from '../helpers/executions';
import { modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1, binary: 'simd' });
});
afterAll(() => engine.close());

const SIDE = 260;
const behind = (layer: string, options: object): Network =>
  sequential(
    layer,
    [1, SIDE, SIDE + 1],
    [[layer, { ...options }], ['flatten'], ['dense', { units: 3 }]],
  );

it.each([
  ['max-pool', { kernel: SIDE, stride: 1 }],
  ['avg-pool', { kernel: SIDE, stride: 1 }],
  ['avg-pool', { kernel: SIDE, stride: 1, padding: [1, 0], countPadding: false }],
  ['conv2d', { channels: 1, kernel: SIDE }],
] as const)('%s %o', async (layer, options) => {
  const network = behind(layer, options);
  const run = { network, batch: 1, sparsity: 0.99, seed: 1 };
  expect(await differences(engine, run)).toEqual([]);
  const model = lower(modelOf(engine, network, randomWeights(compile(network), sampler(1))));
  const images = Float32Array.from(sampler(2).array([SIDE * (SIDE + 1)], 0, 1).data);
  const crown = verifiers.crown!;
  const job = { model, images, labels: Int32Array.of(0), eps: 1e-6 };
  const [verdict] = crown.verify(job, parseOptions(crown.options, {}, 'test'));
  expect(verdict!.margin).not.toBeNaN();
});
