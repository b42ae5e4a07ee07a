/** Every verifier of the registry: what it certifies, no attack breaks; what it cannot, it says. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { outside, pick, runAttack, wrongSamples } from '../../src/attack/attack';
import { attacks } from '../../src/attack/attacks/registry';
import type { DataSet } from '../../src/data/types';
import type { Norm } from '../../src/domain/balls';
import { lower } from '../../src/nn/lower';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import type { Verdict, Verifier, VerifyJob } from '../../src/verify/verifier';
import { verifiers } from '../../src/verify/verifiers/registry';
import { binaries } from '../helpers/engine';
import { fewNodes } from '../helpers/verifiers';
import { batchFrom, range, TOY_NETWORK, toySet, trainedToy } from '../train/toy';

const COUNT = 60;
const SIZE = 16;
const RADII = [1e-6, 0.01, 0.03, 0.06, 0.1, 0.2];
/** Objectives of the networks: weakly and strongly robust ones. */
const TRAINED = ['benign', 'adversarial', 'ibp', 'crown-ibp'];
/** Attacks that are tried everywhere; of two networks all of them at one radius, on the first samples. */
const QUICK = ['fgsm', 'pgd'];
const ALL = { networks: ['ibp', 'untrained'], eps: 0.1, samples: 15 };
let set: DataSet;
beforeAll(async () => {
  set = await toySet();
});

const certified = (verdicts: readonly Verdict[]): boolean[] =>
  verdicts.map(({ verdict }) => verdict === 'certified');

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  /** By the objective they were trained with, and one that was not. */
  const models = new Map<string, Model>();
  beforeAll(async () => {
    engine = await load({ threads: 1, binary });
    for (const name of TRAINED)
      models.set(name, lower(trainedToy(engine, set, { objective: objectives[name]! })));
    models.set('untrained', lower(createModel(engine, TOY_NETWORK, { seed: 5 })));
  });
  afterAll(() => engine.close());
  const jobOf = (model: Model, eps: number): VerifyJob => ({
    model,
    ...batchFrom(set, set.test, range(0, COUNT)),
    eps,
  });

  /** 1 where a sample is wrong or some attack breaks it; the same for all verifiers. */
  const found = new Map<string, Uint8Array>();
  const brokenOf = (name: string, eps: number): Uint8Array => {
    const key = `${name} ${eps}`;
    if (!found.has(key)) found.set(key, attacked(name, eps));
    return found.get(key)!;
  };
  const attacked = (name: string, eps: number): Uint8Array => {
    const job = {
      ...jobOf(models.get(name)!, eps),
      index: Int32Array.from(range(0, COUNT)),
      seed: 1,
    };
    const broken = wrongSamples(job.model, job.images, job.labels);
    const all = ALL.networks.includes(name) && eps === ALL.eps;
    for (const [attack, entry] of Object.entries(attacks)) {
      if (!all && !QUICK.includes(attack)) continue;
      const some = all ? pick(job, range(0, ALL.samples)) : job;
      runAttack(entry, {}, some).broken.forEach((yes, i) => {
        broken[i] ||= yes;
      });
    }
    return broken;
  };

  describe.each(Object.entries(verifiers))('%s', (name, entry: Verifier) => {
    const few = fewNodes(entry);
    const options = parseOptions(entry.options, few, name) as never;

    it('certifies nothing that an attack of the registry breaks', () => {
      let proven = 0;
      for (const name of models.keys())
        for (const eps of RADII) {
          const verdicts = certified(entry.verify(jobOf(models.get(name)!, eps), options));
          proven += verdicts.filter(Boolean).length;
          const broken = brokenOf(name, eps);
          verdicts.forEach((yes, i) => {
            expect(yes && broken[i] === 1, `${name} ${eps} ${i}`).toBe(false);
          });
        }
      // Of 5 networks, 6 radii and 60 samples: else nothing was tested.
      expect(proven).toBeGreaterThan(300);
    });

    it('in other norms certifies more than of the box around, which intervals know, and nothing that an attack breaks', () => {
      if (!('norm' in entry.options.entries)) return;
      const of = (norm: Norm) => parseOptions(entry.options, { norm, ...few }, name) as never;
      const model = models.get('crown-ibp')!;
      for (const norm of ['l2', 'l1'] as const) {
        let [ball, box] = [0, 0];
        for (const eps of [0.1, 0.4]) {
          const job = jobOf(model, eps);
          const verdicts = entry.verify(job, of(norm));
          const around = entry.verify(job, options);
          ball += certified(verdicts).filter(Boolean).length;
          box += certified(around).filter(Boolean).length;
          const pgd = attacks.pgd!;
          const index = Int32Array.from(range(0, COUNT));
          const settings = parseOptions(pgd.options, { norm, steps: 10 }, 'pgd');
          const { broken } = runAttack(pgd, settings, { ...job, index, seed: 1 });
          verdicts.forEach((verdict, i) => {
            expect(verdict.verdict === 'certified' && broken[i] === 1).toBe(false);
            if (verdict.verdict !== 'falsified') return;
            const x = job.images.subarray(i * SIZE, (i + 1) * SIZE);
            expect(outside({ norm, eps: eps * (1 + 1e-6) }, x, verdict.witness)).toBeUndefined();
          });
        }
        if (name === 'interval') expect(ball).toBe(box);
        else expect(ball).toBeGreaterThan(box);
      }
      expect(entry.describe(of('l1'), 0.1)).toContain('L1');
      expect(entry.norm!(of('l1'))).toBe('l1');
    });

    it('gives one verdict a sample, with all that belongs to it', () => {
      for (const eps of RADII) {
        const job = jobOf(models.get('ibp')!, eps);
        const verdicts = entry.verify(job, options);
        expect(verdicts).toHaveLength(COUNT);
        verdicts.forEach((verdict, i) => {
          expect(typeof verdict.margin).toBe('number');
          if (verdict.verdict === 'certified') expect(verdict.margin).toBeGreaterThan(0);
          if (verdict.verdict === 'unknown') expect(verdict.reason).toMatch(/\w+ \w+/);
          if (verdict.verdict === 'falsified')
            expect(wrongSamples(job.model, verdict.witness, [job.labels[i]!])[0]).toBe(1);
        });
      }
      expect(entry.describe(options, 0.1)).toContain('0.1');
    });

    it('certifies less the larger the radius, and nothing over all of the input space', () => {
      const model = models.get('ibp')!;
      const all = RADII.map((eps) => certified(entry.verify(jobOf(model, eps), options)));
      for (const at of range(1, RADII.length))
        all[at]!.forEach((yes, i) => {
          if (yes) expect(all[at - 1]![i]).toBe(true);
        });
      expect(certified(entry.verify(jobOf(model, 1), options)).some(Boolean)).toBe(false);
    });

    it('judges each sample by itself', () => {
      const job = jobOf(models.get('ibp')!, 0.06);
      const verdicts = entry.verify(job, options);
      for (const i of [0, 17, 59]) {
        const images = job.images.slice(i * SIZE, (i + 1) * SIZE);
        const [alone] = entry.verify(
          { ...job, images, labels: job.labels.slice(i, i + 1) },
          options,
        );
        expect(alone).toEqual(verdicts[i]);
      }
    });

    it('certifies no label but the right one', () => {
      const job = jobOf(models.get('ibp')!, 0.01);
      const labels = job.labels.map((label) => (label + 1) % 4);
      expect(certified(entry.verify({ ...job, labels }, options)).some(Boolean)).toBe(false);
    });

    it('answers unknown, and does not throw, where bounds are no numbers', () => {
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 3e38]) {
        const model = lower(createModel(engine, TOY_NETWORK, { seed: 1 }));
        const t = model.params.get('conv2.weight')!;
        t.write(t.read().map((w, i) => (i % 5 === 0 ? value : w)));
        const verdicts = entry.verify(jobOf(model, 0.05), options);
        expect(verdicts.map(({ verdict }) => verdict)).toEqual(new Array(COUNT).fill('unknown'));
        freeModel(model);
      }
    });

    it('never certifies by bounds that are not sound, and says so', () => {
      if (!('sound' in entry.options.entries)) return;
      const unsound = parseOptions(entry.options, { sound: false }, name) as never;
      const verdicts = entry.verify(jobOf(models.get('ibp')!, 0.01), unsound);
      expect(verdicts.filter(({ margin }) => margin > 0).length).toBeGreaterThan(30);
      for (const verdict of verdicts) {
        expect(verdict.verdict).toBe('unknown');
        if (verdict.margin > 0)
          expect(verdict).toMatchObject({ reason: expect.stringMatching(/not sound/) });
      }
      expect(entry.describe(unsound, 0.1)).toMatch(/NOT sound/);
      expect(entry.describe(options, 0.1)).not.toMatch(/NOT/);
    });

    it('frees what it took', () => {
      const job = jobOf(models.get('ibp')!, 0.05);
      engine.arena.trim();
      const used = engine.memory.usedBytes;
      entry.verify(job, options);
      engine.arena.trim();
      expect(engine.memory.usedBytes).toBe(used);
    });
  });
});
