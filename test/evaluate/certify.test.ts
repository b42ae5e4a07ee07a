/** Cascades, radii and shared work in-process; processes and kills: test/cli/verify.test.ts. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataSet } from '../../src/data/types';
import { type CertifyJob, certifyBlock } from '../../src/evaluate/certify';
import { BLOCK, type CertifyHooks, certify } from '../../src/evaluate/certify-run';
import { evaluate } from '../../src/evaluate/evaluate';
import { Interrupted } from '../../src/events';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model } from '../../src/nn/model';
import type { PlugIn } from '../../src/options';
import { parseOptions } from '../../src/options';
import {
  certifiedAt,
  certifiedCurve,
  radiusTable,
  renderRadiusReport,
} from '../../src/report/radius';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { verifiers } from '../../src/verify/verifiers/registry';
import { inTemporaryFolder } from '../recipe/temporary';
import { tinyConfig } from '../recipe/tiny-run';
import { batchFrom, range, toySet, trainedToy } from '../train/toy';

const COUNT = 60;
const EPS = 0.2;
let engine: Engine;
let set: DataSet;
let model: Model;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  const toy = await toySet();
  const labels = toy.test.labels.map((label, i) => (i % 16 === 3 ? (label + 1) % 4 : label));
  set = { ...toy, test: { ...toy.test, labels } };
  model = lower(trainedToy(engine, set, { objective: objectives.benign! }, 60));
});
afterAll(() => {
  freeModel(model);
  engine.close();
});

const plugIn = (name: string): PlugIn => ({
  name,
  ...(parseOptions(verifiers[name]!.options, {}, name) as object),
});
const jobOf = (names: readonly string[], changes: Partial<CertifyJob> = {}): CertifyJob => ({
  ...{ model, set, split: set.test, eps: 0.05, radius: false },
  verifiers: names.map(plugIn),
  ...changes,
});
const certifiedBy = (name: string, eps: number): boolean[] => {
  const batch = batchFrom(set, set.test, range(0, COUNT));
  const { name: _, ...options } = plugIn(name);
  return verifiers[name]!.verify({ model, ...batch, eps }, options).map(
    ({ verdict }) => verdict === 'certified',
  );
};

describe('a cascade', () => {
  it('gives every sample the best of all, by the first that decides', () => {
    const names = ['interval', 'crown-ibp', 'crown'];
    const { samples, seconds } = certifyBlock(jobOf(names), 0, COUNT);
    const alone = new Map(names.map((name) => [name, certifiedBy(name, 0.05)]));
    let [later, wrong] = [0, 0];
    for (const { index, verdict, by, margin } of samples) {
      if (by === 'network') {
        wrong++;
        expect({ verdict, margin }).toEqual({ verdict: 'falsified', margin: null });
        for (const name of names) expect(alone.get(name)![index]).toBe(false);
        continue;
      }
      const first = names.find((name) => alone.get(name)![index]);
      expect(verdict).toBe(first ? 'certified' : 'unknown');
      if (first) expect(by).toBe(first);
      if (first && first !== 'interval') later++;
      expect(margin! > 0).toBe(first !== undefined);
    }
    expect(samples.map(({ index }) => index)).toEqual(range(0, COUNT));
    expect(later).toBeGreaterThan(3);
    expect(wrong).toBeGreaterThan(2);
    expect(Object.keys(seconds)).toEqual(names);
  });

  it('finds the largest radius to a share of 1/64, on a lattice of eps', () => {
    const { samples } = certifyBlock(jobOf(['crown'], { radius: true, eps: EPS }), 0, COUNT);
    const at = new Map<number, boolean[]>();
    const certified = (eps: number, index: number): boolean => {
      if (!at.has(eps)) at.set(eps, certifiedBy('crown', eps));
      return at.get(eps)![index]!;
    };
    for (const { index, by, radius, verdict } of samples) {
      if (by === 'network') expect(radius).toBe(0);
      if (verdict === 'certified') expect(radius).toBeGreaterThanOrEqual(EPS);
      if (radius === 0) expect(certified(EPS / 64, index)).toBe(false);
      else {
        expect(certified(radius!, index)).toBe(true);
        const width = 2 ** Math.max(0, Math.floor(Math.log2(radius! / EPS)));
        expect(certified(radius! + (EPS * width) / 64, index)).toBe(false);
      }
    }
    expect(new Set(samples.map(({ radius }) => radius)).size).toBeGreaterThan(10);
  });

  it('counts samples whose proven radius an attack contradicts', async () => {
    const { evaluate: config } = tinyConfig({ evaluate: { eps: 0.4, attack: { name: 'pgd' } } });
    const wrong = { verdict: 'unknown', radius: 0.4 } as const;
    const all = range(0, COUNT).map(() => wrong);
    const { accuracies, contradictions } = await evaluate(model, set, set.test, config, {
      verdicts: all,
    });
    expect(accuracies.vra).toMatchObject({ correct: 0, total: COUNT });
    expect(contradictions).toBe(COUNT - accuracies.era.correct);
    expect(contradictions).toBeGreaterThan(0);
    const less = all.map(() => ({ ...wrong, radius: 0.39 }));
    const fine = await evaluate(model, set, set.test, config, { verdicts: less });
    expect(fine.contradictions).toBe(0);
  });
});

describe('a certification', () => {
  const hooks = (dir: string, changes: Partial<CertifyHooks> = {}): CertifyHooks => ({
    ...{ dir, identity: 'toy', total: COUNT, shard: { index: 0, count: 1 } },
    ...changes,
  });
  const job = () => jobOf(['interval', 'crown']);

  it('is the same however it is shared, and does what others left', () =>
    inTemporaryFolder(async (file) => {
      const want = certifyBlock(job(), 0, COUNT).samples;
      expect((await certify(job(), hooks(file('one')))).samples).toEqual(want);
      const dir = file('two');
      const shard = { index: 1, count: 2 };
      const part = await certify(job(), hooks(dir, { shard }));
      expect(part.samples.map(({ index }) => index)).toEqual(range(BLOCK, COUNT));
      const died = { shard: { index: 0, count: 3 }, startOthers: async () => undefined };
      expect((await certify(job(), hooks(dir, died))).samples).toEqual(want);
      expect(await readdir(dir)).toHaveLength(2);
    }));

  it('goes on for a larger limit, and begins anew for other settings', () =>
    inTemporaryFolder(async (file) => {
      const dir = file('d');
      const few = await certify(job(), hooks(dir, { total: 7 }));
      expect(few.samples).toHaveLength(7);
      const all = await certify(job(), hooks(dir));
      expect(all.samples).toHaveLength(COUNT);
      expect((await certify(job(), hooks(dir, { total: 7 }))).samples).toEqual(few.samples);
      const events: unknown[] = [];
      await certify(job(), hooks(dir, { onEvent: (event) => events.push(event) }));
      expect(events).toEqual([]);
      expect(await readdir(dir)).toHaveLength(1);
      await certify(jobOf(['interval', 'crown'], { eps: 0.06 }), hooks(dir));
      await certify(job(), hooks(dir, { identity: 'another' }));
      expect(await readdir(dir)).toHaveLength(3);
    }));

  it('passes over lines that are not the verdicts of one whole block, and does them again', () =>
    inTemporaryFolder(async (file) => {
      const dir = file('d');
      const all = await certify(job(), hooks(dir));
      const path = file(`d/${(await readdir(dir))[0]}`);
      const [first, second] = (await readFile(path, 'utf8')).trim().split('\n');
      const block = JSON.parse(first!);
      const [one, ...others] = block.samples;
      const lie = { ...one, verdict: 'certified', margin: 9 };
      for (const change of [
        { samples: [lie, lie, ...others.slice(1)] },
        { samples: [...others, { ...lie, index: BLOCK }] },
        { samples: [null, ...others] },
        { samples: others },
        { samples: [{ ...lie, radius: '1' }, ...others] },
        { samples: [{ ...lie, verdict: 'proven' }, ...others] },
        { samples: [{ ...lie, margin: '9' }, ...others] },
        { block: 0.5 },
        { block: '0' },
        { count: 1e9 },
        { seconds: { interval: '1' } },
      ]) {
        await writeFile(path, `${JSON.stringify({ ...block, ...change })}\n${second}\n`);
        expect((await certify(job(), hooks(dir))).samples, JSON.stringify(change)).toEqual(
          all.samples,
        );
      }
    }));

  it('stops at a signal with what it has', () =>
    inTemporaryFolder(async (file) => {
      const signal = { aborted: false };
      const onEvent = () => {
        signal.aborted = true;
      };
      const stopped = certify(job(), hooks(file('d'), { signal, onEvent }));
      await expect(stopped).rejects.toThrow(Interrupted);
      const events: unknown[] = [];
      await certify(job(), hooks(file('d'), { onEvent: (event) => events.push(event) }));
      expect(events).toHaveLength(1);
    }));
});

describe('the curve of radii', () => {
  const curve = certifiedCurve([0, 0.2, 0.1, 0.2, 0.4]);
  it('is the exact staircase', () => {
    expect(curve.points).toEqual([
      { eps: 0.1, certified: 0.8 },
      { eps: 0.2, certified: 0.6 },
      { eps: 0.4, certified: 0.2 },
    ]);
    expect([curve.samples, curve.median]).toEqual([5, 0.2]);
    expect(curve.mean).toBeCloseTo(0.18, 12);
    const at = [0.05, 0.1, 0.11, 0.2, 0.3, 0.4, 0.41].map((eps) => certifiedAt(curve, eps));
    expect(at).toEqual([0.8, 0.8, 0.6, 0.6, 0.2, 0.2, 0]);
    expect(certifiedCurve([])).toEqual({ samples: 0, mean: 0, median: 0, points: [] });
  });
  it('becomes a table and a page without scripts, names escaped', () => {
    expect(radiusTable(curve)).toMatch(/0\.4 │ +20\.00 %/);
    const page = renderRadiusReport(curve, { title: 'a<b>', verifiers: ['crown'] });
    expect(page).toMatch(/a&lt;b&gt;/);
    expect(page).not.toMatch(/<script|https?:/);
    expect(renderRadiusReport(certifiedCurve([0]), { title: '', verifiers: [] })).not.toMatch(
      /NaN/,
    );
  });
});
