/** Costs fitted to a machine: least squares, the measurements, files, and plans that go by them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { costsText, readCosts } from '../../src/measure/costs';
import { fitCosts, fitSamples, leastSquares, type Sample } from '../../src/measure/fit';
import { stopwatch } from '../../src/measure/stopwatch';
import { sequential } from '../../src/nn/graph';
import { createModel, freeModel } from '../../src/nn/model';
import { compilePlan } from '../../src/plan/plan';
import { fastestPlan } from '../../src/plan/sparse-plan';
import { type CostForm, costOf, SHIPPED } from '../../src/runtime/costs';
import { load } from '../../src/runtime/engine';
import { sampler } from '../helpers/random';

const engine = await load({ threads: 1, binary: 'simd' });
const folder = mkdtempSync(join(tmpdir(), 'espalier-costs-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Samples of a form with drawn amounts, which take as long as `factors` say. */
function samplesOf(
  form: CostForm,
  factors: Readonly<Record<string, number>>,
  count: number,
  seed = 1,
): Sample[] {
  const random = sampler(seed);
  return Array.from({ length: count }, () => {
    const drawn = random.array([Object.keys(factors).length], 1, 1000).data;
    const work = Object.fromEntries(Object.keys(factors).map((key, i) => [key, drawn[i]!]));
    const seconds = Object.entries(factors).reduce((sum, [key, f]) => sum + f * work[key]!, 0);
    return { form, work, seconds };
  });
}

describe('least squares', () => {
  it('find factors that explain everything', () => {
    const factor = fc.constantFrom(0, 0.5, 3, 700);
    fc.assert(
      fc.property(factor, factor, factor, fc.integer(), (a, b, c, seed) => {
        fc.pre(a + b + c > 0);
        const samples = samplesOf('conv', { a, b, c }, 9, seed);
        const got = leastSquares(['a', 'b', 'c'], samples);
        for (const { work, seconds } of samples) {
          const told = got.a! * work.a! + got.b! * work.b! + got.c! * work.c!;
          expect(Math.abs(told / seconds - 1)).toBeLessThan(1e-4);
        }
      }),
    );
  });

  it('are never negative, and take one of two keys that say the same', () => {
    const samples = [1, 2, 3].map((a) => ({
      form: 'gemm' as const,
      work: { a, b: a, c: 10 * a },
      seconds: a === 1 ? 1 : 2 + a,
    }));
    const got = leastSquares(['a', 'b', 'c'], samples);
    expect(Object.values(got).every((f) => f >= 0)).toBe(true);
    expect(Object.values(got).filter((f) => f > 0)).toHaveLength(1);
  });

  it('give the shipped table back, in any unit', () => {
    const forms = Object.keys(SHIPPED) as CostForm[];
    const samples = forms.flatMap((form) =>
      samplesOf(form, SHIPPED[form], 12).map(({ seconds, ...rest }) => ({
        ...rest,
        seconds: 3e-11 * seconds,
      })),
    );
    const fit = fitSamples(samples);
    expect(fit.unit / 3e-11).toBeCloseTo(1, 6);
    for (const form of forms)
      for (const [key, factor] of Object.entries<number>(SHIPPED[form]))
        expect((fit.costs[form] as Record<string, number>)[key]! / factor).toBeCloseTo(1, 3);
    for (const { fitted, shipped } of fit.forms)
      expect(Math.max(fitted.worst, shipped.worst)).toBeLessThan(1e-4);
  });

  it.each([
    ['no samples', []],
    ['times of 0', samplesOf('csr', SHIPPED.csr, 3).map((one) => ({ ...one, seconds: 0 }))],
  ])('leave no form without a cost: %s', (_, csr) => {
    const forms = (Object.keys(SHIPPED) as CostForm[]).filter((form) => form !== 'csr');
    const others = forms.flatMap((form) => samplesOf(form, SHIPPED[form], 12));
    expect(() => fitSamples([...others, ...csr])).toThrow(
      /bench --fit: csr: expected times that give it a cost, got none/,
    );
  });
});

it('measures every form on this machine and frees what it took', async () => {
  const own = await load({ threads: 1 });
  const used = own.memory.usedBytes;
  const { costs, unit, forms } = fitCosts(own, { seconds: 0, size: 'tiny' });
  own.arena.trim();
  expect(own.memory.usedBytes).toBe(used);
  own.close();
  expect(unit).toBeGreaterThan(0);
  expect(forms.map(({ form }) => form)).toEqual(Object.keys(SHIPPED));
  for (const { form, samples, fitted, shipped } of forms) {
    expect(samples, form).toBeGreaterThan(1);
    const factors = Object.values<number>(costs[form]);
    expect(
      factors.every((f) => f >= 0 && f < Infinity),
      form,
    ).toBe(true);
    expect(
      factors.some((f) => f > 0),
      form,
    ).toBe(true);
    for (const { median, worst } of [fitted, shipped]) {
      expect(median).toBeGreaterThanOrEqual(0);
      expect(worst).toBeGreaterThanOrEqual(median);
    }
  }
  const path = join(folder, 'fitted.json');
  writeFileSync(path, costsText(costs));
  expect(await readCosts(path)).toEqual(costs);
});

it('a stopwatch tells no more than what passed, and of the shortest call more than nothing', () => {
  const timed = stopwatch();
  for (const size of [...new Array(1000).fill(1), 1e6]) {
    const started = performance.now();
    let sum = 0;
    const took = timed(() => {
      for (let i = 0; i <= size; i++) sum += i % 7;
    });
    expect(sum).toBeGreaterThan(0);
    expect(took).toBeGreaterThan(0);
    expect(took).toBeLessThanOrEqual(1000 * (performance.now() - started));
  }
});

describe('plans', () => {
  it('choose by the table they are given', () => {
    const network = sequential(
      'two',
      [3, 8, 8],
      [['conv2d', { channels: 8, kernel: 3 }], ['relu']],
    );
    const model = createModel(engine, network, { seed: 1 });
    const images = Float32Array.from(sampler(1).array([4 * 192], 0, 1).data);
    const want = compilePlan(model, { batch: 4 }).run(images);
    const cheap = { product: 0, gather: 0, tap: 0, input: 0, output: 0, panel: 0, row: 0 };
    for (const form of ['conv', 'direct', 'winograd', 'csr'] as const) {
      const costs = { ...SHIPPED, [form]: cheap };
      const plan = fastestPlan(model, { batch: 4, costs, allowWinograd: true });
      expect(plan.steps[0]!.form).toBe(form);
      plan.run(images).forEach((v, i) => {
        expect(v).toBeCloseTo(want[i]!, 4);
      });
      plan.free();
      const direct = fastestPlan(model, { batch: 4, costs });
      expect(direct.steps[0]!.form === 'winograd').toBe(false);
      direct.free();
    }
    freeModel(model);
  });

  it('do nothing at no cost: a form that does not apply costs everything', () => {
    expect(costOf('conv', undefined)).toBe(Infinity);
    expect(costOf('gemm', { product: 0 })).toBe(0);
  });
});

describe('files of costs', () => {
  const file = (text: string): string => {
    const path = join(folder, 'costs.json');
    writeFileSync(path, text);
    return path;
  };
  const changed = (change: (json: Record<string, unknown>) => void): string => {
    const json = JSON.parse(costsText(SHIPPED));
    change(json);
    return file(JSON.stringify(json));
  };

  it.each([
    ['no JSON', () => file('{'), /costs\.json: expected JSON/],
    [
      'another schema',
      () => changed((j) => (j.schema = 'x/1')),
      /schema: expected "espalier-costs/,
    ],
    ['no costs', () => changed((j) => delete j.costs), /costs: expected a value, got nothing\./],
    [
      'a form less',
      () => changed((j) => delete (j.costs as Record<string, unknown>).csr),
      /costs\.csr: expected a value, got nothing\./,
    ],
    [
      'a form more',
      () => changed((j) => ((j.costs as Record<string, unknown>).fft = {})),
      /costs\.fft: expected a known option/,
    ],
    [
      'a negative factor',
      () => changed((j) => ((j.costs as Record<string, unknown>).gemm = { product: -1 })),
      /costs\.gemm\.product: expected a number in \[0/,
    ],
    [
      'a form for nothing',
      () => changed((j) => ((j.costs as Record<string, unknown>).gemm = { product: 0 })),
      /costs\.gemm: expected a factor above 0/,
    ],
    [
      'text for a factor',
      () => changed((j) => ((j.costs as Record<string, unknown>).gemm = { product: '1' })),
      /costs\.gemm\.product: expected a number/,
    ],
  ])('%s is an error that says where', async (_, make, message) => {
    await expect(readCosts(make())).rejects.toThrow(message);
  });
});
