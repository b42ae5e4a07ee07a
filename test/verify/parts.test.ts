/** Work in parts: the same results, ended at once by deadlines and signals; and jobs that are none. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inSlices } from '../../src/evaluate/slices';
import { compile, sequential } from '../../src/nn/graph';
import { freeModel, type Model, modelFrom } from '../../src/nn/model';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { whole } from '../../src/tensor/parts';
import { Budget } from '../../src/verify/budget';
import { METHODS, verifySpecification } from '../../src/verify/search';
import { smooth, smoothInParts } from '../../src/verify/smoothing';
import { verifiers } from '../../src/verify/verifiers/registry';
import { modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';

const NETWORK = sequential(
  'parts',
  [6],
  [['dense', { units: 24 }], ['relu'], ['dense', { units: 24 }], ['relu'], ['dense', { units: 4 }]],
);
const COUNT = 40;

let engine: Engine;
let model: Model;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  model = modelOf(engine, NETWORK, randomWeights(compile(NETWORK), sampler(2)));
});
afterAll(() => engine.close());
const job = () => ({
  model,
  images: Float32Array.from(sampler(5).array([COUNT, 6], 0, 1).data),
  labels: new Int32Array(COUNT),
  eps: 0.05,
});

describe.each(Object.entries(verifiers))('%s', (name, entry) => {
  const options = parseOptions(entry.options, {}, name);

  it('gives the same verdicts in parts, with others at work in between', async () => {
    const want = entry.verify(job(), options);
    const parts = entry.inParts(job(), options);
    const mixed = (function* () {
      for (;;) {
        const { done, value } = parts.next();
        if (done) return value;
        verifiers.interval!.verify(job(), { sound: true } as never);
        yield;
      }
    })();
    expect(await inSlices(mixed, { saved: '' })).toEqual(want);
  });

  it('ends at a signal, and gives its memory back', async () => {
    const parts = entry.inParts(job(), options);
    expect(parts.next().done).toBe(false);
    const signal = { aborted: true };
    await expect(inSlices(parts, { signal, saved: 'Kept.' })).rejects.toThrow('interrupted. Kept.');
    expect(engine.arena.epoch).toBeUndefined();
  });

  it('refuses centres outside of [0, 1], labels that are no class and sizes that do not fit', () => {
    for (const [change, message] of [
      [{ images: job().images.fill(1.5, 7, 8) }, /image 1, value 1: expected a number in \[0, 1\]/],
      [{ images: job().images.fill(Number.NaN, 0, 1) }, /image 0, value 0: expected a number/],
      [{ labels: new Int32Array(COUNT).fill(4) }, /label 0: expected a class below 4, got 4/],
      [{ images: new Float32Array(5) }, /expected 40 images of 6 values, got 5 values/],
      [{ eps: -1 }, /eps: expected a number that is not below 0, got -1/],
    ] as const)
      expect(() => entry.verify({ ...job(), ...change }, options)).toThrow(message);
  });

  it('takes no tie that keeps the label for a counter-example', () => {
    const network = sequential('tie', [1], [['dense', { units: 2 }]]);
    const tie = modelFrom(engine, network, (param) => (param.endsWith('bias') ? [0, 0] : [1, 1]));
    const ask = (label: number) =>
      entry.verify(
        { model: tie, images: Float32Array.of(0.5), labels: Int32Array.of(label), eps: 0.1 },
        options,
      )[0]!.verdict;
    // The first of equal outputs is the answer.
    expect(ask(0)).toBe('unknown');
    const searches = ['input-splitting', 'branch-and-bound'].includes(name);
    expect(ask(1)).toBe(searches ? 'falsified' : 'unknown');
    freeModel(tie);
  });
});

describe('searches', () => {
  const region = { lo: new Float64Array(6), hi: new Float64Array(6).fill(1) };
  const rows = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      rows: [Float64Array.from({ length: 4 }, (_, j) => Number(j === i % 4))],
      rhs: [-30 - i / count],
    }));

  it.each([1, 5000])('of %i disjuncts end at the next part after a signal', (count) => {
    // Wherever the signal comes, on the way of one method too.
    for (const at of [0, 1, 3, 10, 20, 40]) {
      const signal = { aborted: false };
      const budget = new Budget({ nodes: 200 }, { signal });
      const search = verifySpecification(model, { region, unsafe: rows(count) }, { budget });
      let step = search.next();
      for (let i = 0; i < at && !step.done; i++) step = search.next();
      signal.aborted = true;
      let more = 0;
      for (; !step.done; step = search.next()) more++;
      expect(more).toBeLessThanOrEqual(2);
      expect(engine.arena.epoch).toBeUndefined();
    }
  });

  it('end when the seconds are over, in the middle of a method', () => {
    let now = 0;
    const budget = new Budget({ seconds: 1 }, { now: () => now });
    const methods = { ...METHODS, bounds: METHODS.bounds.slice(2) };
    const search = verifySpecification(model, { region, unsafe: rows(9) }, { budget, methods });
    let step = search.next();
    while (!step.done) {
      if (step.value.stage === 'crown') now = 2000;
      step = search.next();
    }
    expect(step.value).toMatchObject({ verdict: 'unknown', timeout: true });
  });
});

it('smoothing is the same in parts', () => {
  const options = { sigma: 0.1, n0: 20, n: 600, alpha: 0.01, seed: 1, batch: 50 };
  const image = job().images.slice(0, 6);
  const parts = smoothInParts(model, image, 0, options);
  expect(parts.next().done).toBe(false);
  expect(whole(parts)).toEqual(smooth(model, image, 0, options));
});
