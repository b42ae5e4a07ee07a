/** Runners by table: the same results by whichever, from journals too; what is missing is done, no more. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataSet } from '../../src/data/types';
import { evaluateBlock, type SampleRecord } from '../../src/evaluate/block';
import { type EvaluateHooks, evaluate, taskOf } from '../../src/evaluate/evaluate';
import { type Evaluation, evaluationOf } from '../../src/evaluate/records';
import { runners } from '../../src/evaluate/runners/registry';
import { spansOf } from '../../src/evaluate/work';
import { Interrupted, type RunEvent } from '../../src/events';
import { lineOf, readJournal } from '../../src/io/journal';
import { freezeSparsity } from '../../src/nn/freeze';
import { lower } from '../../src/nn/lower';
import type { Model } from '../../src/nn/model';
import type { PlugIn } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { inTemporaryFolder } from '../recipe/temporary';
import { batchFrom, range, toySetWithWrongLabels, trainedToy } from '../train/toy';

const COUNT = 60;
const BLOCK = 50;
let engine: Engine;
let set: DataSet;
let model: Model;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  set = await toySetWithWrongLabels();
  model = trainedToy(engine, set, { objective: objectives.benign! }, 60);
});
afterAll(() => engine.close());

const settings = (changes: object = {}) => ({
  ...{ eps: 0.05, attack: { name: 'pgd', steps: 5 }, attackLimit: null, verifyLimit: null },
  ...{ verifier: [{ name: 'interval' }, { name: 'crown' }], batch: 500, radius: false },
  ...changes,
});

/** Without what the clock decides. */
const timeless = ({ attacks, verifiers, ...rest }: Evaluation): object => ({
  ...rest,
  attacks: attacks.map((one) => ({ ...one, seconds: 0 })),
  verifiers: verifiers.map((one) => ({ ...one, seconds: 0 })),
});

/** By `evaluateBlock` alone: all images in one block. */
const wanted = (changes: object = {}): object => {
  const task = taskOf(settings(changes), 3);
  const block = { ...task, ...batchFrom(set, set.test, range(0, COUNT)) };
  return timeless(evaluationOf(evaluateBlock(freezeSparsity(lower(model)), block), task));
};

async function run(changes: object, hooks: EvaluateHooks) {
  const events: RunEvent[] = [];
  const onEvent = (event: RunEvent): void => void events.push(event);
  const found = await evaluate(model, set, set.test, settings(changes), {
    ...{ onEvent, seed: 3 },
    ...hooks,
  });
  const progress = events.filter(({ type }) => type === 'progress');
  return { found: timeless(found), evaluation: found, progress };
}
const folder = (dir: string, writer = 0, identity: unknown = 'toy') => ({
  folder: { dir, writer, identity },
});

/** A command that ends without having done anything, however it is called. */
const USELESS = [process.execPath, '-e', ''];
const NONE = ['/nowhere/at/all'];
const CASES: readonly PlugIn[] = [
  ...Object.keys(runners).map((name) => ({ name })),
  { name: 'processes', jobs: 3, command: USELESS },
  { name: 'processes', jobs: 2, command: NONE },
];

describe.each(CASES)('runner $name $jobs', (runner) => {
  it('gives the results of one block, in memory and in a folder', () =>
    inTemporaryFolder(async (file) => {
      const want = wanted();
      for (const batch of [7, 25, 500])
        expect((await run({ batch }, { runner })).found).toEqual(want);
      const radius = { radius: true, eps: 0.3, verifier: { name: 'interval' } };
      expect((await run(radius, { runner })).found).toEqual(wanted(radius));
      const first = await run({}, { runner, ...folder(file('d')) });
      expect(first.found).toEqual(want);
      // All is known: nothing is done again.
      const again = await run({}, { runner, ...folder(file('d')) });
      expect(again.found).toEqual(want);
      expect(again.progress).toEqual([]);
    }));

  it('stops at a signal with what it has', () =>
    inTemporaryFolder(async (file) => {
      const signal = { aborted: false };
      const onEvent = ({ type }: RunEvent) => {
        signal.aborted ||= type === 'progress';
      };
      const hooks = { runner, signal, onEvent, ...folder(file('d')) };
      await expect(run({}, hooks)).rejects.toThrow(Interrupted);
      const rest = await run({}, { runner, ...folder(file('d')) });
      expect(rest.progress).toHaveLength(1);
      expect(rest.found).toEqual(wanted());
    }));
});

it('every runner is named as its key', () => {
  for (const [name, entry] of Object.entries(runners)) expect(entry.name).toBe(name);
});

describe('shards', () => {
  const shard = (index: number, count: number) => ({ name: 'shard', index, count });

  it('do their own spans; the rest is done by whoever comes last', () =>
    inTemporaryFolder(async (file) => {
      const part = await run({}, { runner: shard(1, 2), ...folder(file('d'), 1) });
      const { samples, accuracies } = part.evaluation;
      expect(samples.map(({ index }) => index)).toEqual(range(BLOCK, COUNT));
      expect(accuracies.benign.total).toBe(COUNT - BLOCK);
      const all = await run({}, folder(file('d')));
      expect(all.found).toEqual(wanted());
      expect(all.progress).toHaveLength(1);
      expect(await readdir(file('d'))).toHaveLength(2);
    }));

  it('are refused where they are none', async () => {
    const none = run({}, { runner: shard(2, 2) });
    await expect(none).rejects.toThrow(/shard: index: expected one below 2, got 2/);
    await expect(run({}, { runner: { name: 'shrad' } })).rejects.toThrow(/Did you mean "shard"/);
    const misspelt = run({}, { runner: { name: 'shard', indx: 1 } });
    await expect(misspelt).rejects.toThrow(/Did you mean "index"/);
  });
});

describe('a folder', () => {
  it('goes on for a larger limit, and begins anew for other settings', () =>
    inTemporaryFolder(async (file) => {
      const dir = file('d');
      const few = { attackLimit: 7, verifyLimit: 7 };
      const first = await run(few, folder(dir));
      expect(first.evaluation.samples).toHaveLength(7);
      expect(first.evaluation.accuracies.era.total).toBe(7);
      expect(first.evaluation.accuracies.benign.total).toBe(COUNT);
      const all = await run({}, folder(dir));
      expect(all.found).toEqual(wanted());
      const back = await run(few, folder(dir));
      expect(back.found).toEqual(first.found);
      expect(back.progress).toEqual([]);
      expect(await readdir(dir)).toHaveLength(1);
      await run({ eps: 0.06 }, folder(dir));
      await run({}, folder(dir, 0, 'another'));
      expect(await readdir(dir)).toHaveLength(3);
    }));

  it('has no larger blocks than what is asked for at once', () =>
    inTemporaryFolder(async (file) => {
      const found = await run({ batch: 7 }, folder(file('d')));
      expect(found.found).toEqual(wanted());
      expect(found.progress).toHaveLength(Math.ceil(COUNT / 7));
    }));

  it('keeps verdicts where only the attack is another', () =>
    inTemporaryFolder(async (file) => {
      const dir = file('d');
      await run({}, folder(dir));
      const [name] = await readdir(dir);
      const before = (await readJournal(`${dir}/${name}`)).length;
      const other = { attack: { name: 'pgd', steps: 9 } };
      expect((await run(other, folder(dir))).found).toEqual(wanted(other));
      expect(await readdir(dir)).toEqual([name]);
      const lines = (await readJournal(`${dir}/${name}`)).slice(before);
      const samples = lines.flatMap((line) => (line as unknown as Line).samples);
      expect(samples).toHaveLength(COUNT);
      for (const sample of samples) expect(sample.verdicts).toBeUndefined();
    }));

  it('passes over lines that are not records of consecutive images, and does them again', () =>
    inTemporaryFolder(async (file) => {
      const dir = file('d');
      const all = await run({}, folder(dir));
      const path = file(`d/${(await readdir(dir))[0]}`);
      const [first, second] = await readJournal(path);
      const { samples } = first as unknown as Line;
      const [one, ...others] = samples as [SampleRecord, ...SampleRecord[]];
      const [verdict] = one.verdicts!;
      const lie = { ...one, verdicts: [{ ...verdict, verdict: 'certified', margin: 9 }] };
      for (const change of [
        { samples: [lie, lie, ...others.slice(1)] },
        { samples: [...others, lie] },
        { samples: [null, ...others] },
        { samples: [] },
        { samples: [{ ...lie, radius: '1' }, ...others] },
        { samples: [{ ...lie, verdicts: [] }, ...others] },
        { samples: [{ ...lie, verdicts: [{ ...verdict, verdict: 'proven' }] }, ...others] },
        { samples: [{ ...lie, verdicts: [{ ...verdict, margin: '9' }] }, ...others] },
        { samples: [{ ...lie, attacks: [{ name: 'pgd', broken: 0, inside: [] }] }, ...others] },
        { samples: [{ ...lie, index: 0.5 }, ...others] },
        { samples: [{ ...lie, seconds: { interval: '1' } }, ...others] },
        { event: 'blok', samples: [lie, ...others] },
      ]) {
        const lines = [{ ...first, ...change }, second!].map((line) => lineOf(line as never));
        await writeFile(path, lines.join(''));
        const found = await run({}, folder(dir));
        expect(found.found, JSON.stringify(change).slice(0, 200)).toEqual(all.found);
        expect(found.progress).toHaveLength(1);
      }
    }));

  it('says which line is damaged', () =>
    inTemporaryFolder(async (file) => {
      const dir = file('d');
      await run({}, folder(dir));
      const path = file(`d/${(await readdir(dir))[0]}`);
      const text = await readFile(path, 'utf8');
      await writeFile(path, text.replace('"verdict":"unknown"', '"verdict":"certified"'));
      await expect(run({}, folder(dir))).rejects.toThrow(/line 1: expected the checksum/);
    }));
});

interface Line {
  readonly samples: readonly SampleRecord[];
}

it('refuses a method twice, whose shares nobody could tell apart', async () => {
  const attack = [{ name: 'pgd' }, { name: 'pgd', steps: 3 }];
  await expect(run({ attack }, {})).rejects.toThrow(/attack: expected each method once, got pgd/);
});

it('radii need verifiers of one norm', async () => {
  const verifier = [{ name: 'interval' }, { name: 'crown', norm: 'l2' }];
  await expect(run({ verifier, radius: true }, {})).rejects.toThrow(
    /evaluate: expected verifiers of one norm, where radii are searched, got \[linf, l2\]/,
  );
  await expect(run({ verifier }, {})).resolves.toBeDefined();
});

describe('spans', () => {
  it.each([
    [{ count: 60, attack: 60, verify: 60 }, 25, 25, '0-25av 25-50av 50-60av'],
    [{ count: 60, attack: 7, verify: 30 }, 25, 50, '0-7av 7-25v 25-30v 30-50 50-60'],
    [{ count: 10, attack: 0, verify: 0 }, 4, 100, '0-10'],
    [{ count: 0, attack: 0, verify: 0 }, 4, 4, ''],
  ])('of %j, %i at a time', (limits, size, clean, want) => {
    const spans = spansOf(limits, size, clean);
    const text = spans.map((s) => `${s.from}-${s.to}${s.attack ? 'a' : ''}${s.verify ? 'v' : ''}`);
    expect(text.join(' ')).toBe(want);
    expect(spans.map(({ number }) => number)).toEqual(range(0, spans.length));
  });
});
