/** Smoothing over a data set: counted by hand, continued from its journal, told from another's. */
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataSet } from '../../src/data/types';
import { smoothSet } from '../../src/evaluate/smooth';
import { Interrupted } from '../../src/events';
import { lineOf } from '../../src/io/journal';
import type { Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { inTemporaryFolder } from '../recipe/temporary';
import { toySet, trainedToy } from '../train/toy';

const SETTINGS = { sigma: 0.3, n0: 20, n: 300, alpha: 0.01, seed: 3, radii: [0, 0.1, 0.3] };
let engine: Engine;
let set: DataSet;
let model: Model;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  set = await toySet();
  model = trainedToy(engine, set, { objective: objectives.benign! }, 60);
});
afterAll(() => engine.close());

describe('smoothSet', () => {
  it('counts right answers by radius, abstentions as wrong', async () => {
    // Labels of which some are wrong.
    const labels = set.test.labels.map((label, i) => (i % 5 === 0 ? (label + 1) % 4 : label));
    const noisy = { ...set, test: { ...set.test, labels } };
    const found = await smoothSet(model, noisy, { ...SETTINGS, sigma: 0.6, limit: 30 });
    expect(found.images).toHaveLength(30);
    const right = found.images.filter(({ predicted, label }) => predicted === label);
    for (const { radius, accuracy } of found.certified)
      expect(accuracy).toMatchObject({
        correct: right.filter((image) => image.radius >= radius).length,
        total: 30,
      });
    expect(found.certified.map(({ radius }) => radius)).toEqual(SETTINGS.radii);
    const [all] = found.certified;
    expect(all!.accuracy.correct).toBeGreaterThan(5);
    expect(all!.accuracy.correct).toBeLessThanOrEqual(24);
    expect(found.abstained).toBe(found.images.filter(({ predicted }) => predicted === null).length);
    const mean = right.reduce((sum, { radius }) => sum + radius, 0) / 30;
    expect(found.meanRadius).toBeCloseTo(mean, 12);
  });

  it('goes on from its journal with the same numbers, after a torn line too', async () => {
    const whole = await smoothSet(model, set, { ...SETTINGS, limit: 8 });
    await inTemporaryFolder(async (file) => {
      const out = file('s.jsonl');
      const signal = { aborted: false };
      const onEvent = ({ type, ...event }: { type: string; done?: number }) => {
        if (type === 'progress' && event.done === 3) signal.aborted = true;
      };
      const options = { ...SETTINGS, limit: 8, out };
      await expect(smoothSet(model, set, { ...options, onEvent, signal })).rejects.toThrow(
        Interrupted,
      );
      expect((await readFile(out, 'utf8')).trim().split('\n')).toHaveLength(4);
      await appendFile(out, '{"event":"ima');
      const events: unknown[] = [];
      const resumed = await smoothSet(model, set, {
        ...options,
        batch: 7,
        onEvent: (e) => events.push(e),
      });
      expect(resumed).toEqual(whole);
      expect(events[0]).toMatchObject({ type: 'phase', phase: 'smooth', total: 8, done: 3 });
      expect(await smoothSet(model, set, options)).toEqual(whole);
      // Rows count by their position: the same again, in another order, or one that is missing.
      const lines = (await readFile(out, 'utf8')).trim().split('\n');
      const [head, ...rows] = lines;
      const mixed = [head, ...rows.toReversed(), rows[2], head, ...rows.slice(0, 3)];
      await writeFile(out, `${mixed.filter((row) => row !== rows[5]).join('\n')}\n`);
      expect(await smoothSet(model, set, options)).toEqual(whole);
      expect((await readFile(out, 'utf8')).trim().split('\n').at(-1)).toBe(rows[5]);
      for (const change of [{ sigma: 0.31 }, { seed: 4 }, { radii: [0] }])
        await expect(smoothSet(model, set, { ...options, ...change })).rejects.toThrow(/another's/);
      const other = trainedToy(engine, set, { objective: objectives.benign! }, 5);
      await expect(smoothSet(other, set, options)).rejects.toThrow(/another's/);
    });
  });

  it('lets one of two at once work at a journal, and counts what two have noted once', async () => {
    const options = { ...SETTINGS, limit: 6 };
    const whole = await smoothSet(model, set, options);
    await inTemporaryFolder(async (file) => {
      const out = file('s.jsonl');
      const start = () => smoothSet(model, set, { ...options, out });
      const both = await Promise.allSettled([start(), start()]);
      expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const [refused] = both.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
      expect(String(refused)).toMatch(/no other process at this journal/);
      expect(await start()).toEqual(whole);
      // As two processes of earlier versions left it.
      const [head, ...rows] = (await readFile(out, 'utf8')).trim().split('\n');
      await writeFile(out, `${[head, head, ...rows, ...rows].join('\n')}\n`);
      expect(await start()).toEqual(whole);
    });
  });

  it('refuses a journal with lines that cannot be', async () => {
    const options = { ...SETTINGS, limit: 2 };
    await inTemporaryFolder(async (file) => {
      const out = file('s.jsonl');
      await smoothSet(model, set, { ...options, out });
      const [head, row] = (await readFile(out, 'utf8')).split('\n');
      const { crc32: _, ...record } = JSON.parse(row!);
      const of = (change: object): string => lineOf({ ...record, ...change }).trim();
      for (const [line, what] of [
        [of({ index: -1 }), /line 3: index: expected a whole number/],
        [of({ index: 1e6 }), /line 3: index/],
        [of({ radius: '1' }), /line 3: radius: expected a number/],
        [of({ radius: null }), /line 3: radius/],
        [of({ predicted: 17 }), /line 3: predicted/],
        [of({ predicted: null, radius: 1 }), /radius of 0 without an answer/],
        [of({ label: (JSON.parse(row!).label + 1) % 4 }), /line 3: expected label/],
        [of({ more: 1 }), /line 3: .*expected a known option/],
        [of({ draws: 7 }), /one answer an image, got two of image 0/],
        [lineOf({ event: 'other' }).trim(), /line 3: event/],
      ] as const) {
        await writeFile(out, `${[head, row, line].join('\n')}\n`);
        await expect(smoothSet(model, set, { ...options, out }), line).rejects.toThrow(what);
      }
      await writeFile(out, `${row}\n${head}\n`);
      await expect(smoothSet(model, set, { ...options, out })).rejects.toThrow(/another's/);
    });
  });
});
