/**
 * What the edge says about inputs that other runtimes see otherwise: radii that are no numbers and meet
 * zeros only, float64 inputs, buffers that change, values that are no numbers, files that ask for memory.
 */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { leastMargins } from '../../src/domain/margins';
import { EspalierError, openModel, type Sample } from '../../src/edge/index';
import { compactFile } from '../../src/io/compact-write';
import { loadModel } from '../../src/io/model';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { modelFrom } from '../../src/nn/model';
import { supportZeros } from '../../src/nn/support';
import { load } from '../../src/runtime/engine';
import { bits } from '../helpers/engine';
import { modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';
import { sealed, zerosOf } from './forge';
import { imageOf } from './models';

const engine = await load({ threads: 1, binary: 'simd' });
const CASES = new URL('../../../shared/cases/unsound/', import.meta.url);
const present = existsSync(CASES);
if (!present) console.warn('../shared/cases is absent: its cases at the edge are skipped.');

const NETWORK = sequential(
  'claims',
  [6],
  [['dense', { units: 8 }], ['relu'], ['dense', { units: 8 }], ['relu'], ['dense', { units: 3 }]],
);

/** The message of what is thrown, which is in words. */
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(EspalierError);
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
}
const refused = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'opened',
    (error: unknown) => {
      expect(error).toBeInstanceOf(EspalierError);
      return (error as Error).message;
    },
  );

const bytesOf = async (network: Network): Promise<Uint8Array> =>
  compactFile(modelOf(engine, network, randomWeights(compile(network), sampler(3))), {});
const open = async (network = NETWORK) => openModel(await bytesOf(network));

describe('certificates at the edge', () => {
  it.skipIf(!present)('do not lose a radius that overflows where it meets zeros', async () => {
    const edge = await openModel(readFileSync(new URL('nan2.compact', CASES)));
    const { x } = JSON.parse(readFileSync(new URL('nanimage.json', CASES), 'utf8'));
    const model = await loadModel(engine, new URL('nan2.safetensors', CASES).pathname);
    const { label } = edge.predict(x);
    for (const eps of [0, 1e-6, 0.01, 1]) {
      expect(edge.certify(x, eps).certified).toBe(false);
      const canonical = supportZeros(lower(model));
      const margin = leastMargins(canonical, Float32Array.from(x), [label], eps, { sound: true });
      expect(margin[0]! > 0).toBe(false);
    }
    expect(edge.radius(x)).toBe(0);
  });

  it.each([
    ['a value that overflows', 3e38, 3e38],
    ['a scale that is no number', Number.NaN, 1],
  ])('are not given for %s and meets zeros only', async (_, factor, weight) => {
    const network = sequential(
      'nan',
      [2],
      [['dense', { units: 2, bias: false }], ['elementwise'], ['dense', { units: 2 }]],
    );
    const weights: Record<string, number[]> = {
      'dense1.weight': [weight, weight, 1, 0],
      'elementwise1.scale': [factor, 1],
      'elementwise1.shift': [0, 0],
      'dense2.weight': [0, 1, 0, -1],
      'dense2.bias': [1, 0],
    };
    const model = modelFrom(engine, network, (name) => weights[name]!);
    const edge = await openModel(await compactFile(model, {}));
    const { certified, margin } = edge.certify([1, 1], 0.001);
    expect([certified, margin]).toEqual([false, Number.NaN]);
  });

  it('are around the numbers given, not around those they are rounded to', async () => {
    const edge = await open();
    const given = [...imageOf(6, 5)].map((v) => v / 3);
    const rounded = Float32Array.from(given);
    const away = Math.max(...given.map((v, i) => Math.abs(v - rounded[i]!)));
    expect(away).toBeGreaterThan(0);
    expect(edge.predict(given)).toEqual(edge.predict(rounded));
    for (const eps of [0, 1e-7, 0.01]) {
      const { margin } = edge.certify(given, eps);
      expect(margin).toBeLessThanOrEqual(edge.certify(rounded, eps).margin);
      expect(margin).toBeLessThanOrEqual(edge.certify(rounded, eps + away).margin);
    }
    expect(edge.radius(given)).toBeLessThanOrEqual(edge.radius(rounded));
    const above = 1 + 2 ** -40;
    expect(refusal(() => edge.certify([above, 0, 0, 0, 0, 0], 0))).toMatch(
      /in \[0, 1\], got 1.0000/,
    );
  });
});

describe('what is no number', () => {
  const odd: readonly unknown[] = [null, undefined, '', '0.5', 1n, true, [], {}, Symbol('x'), NaN];
  it('is refused as eps and as pixels', async () => {
    const edge = await open();
    const x = imageOf(6, 1);
    for (const value of odd) {
      expect(refusal(() => edge.certify(x, value as number))).toMatch(/radius eps >= 0/);
      const pixels = [0, 0, value, 0, 0, 0] as number[];
      for (const call of [
        () => edge.predict(pixels),
        () => edge.certify(pixels, 0.1),
        () => edge.radius(pixels),
        () => edge.predictBatch([x, pixels]),
      ])
        expect(refusal(call)).toMatch(/numbers?.*at 2/);
    }
    expect(refusal(() => edge.certify(x, -0.1))).toMatch(/eps >= 0, got -0.1/);
    const sparse = new Array<number>(6);
    sparse[0] = 1;
    expect(refusal(() => edge.predict(sparse))).toMatch(/undefined at 1/);
    expect(refusal(() => edge.predict([1e39, 0, 0, 0, 0, 0]))).toMatch(/finite/);
  });

  it('is refused as an input', async () => {
    const edge = await open();
    for (const value of [
      null,
      undefined,
      '123456',
      6,
      1n,
      new BigInt64Array(6),
      () => 0,
      new Map(),
    ]) {
      for (const call of [
        () => edge.predict(value as unknown as Sample),
        () => edge.predictBatch([value as unknown as Sample]),
        () => edge.radius(value as unknown as Sample),
      ])
        expect(refusal(call)).toMatch(/input: expected/);
      const batch = value as unknown as Sample[];
      expect(refusal(() => edge.predictBatch(batch))).toMatch(/predictBatch: expected an array/);
    }
  });

  it('is refused as a source and as options', async () => {
    for (const source of [undefined, null, 5, {}, [], true, Symbol('s'), new Blob()])
      expect(await refused(openModel(source as unknown as Uint8Array))).toMatch(
        /openModel: expected bytes or a URL/,
      );
    const bytes = await bytesOf(NETWORK);
    for (const options of [
      { maxMemory: '1' },
      { maxMemory: Number.NaN },
      { maxBytes: null },
      { maxBytes: -1 },
      { module: {} },
      { module: 3 },
    ])
      expect(await refused(openModel(bytes, options as object))).toMatch(/openModel|load/);
    expect(await refused(openModel(bytes, null as unknown as object))).toMatch(/options/);
    expect(await refused(openModel('no://where'))).toMatch(/openModel: no:\/\/where/);
  });
});

describe('the bytes of a model', () => {
  it('may change after it was opened', async () => {
    const bytes = await bytesOf(NETWORK);
    const [edge, other] = [await openModel(bytes), await openModel(bytes.slice())];
    const many = await openModel(Buffer.from(bytes.buffer));
    bytes.fill(255);
    const x = imageOf(6, 2);
    for (const one of [edge, many]) {
      expect(one.certify(x, 0.01)).toEqual(other.certify(x, 0.01));
      expect(one.predictBatch(new Array(16).fill(x))).toEqual(
        other.predictBatch(new Array(16).fill(x)),
      );
    }
  });

  it('cannot ask for more memory than is said', async () => {
    const rows = sequential('rows', [1], [['dense', { units: 2 ** 25 }]]);
    const planes = sequential(
      'planes',
      [1, 1, 1],
      [
        ['conv2d', { channels: 1, kernel: 1, padding: 2 ** 13 }],
        ['max-pool', { kernel: 2 ** 14 }],
      ],
    );
    const norms = sequential('norms', [2 ** 24], [['batch-norm'], ['dense', { units: 2 }]]);
    for (const network of [rows, planes, norms]) {
      const file = zerosOf(network);
      expect(file.length).toBeLessThan(1500);
      const before = process.memoryUsage().external;
      const opened = openModel(file, { maxMemory: 2 ** 29 });
      expect(await refused(opened)).toMatch(/at most 67108864 bytes \(maxMemory \/ 8\), got/);
      expect(process.memoryUsage().external - before).toBeLessThan(2 ** 24);
    }
  });

  it('may nest JSON as deep as files of ours do, and no deeper', async () => {
    const deep = (n: number): string => `${'['.repeat(n)}${']'.repeat(n)}`;
    for (const key of ['network', 'coded', 'other']) {
      const metadata = { network: '{}', coded: '{}', [key]: deep(20_000) };
      expect(await refused(openModel(sealed(new Map(), metadata)))).toMatch(
        /metadata (network|coded|other), got values nested more than 64 deep/,
      );
    }
    const network = JSON.stringify({ ...NETWORK, nodes: JSON.parse(deep(50)) });
    expect(await refused(openModel(sealed(new Map(), { network, coded: '{}' })))).toMatch(
      /compact/,
    );
    const header = new TextEncoder().encode(`{"a":${deep(20_000)}}`);
    const file = new Uint8Array(8 + header.length);
    new DataView(file.buffer).setUint32(0, header.length, true);
    file.set(header, 8);
    expect(await refused(openModel(file))).toMatch(/header: expected .* nested more than 64 deep/);
  });
});

describe('the canonical form', () => {
  const chains: readonly Network[] = [
    sequential(
      'folds',
      [2, 5, 5],
      [
        ['normalise', { mean: [0.4, 0.5], std: [0.3, 0.2] }],
        ['conv2d', { channels: 4, kernel: 3, bias: false }],
        ['batch-norm'],
        ['relu'],
        ['flatten'],
        ['dense', { units: 6 }],
        ['batch-norm'],
        ['dropout'],
        ['relu'],
        ['dense', { units: 3 }],
        ['scale'],
      ],
    ),
    sequential(
      'groups',
      [4, 4, 4],
      [['conv2d', { channels: 4, kernel: 3, groups: 2 }], ['batch-norm'], ['flatten']],
    ),
  ];
  it.each(chains)('is the library’s to the last bit: $name', async (network) => {
    for (let seed = 0; seed < 20; seed++) {
      const model = modelOf(engine, network, randomWeights(compile(network), sampler(seed)));
      const canonical = lower(model);
      const edge = await openModel(await compactFile(model, {}));
      const again = await openModel(await compactFile(canonical, {}));
      const x = Float32Array.from(sampler(seed).array([...network.input], 0, 1).data);
      // Of the canonical model nothing is folded any more, so that equal bits are equal weights.
      expect(bits(edge.predict(x).logits)).toEqual(bits(again.predict(x).logits));
      expect(edge.certify(x, 0.01)).toEqual(again.certify(x, 0.01));
    }
  });
});
