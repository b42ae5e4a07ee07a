/**
 * Every layer in every way of executing it, at batches that plans and patterns treat apart, against
 * single images in float64; networks at random; and answers that once were wrong.
 */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { logits, predict } from '../../src/domain/classifier';
import { loadModel } from '../../src/io/model';
import { freezeSparsity } from '../../src/nn/freeze';
import { INPUT, type Network, type NodeSpec } from '../../src/nn/graph';
import { layers } from '../../src/nn/layers/registry';
import { lower } from '../../src/nn/lower';
import { parseOptions } from '../../src/options';
import { compilePlan } from '../../src/plan/plan';
import { compileSparsePlan } from '../../src/plan/sparse-plan';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { verifiers } from '../../src/verify/verifiers/registry';
import { expectClose } from '../helpers/close';
import { binaries } from '../helpers/engine';
import { differences } from '../helpers/executions';
import { nd } from '../helpers/nd';
import { LAYER_CASES, type LayerCase, networkOf, titleOf } from '../helpers/networks';
import { OPTIONS, randomNetwork } from '../helpers/random-networks';
import { BATCHES, SPARSITIES } from '../helpers/random-runs';
import { evaluate } from '../helpers/reference-network';

/** Convolutions whose sizes are those of a dense layer, or nearly so. */
const ONE: readonly LayerCase[] = [
  { padding: 1 },
  { padding: 1, stride: 2 },
  { padding: [1, 0, 0, 0], stride: 2 },
  { padding: [0, 1, 0, 0], stride: 3 },
  { padding: [0, 0, 1, 1], stride: 3 },
  { padding: 0 },
  { padding: 0, stride: [2, 1] },
  { padding: 0, stride: 3 },
  { padding: [0, 0, 0, 2] },
].flatMap((options) =>
  [
    { channels: 5, ...options },
    { channels: 16, kernel: 1, bias: false, ...options },
  ].map((o) => ({ kind: 'conv2d', options: { kernel: 1, ...o }, input: [4, 1, 1] })),
);
const CASES = [...LAYER_CASES.filter(({ kind }) => kind !== 'dropout'), ...ONE];

/** The layer between a convolution or dense layer and a dense one, as plans lay out its values. */
function between(one: LayerCase): Network {
  const { name, input: shape, nodes } = networkOf(one);
  const before: NodeSpec =
    shape.length === 3
      ? { name: 'in', layer: 'conv2d', options: { channels: shape[0], kernel: 1 }, inputs: [INPUT] }
      : shape.length === 1
        ? { name: 'in', layer: 'dense', options: { units: shape[0] }, inputs: [INPUT] }
        : { name: 'in', layer: 'scale', options: {}, inputs: [INPUT] };
  const moved = nodes.map((node, i) => ({
    ...node,
    ...(node.inputs
      ? { inputs: node.inputs.map((from) => (from === INPUT ? 'in' : from)) }
      : i === 0
        ? { inputs: ['in'] }
        : {}),
  }));
  const tail: NodeSpec[] = [
    { name: 'act', layer: 'relu' },
    { name: 'flat', layer: 'flatten' },
    { name: 'out', layer: 'dense', options: { units: 3 } },
  ];
  return { name, input: shape, nodes: [before, ...moved, ...tail] };
}

/** Behind a reshape a product reads values as they lie in other planes. */
const RESHAPED: readonly Network[] = [
  { channels: 7, kernel: 1 },
  { channels: 7, kernel: 1, stride: [2, 1] },
  { channels: 7, kernel: 1, stride: 2, bias: false },
].map((options) => ({
  name: `reshaped ${JSON.stringify(options)}`,
  input: [2, 3, 3],
  nodes: [
    { name: 'as', layer: 'reshape', options: { shape: [18, 1, 1] } },
    { name: 'it', layer: 'conv2d', options },
  ],
}));

let simd: Engine;
let engines: Engine[];
beforeAll(async () => {
  engines = await Promise.all(binaries().map((binary) => load({ threads: 1, binary })));
  simd = engines[0]!;
});
afterAll(() => {
  for (const engine of engines) engine.close();
});

describe('executions', () => {
  it.each(CASES.map((one) => [titleOf(one), one] as const))('%s', async (_, one) => {
    for (const [i, batch] of BATCHES.entries())
      for (const network of batch === 8 ? [networkOf(one), between(one)] : [between(one)]) {
        const sparsity = SPARSITIES[(i + 1) % SPARSITIES.length]!;
        expect(await differences(simd, { network, batch, sparsity, seed: i })).toEqual([]);
      }
  });

  it.each(RESHAPED.map((network) => [network.name, network] as const))('%s', async (_, network) => {
    for (const [seed, batch] of BATCHES.entries())
      expect(await differences(simd, { network, batch, sparsity: 0.5, seed })).toEqual([]);
  });

  it('at random, by every binary', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const network = randomNetwork(seed);
      const [batch, sparsity] = [BATCHES[seed % 5]!, SPARSITIES[seed % 3]!];
      const engine = engines[seed % engines.length]!;
      const found = await differences(engine, { network, batch, sparsity, seed });
      expect(found, `seed ${seed}: ${JSON.stringify(network)}`).toEqual([]);
    }
  });
});

it('are of every layer of the registry', () => {
  expect(Object.keys(OPTIONS).sort()).toEqual(Object.keys(layers).sort());
  const kinds = new Set(LAYER_CASES.map(({ kind }) => kind));
  expect([...kinds].sort()).toEqual(Object.keys(layers).sort());
});

const SHARED = new URL('../../../shared/cases/unsound/', import.meta.url);
const present = existsSync(SHARED);
if (!present) console.warn('../shared/cases is absent: its cases of executions are skipped.');

describe.skipIf(!present)('answers that were wrong', () => {
  const image = (name: string): { x: number[] } =>
    JSON.parse(readFileSync(new URL(name, SHARED), 'utf8'));
  const modelAt = (name: string) => loadModel(simd, new URL(name, SHARED).pathname);

  it('a 1 x 1 convolution with padding over 1 x 1 planes is no dense layer', async () => {
    const model = await modelAt('flat.safetensors');
    const { x } = image('flatimage.json');
    const weights = new Map([...model.params].map(([name, t]) => [name, nd(t.shape, t.read())]));
    const want = evaluate(model.graph, weights, nd([1, 1, 8, 8], x)).data;
    const canonical = freezeSparsity(lower(model));
    for (const batch of BATCHES) {
      const images = Float32Array.from({ length: batch * x.length }, (_, i) => x[i % x.length]!);
      const wanted = Float64Array.from({ length: batch * want.length }, (_, i) => want[i % 10]!);
      const shape = [batch, 1, 8, 8];
      expectClose(
        step(simd, () => logits(canonical, input(simd, images, shape)).read()),
        wanted,
      );
      for (const plan of [
        compilePlan(canonical, { batch }),
        compilePlan(canonical, { batch, allowWinograd: true }),
        compileSparsePlan(canonical, { batch }),
      ]) {
        expectClose(plan.run(images), wanted);
        plan.free();
      }
    }
  });

  it.each([
    ['sigchain.safetensors', 'sigimage.json', [0.5]],
    ['nan2.safetensors', 'nanimage.json', [0, 0.5]],
  ])('%s is not certified', async (file, picture, radii) => {
    const canonical = freezeSparsity(lower(await modelAt(file)));
    const images = Float32Array.from(image(picture).x);
    // Logits that are no numbers have no label.
    const labels = step(simd, () => predict(canonical, input(simd, images, [1, 1, 8, 8]))).map(
      (label) => Math.max(label, 0),
    );
    for (const verifier of Object.values(verifiers))
      for (const eps of radii) {
        const options = parseOptions(verifier.options, {}, 'test');
        const [verdict] = verifier.verify({ model: canonical, images, labels, eps }, options);
        expect(verdict!.verdict).not.toBe('certified');
      }
  });
});
