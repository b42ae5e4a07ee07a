/** Properties behind a softmax: linear rows hold wherever they do, and what is proven is true. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sequential } from '../../src/nn/graph';
import { freeModel, modelFrom } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { Budget } from '../../src/verify/budget';
import { applyHead, type Head } from '../../src/verify/head';
import { logitRows } from '../../src/verify/head-rows';
import { finish, verifySpecification } from '../../src/verify/search';
import { isUnsafe, slackOf } from '../../src/verify/specification';
import { sampler } from '../helpers/random';

const HEADS: Head[] = ['softmax', 'log-softmax'];
const f64 = (...values: number[]): Float64Array => Float64Array.from(values);

describe.each(HEADS)('%s', (head) => {
  it('is implied: wherever outputs are unsafe, by float32 or float64, so are logits', () => {
    const draw = sampler(7);
    let unsafe = 0;
    for (let i = 0; i < 4000; i++) {
      const n = 2 + draw.whole(4);
      const z = Float32Array.from({ length: n }, () => draw.real(-1, 1) * 10 ** draw.whole(3));
      const y = applyHead(head, z);
      const exact = applyHead(head, Float64Array.from(z));
      const conjunction = () => {
        const rows = Array.from({ length: 1 + draw.whole(3) }, () =>
          Float64Array.from({ length: n }, () => draw.whole(5) - 2),
        );
        // Close to what the outputs are, on both sides.
        const rhs = rows.map((row) => {
          const at = row.reduce((sum, w, j) => sum + w * y[j]!, 0);
          return at + (draw.real() - 0.4) * 10 ** -draw.whole(9);
        });
        return { rows, rhs };
      };
      const property = Array.from({ length: 1 + draw.whole(2) }, conjunction);
      const implied = logitRows(property, head, n);
      for (const outputs of [y, exact]) {
        if (!isUnsafe(property, outputs)) continue;
        unsafe++;
        expect(slackOf(implied, z), JSON.stringify({ z: [...z], property })).toBeLessThanOrEqual(0);
      }
    }
    expect(unsafe).toBeGreaterThan(1000);
  });

  it('keeps orders and thresholds tight', () => {
    const order = [{ rows: [f64(1, -1, 0)], rhs: [0] }];
    const threshold = head === 'softmax' ? -0.5 : -Math.log(0.5);
    const atLeast = [{ rows: [f64(-1, 0, 0)], rhs: [threshold] }];
    for (const [property, safe, unsafe] of [
      [order, f64(0.01, 0, 0), f64(0, 0, 0)],
      [atLeast, f64(0.6, 0, 0), f64(0.75, 0, 0)],
    ] as const) {
      const rows = logitRows(property, head, 3);
      expect(slackOf(rows, safe)).toBeGreaterThan(0);
      expect(isUnsafe(property, applyHead(head, unsafe))).toBe(true);
      expect(slackOf(rows, unsafe)).toBeLessThanOrEqual(0);
    }
  });
});

it('refuses so many outputs that the error of a share would be as large as the share', () => {
  for (const head of HEADS) expect(() => logitRows([], head, 2 ** 22)).toThrow(/fewer outputs/);
});

describe('searches', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it('prove thresholds of shares just outside of what they reach, and find those inside', () => {
    const network = sequential('two', [1], [['dense', { units: 2 }]]);
    const model = modelFrom(engine, network, (name) => (name.endsWith('bias') ? [0, 0] : [1, 0]));
    const region = { lo: f64(0), hi: f64(1) };
    const most = 1 / (1 + Math.exp(-1));
    const ask = (threshold: number) => {
      const unsafe = [{ rows: [f64(-1, 0)], rhs: [-threshold] }];
      const budget = new Budget({ nodes: 200 });
      return finish(verifySpecification(model, { region, head: 'softmax', unsafe }, { budget }));
    };
    expect(ask(most + 1e-4).verdict).toBe('certified');
    const found = ask(most - 1e-4);
    if (found.verdict !== 'falsified') throw new Error(found.verdict);
    expect(found.witness.y[0]! + found.witness.y[1]!).toBeCloseTo(1, 6);
    expect(ask(1.5).verdict).toBe('certified');
    freeModel(model);
  });
});
