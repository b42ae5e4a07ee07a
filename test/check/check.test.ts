/**
 * Whole certificates: true ones are accepted; whatever is altered, cut, of another version or of another
 * network is rejected with a reason; and no false claim is ever accepted.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Certificate, type Claim, encode, seal } from '../../src/check/certificate';
import { type CheckResult, check, fingerprint, provenMargin } from '../../src/check/check';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model } from '../../src/nn/model';
import { leastMargins } from '../../src/plan/margins';
import { type Engine, load } from '../../src/runtime/engine';
import { binaries } from '../helpers/engine';
import { nd } from '../helpers/nd';
import { graphs, modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';
import { evaluate } from '../helpers/reference-network';

const CHAIN: Network = sequential(
  'small',
  [1, 6, 6],
  [
    ['conv2d', { channels: 3, kernel: 3, stride: 2, padding: 1 }],
    ['relu'],
    ['flatten'],
    ['dense', { units: 4 }],
  ],
);

/** A canonical model with drawn weights, and images with the labels it gives them. */
function drawn(engine: Engine, network: Network, seed: number) {
  const random = sampler(seed);
  const given = modelOf(engine, network, randomWeights(compile(network), random));
  const model = lower(given);
  freeModel(given);
  const images = random.array([4, ...network.input], 0, 1);
  const own = new Map([...model.params].map(([name, t]) => [name, nd(t.shape, t.read())]));
  const { data } = evaluate(model.graph, own, images);
  const k = data.length / 4;
  const labels = Int32Array.from({ length: 4 }, (_, i) => {
    const row = Array.from(data.subarray(i * k, (i + 1) * k));
    return row.indexOf(Math.max(...row));
  });
  return { model, images: Float32Array.from(images.data), labels, own, random, classes: k };
}

const claimOf = async (
  model: Model,
  image: Float32Array,
  label: number,
  eps: number,
  rest: Partial<Claim> = {},
): Promise<Claim> => ({
  model: { sha256: await fingerprint(model) },
  region: { kind: 'ball', centre: [...image], eps, range: [0, 1] },
  property: { kind: 'label', label },
  method: { name: 'interval' },
  margin: 0,
  ...rest,
});

const judge = async (claim: Claim, model: Model): Promise<CheckResult> =>
  check(encode(await seal(claim)), model);

describe.each(binaries())('certificates of the interval verifier, %s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1, binary });
  });
  afterAll(() => engine.close());

  it('are accepted, with at least the margin claimed', async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(
        graphs,
        fc.constantFrom(0, 1e-4, 1e-2, 0.1),
        async ({ network, seed }, eps) => {
          const { model, images, labels } = drawn(engine, network, seed);
          const margins = leastMargins(model, images, labels, eps, { sound: true });
          for (const [i, margin] of margins.entries()) {
            if (!(margin > 0)) continue;
            const size = images.length / 4;
            const image = images.subarray(i * size, (i + 1) * size);
            const judged = await judge(
              await claimOf(model, image, labels[i]!, eps, { margin }),
              model,
            );
            expect(judged).toMatchObject({ accepted: true });
            accepted++;
          }
          freeModel(model);
        },
      ),
      { numRuns: 60 },
    );
    expect(accepted).toBeGreaterThan(50);
  });
});

describe('a certificate', () => {
  let engine: Engine;
  let model: Model;
  let certificate: Certificate;
  const reason = async (text: string, on = model): Promise<string> => {
    const judged = await check(text, on);
    return judged.accepted ? 'accepted' : judged.reason;
  };
  const resealed = async (change: object): Promise<string> => {
    const { format, digest, ...claim } = certificate;
    return reason(encode(await seal({ ...claim, ...change } as Claim)));
  };
  beforeAll(async () => {
    engine = await load({ threads: 1 });
    const { images, labels, ...rest } = drawn(engine, CHAIN, 5);
    model = rest.model;
    const image = images.subarray(0, 36);
    const slopes = { relu1: Array.from({ length: 27 }, () => 0.5) };
    const method = { name: 'linear', intermediate: 'linear', slopes } as const;
    const claim = await claimOf(model, image, labels[0]!, 0.01, { method });
    const margin = 0.999 * provenMargin(claim, model);
    certificate = await seal({ ...claim, margin });
  });
  afterAll(() => engine.close());

  it('is accepted as it stands', async () => {
    const judged = await check(encode(certificate), model);
    expect(judged).toMatchObject({ accepted: true });
    if (judged.accepted) expect(judged.margin).toBeGreaterThanOrEqual(certificate.margin);
  });

  it('is rejected with any one value of it changed, left out or added', async () => {
    const text = encode(certificate);
    let changes = 0;
    /** Every place of the document, and what could stand there instead. */
    const visit = async (at: unknown, replace: (value: unknown) => unknown): Promise<void> => {
      for (const other of [null, 'x', -1, {}, [], ...(typeof at === 'number' ? [at + 1e-3] : [])]) {
        const altered = JSON.stringify(replace(other));
        if (altered === text.trim()) continue;
        expect(await reason(altered), altered.slice(0, 300)).toMatch(/expected .*got /s);
        changes++;
      }
      if (typeof at !== 'object' || at === null) return;
      const keys = Object.keys(at);
      for (const key of keys.length > 12 ? keys.slice(0, 2) : keys) {
        const inner = (at as Record<string, unknown>)[key];
        const put = (value: unknown): unknown => {
          const copy = structuredClone(at) as Record<string, unknown>;
          if (value === undefined) delete copy[key];
          else copy[key] = value;
          return replace(Array.isArray(at) ? Object.values(copy) : copy);
        };
        if (!Array.isArray(at))
          expect(await reason(JSON.stringify(put(undefined)))).toMatch(/expected/);
        await visit(inner, put);
      }
      if (!Array.isArray(at))
        expect(await reason(JSON.stringify(replace({ ...at, extra: 1 })))).toMatch(/expected/);
    };
    await visit(JSON.parse(text), (value) => value);
    expect(changes).toBeGreaterThan(60);
  });

  it('is rejected when cut anywhere', async () => {
    const text = encode(certificate).trim();
    for (let end = 0; end < text.length; end += Math.ceil(text.length / 50))
      expect(await reason(text.slice(0, end))).toMatch(/expected .* as JSON/);
  });

  it('is rejected with a digest of its own where the claim is not so', async () => {
    const { region, property } = certificate;
    const label = (property as { label: number }).label;
    expect(await resealed({ region: { ...region, eps: 0.9 } })).toMatch(/proven is only -/);
    for (const other of [0, 1, 2, 3].filter((j) => j !== label))
      expect(await resealed({ property: { kind: 'label', label: other } })).toMatch(
        /proven is only -/,
      );
    expect(await resealed({ margin: 1e6 })).toMatch(/expected a margin of 1000000/);
    expect(await resealed({ model: { sha256: '0'.repeat(64) } })).toMatch(
      /expected the network 0000/,
    );
    const linear = { kind: 'linear', rows: [[-1, -1, -1, -1]], offsets: [-1e3] };
    expect(await resealed({ property: linear })).toMatch(/proven is only -/);
  });

  it('is rejected where its parts do not fit', async () => {
    const { region, method } = certificate;
    for (const [change, what] of [
      [{ region: { ...region, centre: [1] } }, /region.centre: expected 36 numbers, got 1/],
      [
        { region: { ...region, range: [2, 3] } },
        /region.centre: input 0: expected a value in \[2, 3\]/,
      ],
      [{ region: { kind: 'box', lo: Array(36).fill(1), hi: Array(36).fill(0) } }, /expected some/],
      [{ region: { kind: 'box', lo: [], hi: [] } }, /region.lo: expected 36/],
      [{ property: { kind: 'label', label: 4 } }, /a class in \[0, 4\)/],
      [
        { property: { kind: 'linear', rows: [], offsets: [] } },
        /property.rows: expected 1 to 10000 lists/,
      ],
      [{ property: { kind: 'linear', rows: [[1]], offsets: [0] } }, /property.rows.0: expected 4/],
      [{ property: { kind: 'linear', rows: [[1, 0, 0, 0]], offsets: [] } }, /property.offsets/],
      [
        { method: { ...method, slopes: { relu1: [1] } } },
        /slopes of relu1: expected one for each of 27/,
      ],
      [{ method: { ...method, slopes: { conv2d1: [1] } } }, /one for each of no values/],
    ] as const)
      expect(await resealed(change)).toMatch(what);
  });

  it('is rejected of a smaller radius than is wanted, and of a box', async () => {
    const { eps } = certificate.region as { eps: number };
    const wanting = (radius: number, text = encode(certificate)): Promise<CheckResult> =>
      check(text, model, { eps: radius });
    for (const radius of [0, eps / 2, eps]) expect((await wanting(radius)).accepted).toBe(true);
    expect(await wanting(1.01 * eps)).toMatchObject({
      accepted: false,
      reason: `certificate: expected a ball of radius ${1.01 * eps} or more, got ${eps}.`,
    });
    const { format: _, digest: __, ...claim } = certificate;
    const { centre } = certificate.region as { centre: number[] };
    const box = { kind: 'box', lo: centre, hi: centre } as const;
    const boxed = encode(await seal({ ...claim, region: box, margin: 0 }));
    expect((await check(boxed, model)).accepted).toBe(true);
    expect(await wanting(0, boxed)).toMatchObject({
      reason: 'certificate: expected a ball of radius 0 or more, got a box.',
    });
  });

  it('of a newer version says so', async () => {
    const newer = JSON.stringify({ ...certificate, format: 'espalier-certificate/2' });
    expect(await reason(newer)).toMatch(
      /version 1 .*got "espalier-certificate\/2"\. A newer espalier/,
    );
    expect(await reason('{}')).toMatch(/format: expected/);
  });

  it('is of one network: a weight in its last bit, or another shape, is another', async () => {
    const { model: same } = drawn(engine, CHAIN, 5);
    expect(await fingerprint(same)).toBe(certificate.model.sha256);
    const weight = same.params.get('conv2d1.weight')!;
    const values = weight.read().slice();
    values[7] = values[7]! * (1 + 2 ** -23);
    const changed = modelOf(
      engine,
      CHAIN,
      new Map(
        [...same.params].map(([name, t]) => [name, nd(t.shape, t === weight ? values : t.read())]),
      ),
    );
    expect(await reason(encode(certificate), changed)).toMatch(/expected the network/);
    const { model: other } = drawn(engine, sequential('n', [36], [['dense', { units: 4 }]]), 5);
    expect(await reason(encode(certificate), other)).toMatch(/expected the network/);
  });

  it('is not read where it is too large, nor checked where that takes too long', async () => {
    expect(await reason(' '.repeat(2 ** 26 + 1))).toMatch(/at most 67108864 characters/);
    expect(await reason('['.repeat(100_000))).toMatch(/expected/);
    const slow = await check(encode(certificate), model, { limit: 1000 });
    expect(slow).toMatchObject({
      accepted: false,
      reason: expect.stringMatching(/1000 multiply-adds/),
    });
  });

  it('is rejected of a network that could overflow or is no number', async () => {
    for (const bad of [3e38, Number.NaN, Number.POSITIVE_INFINITY]) {
      const network = sequential(
        'n',
        [2],
        [['dense', { units: 2 }], ['sigmoid'], ['dense', { units: 2 }]],
      );
      const weights = new Map(
        [...randomWeights(compile(network), sampler(1))].map(([name, w]) => [
          name,
          name === 'dense1.weight'
            ? nd(
                w.shape,
                w.data.map(() => bad),
              )
            : w,
        ]),
      );
      const broken = modelOf(engine, network, weights);
      for (const label of [0, 1]) {
        const judged = await judge(
          await claimOf(broken, Float32Array.of(0.5, 0.5), label, 0.1),
          broken,
        );
        expect(judged).toMatchObject({
          accepted: false,
          reason: expect.stringMatching(bad === 3e38 ? /overflow/ : /expected finite weights, got/),
        });
      }
    }
  });

  it('lists every layer that it has no reading of', async () => {
    const nodes = ['a', 'b'].map((name) => ({ name, layer: 'batch-norm' }));
    const network = { name: 'n', input: [3], nodes };
    const raw = modelOf(engine, network, randomWeights(compile(network), sampler(2)));
    const judged = await judge(await claimOf(raw, Float32Array.of(0, 0, 0), 0, 0), raw);
    expect(judged).toMatchObject({
      accepted: false,
      reason: expect.stringMatching(/n\.a: expected a layer that can be checked.*\n.*n\.b: /),
    });
  });
});

describe('a false claim', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it('is never accepted: products of denormal numbers round to a positive sum', async () => {
    const network = sequential('n', [1], [['dense', { units: 3 }]]);
    const weights = new Map([
      ['dense1.weight', nd([3, 1], Float32Array.of(0, 0, 0))],
      ['dense1.bias', nd([3], Float32Array.of(0.51, 0.51, 1.4))],
    ]);
    const model = modelOf(engine, network, weights);
    const tiny = Number.MIN_VALUE;
    const property = { kind: 'linear', rows: [[tiny, tiny, -tiny]], offsets: [0] } as const;
    // 0.51 + 0.51 - 1.4 < 0, but in f64 each product rounds to the smallest number.
    expect(tiny * 0.51 + tiny * 0.51 - tiny * 1.4).toBeGreaterThan(0);
    for (const method of [
      { name: 'interval' },
      { name: 'linear', intermediate: 'linear' },
    ] as const) {
      const rest = { property, method } as unknown as Partial<Claim>;
      const claim = await claimOf(model, Float32Array.of(0.5), 0, 0.1, rest);
      expect(await judge(claim, model)).toMatchObject({ accepted: false });
    }
  });

  it('is never accepted: a margin that is no finite number', async () => {
    const network = sequential('n', [1], [['dense', { units: 1, bias: false }]]);
    const model = modelOf(engine, network, new Map([['dense1.weight', nd([1, 1], [1])]]));
    const property = { kind: 'linear', rows: [[1.7e308]], offsets: [1.7e308] };
    const region = { kind: 'box', lo: [0.9], hi: [1] };
    const rest = { property, region } as unknown as Partial<Claim>;
    const claim = await claimOf(model, Float32Array.of(1), 0, 0, rest);
    expect(await judge(claim, model)).toMatchObject({
      accepted: false,
      reason: expect.stringMatching(/proven is only (NaN|Infinity)/),
    });
  });

  it('is never accepted: a weight that only padding meets is NaN', async () => {
    const network = sequential(
      'n',
      [1, 1, 1],
      [['conv2d', { channels: 2, kernel: 3, padding: 1 }], ['flatten']],
    );
    const weight = new Float32Array(18);
    weight.set([1], 4);
    weight.set([Number.NaN], 0);
    const weights = new Map([
      ['conv2d1.weight', nd([2, 1, 3, 3], weight)],
      ['conv2d1.bias', nd([2], Float32Array.of(1, 0))],
    ]);
    const model = modelOf(engine, network, weights);
    expect(await judge(await claimOf(model, Float32Array.of(0.5), 0, 0), model)).toMatchObject({
      accepted: false,
      reason: 'n.conv2d1.weight: expected finite weights, got NaN.',
    });
  });

  it('is never accepted: the region holds a point of another label', async () => {
    let broken = 0;
    await fc.assert(
      fc.asyncProperty(
        graphs,
        fc.constantFrom(0.01, 0.1, 0.5),
        fc.boolean(),
        async ({ network, seed }, eps, refined) => {
          const { model, images, labels, own, random } = drawn(engine, network, seed);
          const size = images.length / 4;
          const image = images.subarray(0, size);
          // Points of the ball and its corners, until one has another label than the image.
          const points = Float32Array.from({ length: 60 * size }, (_, at) => {
            const x = image[at % size]!;
            const step =
              random.real() < 0.5 ? random.real(-eps, eps) : random.real() < 0.5 ? eps : -eps;
            return Math.min(1, Math.max(0, x + step));
          });
          const { data } = evaluate(model.graph, own, nd([60, ...network.input], points));
          const k = data.length / 60;
          const wins = (row: number): number => {
            const z = Array.from(data.subarray(row * k, (row + 1) * k));
            return z.indexOf(Math.max(...z));
          };
          const other = Array.from({ length: 60 }, (_, row) => wins(row)).findIndex(
            (c) => c !== labels[0],
          );
          if (other >= 0) {
            broken++;
            const intermediate = refined ? 'linear' : 'interval';
            // Slopes drawn at random must not help.
            const slopes = Object.fromEntries(
              model.graph.nodes
                .filter(({ layer }) => layer.role === 'pointwise')
                .map(({ name, shape }) => [
                  name,
                  Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
                    random.real(-1, 2),
                  ),
                ]),
            );
            const wide = eps * (1 + 2 ** -20);
            for (const method of [
              { name: 'interval' },
              { name: 'linear', intermediate },
              { name: 'linear', intermediate, slopes },
            ] as const)
              for (const label of [labels[0]!, wins(other)]) {
                const claim = await claimOf(model, image, label, wide, { method });
                expect((await judge(claim, model)).accepted, JSON.stringify(method)).toBe(false);
              }
          }
          freeModel(model);
        },
      ),
      { numRuns: 150 },
    );
    expect(broken).toBeGreaterThan(10);
  });
});

describe('large claims', () => {
  it('are judged in blocks of rows: 30 000 outputs in bounded memory', async () => {
    const engine = await load({ threads: 1 });
    const units = 30_000;
    const network = sequential('wide', [2], [['dense', { units }]]);
    const bias = new Float32Array(units);
    bias[7] = 1;
    const weights = new Map([
      ['dense1.weight', nd([units, 2], new Float32Array(2 * units).fill(0.25))],
      ['dense1.bias', nd([units], bias)],
    ]);
    const model = modelOf(engine, network, weights);
    const before = process.memoryUsage().arrayBuffers;
    const claim = await claimOf(model, Float32Array.of(0.5, 0.5), 7, 0.1);
    expect(await judge(claim, model)).toMatchObject({ accepted: true });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 30);
    engine.close();
  });
});
