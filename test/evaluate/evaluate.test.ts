/** The three accuracies: counted by hand again, limits, contradictions, models and data that differ. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runAttack, wrongSamples } from '../../src/attack/attack';
import { attacks } from '../../src/attack/attacks/registry';
import type { DataSet } from '../../src/data/types';
import { evaluate } from '../../src/evaluate/evaluate';
import { Interrupted, type RunEvent } from '../../src/events';
import { sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import type { PlugIn } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { type Verifier, verifier } from '../../src/verify/verifier';
import { interval } from '../../src/verify/verifiers/interval';
import { verifiers } from '../../src/verify/verifiers/registry';
import { tinyConfig } from '../recipe/tiny-run';
import { batchFrom, range, toySetWithWrongLabels, trainedToy } from '../train/toy';

let engine: Engine;
let set: DataSet;
let model: Model;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  set = await toySetWithWrongLabels();
  // Some samples wrong, some broken, some certified.
  model = trainedToy(engine, set, { objective: objectives.ibp!, options: { eps: 0.2 } }, 60);
});
afterAll(() => engine.close());

const settings = (changes: object = {}) => ({
  ...tinyConfig({ evaluate: { attack: { name: 'pgd', steps: 20 }, ...changes } }).evaluate,
});
const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);

describe('evaluate', () => {
  it('counts what attack and verifier say of every sample', async () => {
    const canonical = lower(model);
    const all = batchFrom(set, set.test, range(0, 60));
    const job = { model: canonical, ...all, eps: 0.27, seed: 3 };
    const config = settings({ eps: 0.27 });
    const wrong = wrongSamples(canonical, all.images, all.labels);
    const { broken } = runAttack(attacks.pgd!, config.attack as PlugIn, job);
    const verdicts = interval.verify(job, { sound: true } as never);
    freeModel(canonical);
    const expected = {
      benign: 60 - sum(wrong),
      era: 60 - sum(broken),
      vra: verdicts.filter(({ verdict }) => verdict === 'certified').length,
    };
    expect(expected.vra).toBeGreaterThan(0);
    expect(expected.era).toBeGreaterThan(expected.vra);
    expect(expected.benign).toBeGreaterThan(expected.era);
    for (const batch of [1, 7, 60, 500]) {
      const { accuracies, contradictions } = await evaluate(
        model,
        set,
        set.test,
        { ...config, batch },
        { seed: 3 },
      );
      const { benign, era, vra } = accuracies;
      expect({ benign: benign.correct, era: era.correct, vra: vra.correct }).toEqual(expected);
      expect(contradictions).toBe(0);
    }
  });

  it('attacks and verifies the first images only, where it is told so', async () => {
    const full = await evaluate(model, set, set.test, settings());
    for (const [attackLimit, verifyLimit, batch] of [
      [10, 25, 7],
      [60, 1, 60],
      [1000, 9, 9],
    ] as const) {
      const config = settings({ attackLimit, verifyLimit, batch });
      const { accuracies } = await evaluate(model, set, set.test, config);
      expect(accuracies.benign).toEqual(full.accuracies.benign);
      expect(accuracies.era.total).toBe(Math.min(60, attackLimit));
      expect(accuracies.vra.total).toBe(verifyLimit);
    }
  });

  it('counts a sample both certified and broken, or certified and wrong, as a contradiction', async () => {
    const registry = verifiers as Record<string, Verifier>;
    registry.credulous = verifier({
      ...interval,
      name: 'credulous',
      verify: ({ labels }) =>
        Array.from(labels, () => ({ verdict: 'certified', margin: 1 }) as const),
    });
    try {
      const config = settings({ eps: 0.27, verifier: 'credulous' });
      const found = await evaluate(model, set, set.test, config);
      const { benign, era, vra } = found.accuracies;
      expect(vra.correct).toBe(60);
      expect(era.correct).toBeLessThan(benign.correct);
      expect(found.contradictions).toBe(60 - era.correct);
      const fewer = await evaluate(model, set, set.test, { ...config, attackLimit: 1 });
      expect(fewer.contradictions).toBeGreaterThanOrEqual(60 - benign.correct);
    } finally {
      delete registry.credulous;
    }
  });

  it('counts of an attack in another norm what lies in the ball of the verifier', async () => {
    for (const [norm, eps] of [
      ['l2', 0.27],
      ['l1', 0.27],
      ['linf', 0.06],
    ] as const) {
      const verifier = { name: 'crown', norm };
      const attack = { name: 'pgd', steps: 20, norm: norm === 'linf' ? 'l1' : 'linf' };
      const config = settings({ eps, verifier, attack });
      const { accuracies, contradictions } = await evaluate(model, set, set.test, config);
      const { era, vra } = accuracies;
      // More is proven of the smaller ball than is left of the larger one.
      if (norm !== 'linf') expect(vra.correct).toBeGreaterThan(era.correct);
      expect(vra.correct).toBeGreaterThan(0);
      expect(contradictions).toBe(0);
    }
    const registry = verifiers as Record<string, Verifier>;
    registry.credulous = verifier({
      ...registry.crown!,
      name: 'credulous',
      verify: ({ labels }) =>
        Array.from(labels, () => ({ verdict: 'certified', margin: 1 }) as const),
    });
    try {
      const verifier = { name: 'credulous', norm: 'l2' };
      const of = (norm: string, eps: number) =>
        evaluate(
          model,
          set,
          set.test,
          settings({ eps, verifier, attack: { name: 'pgd', steps: 20, norm } }),
        );
      const [far, inside] = [await of('linf', 0.27), await of('l2', 1)];
      expect(far.contradictions).toBeLessThan(60 - far.accuracies.era.correct);
      expect(inside.contradictions).toBe(60 - inside.accuracies.era.correct);
      expect(inside.contradictions).toBeGreaterThan(60 - inside.accuracies.benign.correct);
    } finally {
      delete registry.credulous;
    }
  });

  it('tells its progress and stops when asked', async () => {
    const events: RunEvent[] = [];
    const onEvent = (event: RunEvent): void => void events.push(event);
    await evaluate(model, set, set.test, settings({ batch: 25 }), { onEvent, title: 'it' });
    expect(events[0]).toMatchObject({ type: 'phase', title: 'it', total: 60, done: 0 });
    expect(events.slice(1).map((event) => 'done' in event && event.done)).toEqual([25, 50, 60]);
    const controller = new AbortController();
    const stop = evaluate(model, set, set.test, settings({ batch: 25 }), {
      signal: controller.signal,
      onEvent: () => controller.abort(),
    });
    await expect(stop).rejects.toThrow(Interrupted);
  });

  it('frees what it took, also when it stops or fails', async () => {
    const config = settings();
    await evaluate(model, set, set.test, config);
    engine.arena.trim();
    const used = engine.memory.usedBytes;
    const signal = AbortSignal.abort();
    await expect(evaluate(model, set, set.test, config, { signal })).rejects.toThrow();
    const unknown = { ...config, verifier: { name: 'intervall' } };
    await expect(evaluate(model, set, set.test, unknown)).rejects.toThrow(
      /Did you mean "interval"/,
    );
    await evaluate(model, set, set.test, config);
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
  });

  it('refuses data of another shape or number of classes, by name', async () => {
    const dense = (input: number[], units: number): Model =>
      createModel(engine, sequential('other', input, [['flatten'], ['dense', { units }]]));
    await expect(evaluate(dense([1, 8, 8], 4), set, set.test, settings())).rejects.toThrow(
      /other: expected images \[1,8,8\], got toy with \[1,4,4\]/,
    );
    await expect(evaluate(dense([2, 2, 4], 4), set, set.test, settings())).rejects.toThrow(
      /images/,
    );
    await expect(evaluate(dense([1, 4, 4], 10), set, set.test, settings())).rejects.toThrow(
      /other: expected 10 classes, got toy with 4/,
    );
    const flat = createModel(engine, sequential('flat', [16], [['dense', { units: 4 }]]));
    expect((await evaluate(flat, set, set.test, settings())).accuracies.benign.total).toBe(60);
  });

  it('gives a network of NaN no accuracy', async () => {
    const broken = createModel(engine, model.graph.network);
    for (const t of broken.params.values()) t.write(new Float32Array(t.size).fill(Number.NaN));
    const { accuracies, contradictions } = await evaluate(broken, set, set.test, settings());
    expect([accuracies.benign, accuracies.era, accuracies.vra].map((p) => p.correct)).toEqual([
      0, 0, 0,
    ]);
    expect(contradictions).toBe(0);
  });
});
