/** Compact models at the edge against the same networks with dense weights, and everything refused. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logits } from '../../src/domain/classifier';
import { leastMargins } from '../../src/domain/margins';
import { type CompactModel, EspalierError, openModel } from '../../src/edge/index';
import { compactFile } from '../../src/io/compact-write';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model } from '../../src/nn/model';
import { load } from '../../src/runtime/engine';
import { sizeOf } from '../../src/tensor/shape';
import { input, step } from '../../src/tensor/tensor';
import {
  graphs,
  LAYER_CASES,
  modelOf,
  networkOf,
  randomWeights,
  titleOf,
} from '../helpers/networks';
import { sampler } from '../helpers/random';
import { compactOf, imageOf } from './models';

const engine = await load({ threads: 1, binary: 'simd' });

const SMALL = sequential(
  'small',
  [1, 8, 8],
  [
    ['conv2d', { channels: 6, kernel: 3, stride: 2, padding: 1 }],
    ['relu'],
    ['flatten'],
    ['dense', { units: 24 }],
    ['relu'],
    ['dense', { units: 5 }],
  ],
);

const denseLogits = (model: Model, x: Float32Array): Float32Array =>
  step(engine, () => logits(model, input(engine, x, [1, ...model.graph.network.input])).read());

/** A model of random weights, of which a share is 0, dense (in canonical form) and compact. */
async function pair(network: Network, sparsity: number, seed: number) {
  const model = modelOf(engine, network, randomWeights(compile(network), sampler(seed)));
  const random = sampler(seed + 1);
  for (const [name, t] of model.params)
    if (name.endsWith('.weight') && t.shape.length > 1)
      t.write(t.read().map((v) => (random.real() < sparsity ? 0 : v)));
  const [dense, compact] = [lower(model), await openModel(await compactFile(model, {}))];
  freeModel(model);
  return { dense, compact };
}

const largest = (values: Float32Array): number =>
  values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);

/** Largest difference beside the largest number. */
const distance = (got: Float32Array, want: Float32Array): number =>
  largest(want.map((v, i) => v - got[i]!)) / (largest(want) + 1e-30);

function expectSame(dense: Model, compact: CompactModel, x: Float32Array): void {
  const want = denseLogits(dense, x);
  const { label, logits: got } = compact.predict(x);
  const size = largest(want) + 1e-30;
  expect(got).toHaveLength(want.length);
  expect(distance(got, want)).toBeLessThan(1e-5);
  if (want.length < 2) return;
  for (const eps of [0, 0.003, 0.1]) {
    const margin = leastMargins(dense, x, [label], eps, { sound: true })[0]!;
    const certificate = compact.certify(x, eps);
    expect(certificate).toEqual({ label, eps, certified: margin > 0, margin: certificate.margin });
    expect(Math.abs(certificate.margin - margin)).toBeLessThanOrEqual(
      1e-5 * Math.max(Math.abs(margin), size),
    );
  }
}

describe('a compact model', () => {
  // A dropout alone has no canonical form.
  const cases = LAYER_CASES.filter(({ kind }) => kind !== 'dropout');

  it.each(cases.map((one) => [titleOf(one), networkOf(one)] as const))(
    'computes and bounds as the dense one: %s',
    async (_, network) => {
      for (const sparsity of [0, 0.6, 1]) {
        const { dense, compact } = await pair(network, sparsity, 3);
        expectSame(dense, compact, imageOf(sizeOf(network.input), 4));
        freeModel(dense);
      }
    },
  );

  it('does so for random graphs, images in batches and one by one', async () => {
    const counts = fc.constantFrom(0, 1, 4, 5, 16, 17);
    await fc.assert(
      fc.asyncProperty(graphs, counts, fc.constantFrom(0.3, 0.9), async (g, count, sparsity) => {
        const { dense, compact } = await pair(g.network, sparsity, g.seed);
        const size = sizeOf(g.network.input);
        const images = Array.from({ length: count }, (_, i) => imageOf(size, i));
        for (const x of images.slice(0, 2)) expectSame(dense, compact, x);
        const together = compact.predictBatch(images);
        expect(together).toHaveLength(count);
        together.forEach(({ logits: got }, i) => {
          expect(distance(got, compact.predict(images[i]!).logits)).toBeLessThan(1e-5);
        });
        freeModel(dense);
      }),
      { numRuns: 40 },
    );
  });

  it('has norms folded into convolutions and dense layers, as everywhere', async () => {
    const network = sequential(
      'normed',
      [4, 6, 6],
      [
        ['normalise', { mean: [0.4, 0.5, 0.6, 0.5], std: [0.2, 0.25, 0.3, 0.2] }],
        ['conv2d', { channels: 6, kernel: 3, padding: 1, groups: 2, bias: false }],
        ['batch-norm'],
        ['relu'],
        ['conv2d', { channels: 8, kernel: 3, stride: 2, bias: false }],
        ['dropout', { rate: 0.3 }],
        ['batch-norm'],
        ['relu'],
        ['flatten'],
        ['dense', { units: 12, bias: false }],
        ['batch-norm'],
        ['relu'],
        ['dense', { units: 4, bias: false }],
        ['scale'],
      ],
    );
    for (const sparsity of [0, 0.7]) {
      const { dense, compact } = await pair(network, sparsity, 9);
      expect(dense.graph.nodes.filter(({ kind }) => kind === 'scale')).toHaveLength(1);
      for (let seed = 0; seed < 5; seed++) expectSame(dense, compact, imageOf(144, seed));
      const weights = compile(network).nodes.flatMap(({ params }) => Object.values(params));
      const parameters = weights.reduce((total, { shape }) => total + sizeOf(shape), 0);
      expect(compact.info().parameters).toBe(parameters);
      freeModel(dense);
    }
  });

  it('is certified for what no point of the ball breaks, up to the radius it says', async () => {
    const model = await openModel(await compactOf(engine, SMALL, 0.5));
    const random = sampler(7);
    let found = 0;
    for (let seed = 0; seed < 10; seed++) {
      const x = imageOf(64, seed);
      const radius = model.radius(x);
      if (radius === 0) continue;
      found++;
      expect(model.certify(x, radius).certified).toBe(true);
      expect(model.certify(x, radius * 1.002).certified).toBe(false);
      const { label, margin } = model.certify(x, radius / 2);
      for (let i = 0; i < 50; i++) {
        const corner = () => (random.real() < 0.5 ? -radius : radius) / 2;
        const near = x.map((v) => Math.min(1, Math.max(0, v + corner())));
        const out = model.predict(near);
        expect(out.label).toBe(label);
        const rest = out.logits.filter((_, j) => j !== label);
        expect(out.logits[label]! - Math.max(...rest)).toBeGreaterThanOrEqual(margin);
      }
    }
    expect(found).toBeGreaterThan(5);
  });

  it('answers calls that meet as if they had not, with memory flat over 10 000 calls', async () => {
    const model = await openModel(await compactOf(engine, SMALL, 0.8));
    const other = await openModel(await compactOf(engine, SMALL, 0.2));
    const x = imageOf(64, 1);
    const all = (m: CompactModel) => [
      m.predict(x),
      m.predictBatch(Array.from({ length: 6 }, (_, i) => imageOf(64, i))),
      m.certify(x, 0.01),
      m.radius(x),
    ];
    const alone = [all(model), all(other)];
    const before = model.info().bytes.linear;
    const tasks = Array.from({ length: 100 }, async (_, i) => {
      await new Promise((done) => setTimeout(done, i % 7));
      expect(all(i % 2 ? other : model)).toEqual(alone[i % 2]);
    });
    await Promise.all(tasks);
    for (let i = 0; i < 10_000; i++) i % 3 ? model.predict(x) : model.certify(x, 0.01);
    expect(model.info().bytes.linear).toBe(before);
  });
});

describe('what is refused', async () => {
  const bytes = await compactOf(engine, SMALL, 0.8);
  const model = await openModel(bytes);
  const x = imageOf(64, 1);
  const right = model.certify(x, 0.001);
  const nan = Float32Array.from(x, (v, i) => (i === 3 ? Number.NaN : v));

  it.each([
    ['an input cut short', () => model.predict(x.subarray(1)), /expected 64 numbers, got 63/],
    ['no input', () => model.predict(undefined as never), /expected 64 numbers/],
    ['NaN', () => model.predict(nan), /finite numbers, got NaN at 3/],
    ['NaN in a batch', () => model.predictBatch([x, nan]), /finite numbers/],
    [
      'a short input in a batch',
      () => model.predictBatch([x, x.subarray(9)]),
      /64 numbers, got 55/,
    ],
    ['a long input', () => model.radius([...x, 0]), /expected 64 numbers, got 65/],
    ['NaN to certify', () => model.certify(nan, 0.1), /finite numbers/],
    ['infinity', () => model.radius(x.map(() => Infinity)), /finite numbers/],
    [
      'pixels up to 255',
      () =>
        model.certify(
          x.map((v) => 255 * v),
          0.1,
        ),
      /in \[0, 1\]/,
    ],
    ['eps below 0', () => model.certify(x, -0.1), /eps >= 0, got -0.1/],
    ['eps without end', () => model.certify(x, Infinity), /eps >= 0, got Infinity/],
    ['eps that is no number', () => model.certify(x, Number.NaN), /eps >= 0, got NaN/],
  ])('%s, and the model stays as it is', (_, call, message) => {
    expect(call).toThrow(EspalierError);
    expect(call).toThrow(message);
    expect(model.certify(x, 0.001)).toEqual(right);
  });

  const open = async (change: (copy: Uint8Array) => Uint8Array): Promise<unknown> =>
    openModel(change(bytes.slice())).then(
      () => 'opened',
      (error) => error,
    );
  const replaced = (from: string, to: string) => (copy: Uint8Array) => {
    const text = new TextDecoder('latin1').decode(copy);
    expect(text).toContain(from);
    return Uint8Array.from(text.replace(from, to), (c) => c.charCodeAt(0));
  };

  it.each([
    ['a file cut short', (copy: Uint8Array) => copy.subarray(0, copy.length - 9)],
    ['half a file', (copy: Uint8Array) => copy.subarray(0, copy.length >> 1)],
    ['no bytes', () => new Uint8Array(0)],
    ['an altered byte', (copy: Uint8Array) => copy.fill(copy.at(-99)! ^ 1, -99, -98)],
    ['a newer version', replaced('espalier-compact/1', 'espalier-compact/2')],
    ['another format', replaced('espalier-compact/1', 'espalier-kompact/1')],
  ])('%s', async (_, change) => {
    expect(await open(change)).toBeInstanceOf(EspalierError);
  });

  it('names what is newer', async () => {
    const error = await open(replaced('espalier-compact/1', 'espalier-compact/2'));
    expect(String(error)).toMatch(/newer version/);
  });

  it('more memory than it may have, and other modules', async () => {
    await expect(openModel(bytes, { maxBytes: 100 })).rejects.toThrow(/at most 100 bytes/);
    const narrow = await openModel(bytes, { maxMemory: 2 ** 18 });
    expect(() => narrow.certify(x, 0)).toThrow(/at most 262144 bytes/);
    expect(narrow.predict(x)).toEqual(model.predict(x));
    await expect(openModel({} as never)).rejects.toThrow(/bytes or a URL/);
    const empty = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
    await expect(openModel(bytes, { module: empty })).rejects.toThrow(/runtime.wasm/);
  });

  it('any use of a closed model, and no other', async () => {
    const closed = await openModel(bytes);
    closed.close();
    closed.close();
    expect(() => closed.predict(x)).toThrow(/an open model/);
    expect(() => closed.certify(x, 0)).toThrow(/an open model/);
    expect(model.certify(x, 0.001)).toEqual(right);
  });
});
