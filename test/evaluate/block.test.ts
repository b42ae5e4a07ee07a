/** One block: cascades of attacks and verifiers, radii, and the sums over records. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pick } from '../../src/attack/attack';
import { attacks } from '../../src/attack/attacks/registry';
import type { DataSet } from '../../src/data/types';
import { type Block, evaluateBlock, type SampleRecord, type Task } from '../../src/evaluate/block';
import { evaluationOf, verdictOf } from '../../src/evaluate/records';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { verifiers } from '../../src/verify/verifiers/registry';
import { batchFrom, range, toySetWithWrongLabels, trainedToy } from '../train/toy';

const COUNT = 60;
const EPS = 0.2;
let engine: Engine;
let set: DataSet;
let model: Model;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  set = await toySetWithWrongLabels();
  model = lower(trainedToy(engine, set, { objective: objectives.benign! }, 60));
});
afterAll(() => {
  freeModel(model);
  engine.close();
});

const taskOf = (names: readonly string[], changes: Partial<Task> = {}): Task => ({
  ...{ eps: 0.05, seed: 0, attacks: [], radius: false },
  verifiers: names.map((name) => verifiers[name]!()),
  ...changes,
});
const blockOf = (task: Task): Block => ({ ...task, ...batchFrom(set, set.test, range(0, COUNT)) });
const certifiedBy = (name: string, eps: number): boolean[] =>
  verifiers[name]!.verify({ ...blockOf(taskOf([])), model, eps }, {}).map(
    ({ verdict }) => verdict === 'certified',
  );

describe('a cascade', () => {
  it('gives every sample the best of all, by the first that decides', () => {
    const names = ['interval', 'crown-ibp', 'crown'];
    const records = evaluateBlock(model, blockOf(taskOf(names)));
    const samples = records.map((record) => verdictOf(record)!);
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
    const { verifiers: shares } = evaluationOf(records, taskOf(names));
    expect(shares.map(({ name }) => name)).toEqual(names);
    for (const { name, certified, seconds } of shares) {
      expect(certified).toBe(samples.filter((s) => s.by === name && s.margin! > 0).length);
      expect(seconds > 0).toBe(
        records.some(({ verdicts }) => verdicts!.some((v) => v.name === name)),
      );
    }
  });

  it('finds the largest radius to a share of 1/64, on a lattice of eps', () => {
    const task = taskOf(['crown'], { radius: true, eps: EPS });
    const samples = evaluateBlock(model, blockOf(task)).map((record) => verdictOf(record)!);
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

  it('tries the first verifier at misclassified images, which must not be certified', () => {
    const records = evaluateBlock(model, blockOf(taskOf(['interval', 'crown'])));
    const wrong = records.filter(({ label, predicted }) => label !== predicted);
    expect(wrong.length).toBeGreaterThan(2);
    for (const record of wrong)
      expect(record.verdicts!.map(({ name }) => name)).toEqual(['interval']);
  });

  it('of attacks tries each at what the others left unbroken', () => {
    const list = [attacks.fgsm!(), attacks.pgd!({ steps: 20 })];
    const of = (some: Task['attacks']) =>
      evaluateBlock(model, blockOf(taskOf([], { eps: EPS, seed: 3, attacks: some })));
    const [both, fgsm, pgd] = [of(list), of(list.slice(0, 1)), of(list.slice(1))];
    let second = 0;
    both.forEach(({ label, predicted, attacks: tried = [], verdicts }, i) => {
      expect(verdicts).toBeUndefined();
      if (label !== predicted) expect(tried).toEqual([]);
      else if (fgsm[i]!.attacks![0]!.broken) expect(tried).toEqual(fgsm[i]!.attacks);
      else expect(tried).toEqual([...fgsm[i]!.attacks!, ...pgd[i]!.attacks!]);
      if (tried[1]?.broken) second++;
      for (const { broken, inside } of tried) expect(inside.includes('linf')).toBe(broken);
    });
    expect(second).toBeGreaterThan(0);
    const { attacks: shares, accuracies } = evaluationOf(both, taskOf([], { attacks: list }));
    const wrong = both.filter(({ label, predicted }) => label !== predicted).length;
    expect(shares[1]!.broken).toBe(second);
    expect(accuracies.era.correct).toBe(COUNT - wrong - shares[0]!.broken - second);
    expect(accuracies.vra.total).toBe(0);
  });

  it('is a pure function: every image alone gives the same records', () => {
    const task = taskOf(['interval', 'crown'], { radius: true, attacks: [attacks.pgd!()] });
    const block = blockOf(task);
    const strip = ({ seconds: _, ...rest }: SampleRecord): object => rest;
    const all = evaluateBlock(model, block).map(strip);
    expect(evaluateBlock(model, block).map(strip)).toEqual(all);
    for (const i of range(0, 12)) {
      const one = { ...task, ...pick(block, [i]) };
      expect(evaluateBlock(model, one).map(strip)).toEqual([all[i]]);
    }
  });
});

describe('the sums', () => {
  it('count samples whose proven radius an attack contradicts', () => {
    const task = taskOf(['crown'], { eps: 0.4, attacks: [attacks.pgd!()] });
    const found = evaluateBlock(model, blockOf(task));
    const unknown = { name: 'crown', norm: 'linf', verdict: 'unknown', margin: -1 } as const;
    const proven = (radius: number) =>
      evaluationOf(
        found.map((record) => ({ ...record, verdicts: [unknown], radius })),
        task,
      );
    const { accuracies, contradictions } = proven(0.4);
    expect(accuracies.vra).toMatchObject({ correct: 0, total: COUNT });
    expect(contradictions).toBe(COUNT - accuracies.era.correct);
    expect(contradictions).toBeGreaterThan(0);
    expect(proven(0.39).contradictions).toBe(0);
  });
});
