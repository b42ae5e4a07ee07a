/** Sweeps in one process: what is planned, done once, reported, and what faults leave alone. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EspalierError } from '../../../src/errors';
import { Interrupted } from '../../../src/events';
import { parseSweep } from '../../../src/recipe/sweep/config';
import { estimateSweep } from '../../../src/recipe/sweep/estimate';
import type { Executor } from '../../../src/recipe/sweep/execute';
import { inThisProcess } from '../../../src/recipe/sweep/in-process';
import { jobsOf, planSweep } from '../../../src/recipe/sweep/plan';
import { sweep } from '../../../src/recipe/sweep/sweep';
import { workCounter } from '../../../src/recipe/sweep/work';
import type { SweepResult } from '../../../src/report/sweep-types';
import { type Engine, load } from '../../../src/runtime/engine';
import { inTemporaryFolder } from '../temporary';
import '../tiny-run';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const BASE = {
  data: { name: 'toy', heldOut: 20 },
  network: { name: 'mlp', hidden: [12, 8] },
  objective: { name: 'ibp', eps: 0.05 },
  pretrain: { epochs: 3, batch: 16, learningRate: 0.01 },
  finetune: { epochs: 1, batch: 16, learningRate: 0.005 },
  evaluate: { attack: { name: 'pgd', steps: 3 }, batch: 25 },
};

const planOf = async (lists: object, sets: readonly string[] = []) =>
  planSweep(await parseSweep({ name: 'tiny', base: BASE, ...lists }, 'tiny', sets));

/** Sweeps, and tells which jobs were done. */
async function sweepIn(
  dir: string,
  lists: object,
  change: (own: Executor) => Executor = (own) => own,
): Promise<{ result: SweepResult; ran: string[] }> {
  const plan = await planOf(lists);
  const own = change(inThisProcess(engine));
  const ran: string[] = [];
  const executor: Executor = {
    async run(job, place, told) {
      ran.push(job.dir);
      await own.run(job, place, told);
    },
  };
  return { result: await sweep(plan, { dir, jobs: 1, executor }), ran };
}

describe('the plan', () => {
  it('is a product, in which dense networks and pruned runs are shared', async () => {
    const plan = await planOf({
      strategies: ['magnitude', { name: 'magnitude', scope: 'global' }],
      controls: ['none', 'scratch-b', 'dense-longer'],
      sparsities: [0.5, 0.8],
      seeds: [1, 2],
    });
    // Of dense-longer there is one a seed, as no strategy and no sparsity make a difference.
    expect(plan.rows).toHaveLength(2 * (2 * (2 + 2) + 1));
    const jobs = jobsOf(plan);
    expect(jobs.filter(({ kind }) => kind === 'pretrain')).toHaveLength(2);
    expect(new Set(jobs.map(({ dir }) => dir)).size).toBe(plan.rows.length + 2);
    for (const { config, after, kind } of jobs) {
      if (kind === 'pretrain') continue;
      const { control } = config.prune;
      expect(after!.kind).toBe(control === 'scratch-b' ? 'compress' : 'pretrain');
      expect(after!.config.seed).toBe(config.seed);
    }
  });

  it('has the jobs of its first seed first, controls after what they go on from', async () => {
    const { jobs } = await planOf({
      strategies: ['magnitude', 'random'],
      controls: ['random-mask', 'none'],
      seeds: [7, 3],
    });
    expect([...jobs.values()].map(({ config: { seed, prune } }) => [seed, prune.control])).toEqual(
      [7, 3].flatMap((seed) =>
        ['none', 'none', 'random-mask', 'random-mask'].map((control) => [seed, control]),
      ),
    );
  });

  it('trains dense networks once for all that begin again from early weights', async () => {
    const shared = await planOf({
      grid: { 'finetune.start': ['best', 2] },
      sparsities: [0.5, 0.8],
    });
    expect(jobsOf(shared).filter(({ kind }) => kind === 'pretrain')).toHaveLength(1);
    const own = await planOf({ grid: { 'finetune.start': [1, 2] } });
    expect(jobsOf(own).filter(({ kind }) => kind === 'pretrain')).toHaveLength(2);
  });

  it('takes --set, and labels of what was given', async () => {
    const plan = await planOf(
      { strategies: [{ name: 'random', scope: 'erk' }], grid: { 'pretrain.batch': [8, 16] } },
      ['pretrain.epochs=5'],
    );
    expect(plan.rows.map(({ config }) => config!.pretrain.epochs)).toEqual([5, 5]);
    expect(plan.rows[0]!.labels).toMatchObject({
      network: 'mlp',
      'prune.strategy': 'random(scope=erk)',
      'prune.sparsity': '0.9',
      'pretrain.batch': '8',
    });
  });

  it.each<[string, object, RegExp]>([
    [
      'an unknown list',
      { strategy: ['random'] },
      /tiny: strategy: expected a known option.*strategies/,
    ],
    ['an empty list', { seeds: [] }, /tiny: seeds: expected at least one value/],
    ['a list that is none', { seeds: 3 }, /tiny: seeds: expected Array/],
    ['no run that can be', { sparsities: [1, 2] }, /prune\.sparsity: expected a fraction/],
    ['too many', { seeds: Array.from({ length: 10_001 }, (_, i) => i) }, /at most 10000 runs/],
  ])('refuses %s', async (_, lists, message) => {
    await expect(planOf(lists)).rejects.toThrow(message);
    await expect(planOf(lists)).rejects.toThrow(EspalierError);
  });
});

describe('a sweep', () => {
  const lists = {
    strategies: ['magnitude', 'random'],
    controls: ['none', 'random-mask'],
    sparsities: [0.8],
    seeds: [1, 2],
  };

  it('does each thing once, and nothing of what is there', async () => {
    await inTemporaryFolder(async (file) => {
      const { result, ran } = await sweepIn(file('s'), lists);
      expect(new Set(ran).size).toBe(ran.length);
      expect(ran.filter((dir) => dir.startsWith('dense/'))).toHaveLength(2);
      expect(ran).toHaveLength(2 + 8);
      expect(JSON.parse(await readFile(file('s/sweep.json'), 'utf8'))).toEqual(result);
      const page = await readFile(file('s/report.html'), 'utf8');
      expect(page).toMatch(/^<!doctype html>/);
      expect(page).toMatch(/Fronts[\s\S]*<svg[\s\S]*Paired tests/);
      expect(page).not.toMatch(/<script|(src|href)="https?:/);
      // Again: nothing. Another sweep in the folder: what is new, by the dense networks that are there.
      const again = await sweepIn(file('s'), lists);
      expect(again.ran).toEqual([]);
      expect(again.result).toEqual(result);
      const more = await sweepIn(file('s'), {
        ...lists,
        controls: ['none'],
        sparsities: [0.8, 0.5],
      });
      expect(more.ran).toHaveLength(4);
      expect(more.ran.every((dir) => dir.startsWith('runs/'))).toBe(true);
    });
  });

  it('sums up what its runs have left', async () => {
    await inTemporaryFolder(async (file) => {
      const { result } = await sweepIn(file('s'), lists);
      const { runs, groups, pairs, fronts } = result;
      expect(groups).toHaveLength(4);
      for (const group of groups) {
        const own = runs.filter(
          ({ labels }) => JSON.stringify(labels) === JSON.stringify(group.labels),
        );
        expect(group.seeds).toEqual([1, 2]);
        const values = own.map((run) => run.result!.pruned.benign!);
        expect(group.pruned.benign!.mean).toBeCloseTo((values[0]! + values[1]!) / 2, 12);
        expect(group.sparsity).toBeCloseTo(0.8, 2);
        // Of two values the interval is the mean and 12.706 times half of their distance.
        const half = (12.7062047 * Math.abs(values[0]! - values[1]!)) / 2;
        expect(group.pruned.benign!.hi! - group.pruned.benign!.mean).toBeCloseTo(half, 6);
      }
      // Strategies beside each other, and each beside its control, in three accuracies.
      expect(pairs).toHaveLength(3 * 4);
      const job = (at: number) =>
        runs.filter(({ labels }) => JSON.stringify(labels) === JSON.stringify(groups[at]!.labels));
      const [{ a, b, onlyA, onlyB, pairs: n }] = pairs as [SweepResult['pairs'][number]];
      let [first, second, total] = [0, 0, 0];
      for (const [i, one] of job(a).entries()) {
        const read = async (dir: string): Promise<string> =>
          JSON.parse(await readFile(join(file('s'), dir, 'outcomes.json'), 'utf8')).benign;
        const [mine, theirs] = [await read(one.dir!), await read(job(b)[i]!.dir!)];
        for (let k = 0; k < mine.length; k++) {
          total++;
          first += Number(mine[k]! > theirs[k]!);
          second += Number(mine[k]! < theirs[k]!);
        }
        const right = [...mine].filter((mark) => mark === '1').length;
        expect(right / mine.length).toBeCloseTo(one.result!.pruned.benign!, 12);
      }
      expect([onlyA, onlyB, n]).toEqual([first, second, total]);
      const best = Math.max(...groups.map((group) => group.pruned.vra!.mean));
      expect(fronts.bytes.vra.map((at) => groups[at]!.pruned.vra!.mean)).toContain(best);
    });
  });

  it('reports faulty runs in their rows, and does the others', async () => {
    await inTemporaryFolder(async (file) => {
      const { result, ran } = await sweepIn(file('s'), {
        strategies: ['magnitude', 'magnitud'],
        controls: ['none', 'scratch-e'],
        sparsities: [0.5, 0.999, 1.5],
        grid: { 'finetune.learningRate': [0.005, 1e20] },
      });
      const errors = result.runs.map(({ error, labels }) => [
        labels['prune.strategy'],
        labels['prune.sparsity'],
        labels['finetune.learningRate'],
        error,
      ]);
      expect(result.runs).toHaveLength(2 * 2 * 3 * 2);
      for (const [strategy, sparsity, rate, error] of errors) {
        const wanted =
          strategy === 'magnitud'
            ? /Did you mean "magnitude"/
            : sparsity === '1.5'
              ? /expected a fraction in \[0, 1\)/
              : sparsity === '0.999'
                ? /prune\.sparsity: expected at most 0\.9/
                : rate === '0.005'
                  ? null
                  : /expected a finite loss|finite gradient|finite parameters/;
        if (wanted === null) expect(error).toBeNull();
        else expect(error).toMatch(wanted);
      }
      // Of a control whose pruned run failed nothing was begun.
      expect(ran.some((dir) => dir.includes('scratch-e') && dir.includes('1e'))).toBe(false);
      expect(result.groups).toHaveLength(2);
      expect(await readFile(file('s/report.html'), 'utf8')).toContain('Runs without a result');
    });
  });

  it('keeps what a bug or a stop leaves, and goes on from it', async () => {
    await inTemporaryFolder(async (file) => {
      let count = 0;
      const stopping = (own: Executor): Executor => ({
        async run(job, place, told) {
          if (++count > 3) throw new Interrupted('Stopped.');
          await own.run(job, place, told);
        },
      });
      await expect(sweepIn(file('s'), lists, stopping)).rejects.toThrow(Interrupted);
      expect(await readdir(file('s'))).not.toContain('sweep.json');
      const first = await readdir(file('s/runs'));
      const times = await Promise.all(
        first.map(async (name) => (await stat(file(`s/runs/${name}/summary.json`))).mtimeMs),
      );
      const { ran } = await sweepIn(file('s'), lists);
      expect(ran).toHaveLength(10 - 3);
      for (const [i, name] of first.entries())
        expect((await stat(file(`s/runs/${name}/summary.json`))).mtimeMs).toBe(times[i]);
    });
  });

  it('tells one bar from nothing to all', async () => {
    await inTemporaryFolder(async (file) => {
      const shares: number[] = [];
      const plan = await planOf({ sparsities: [0.5, 0.8] });
      const executor = inThisProcess(engine);
      await sweep(plan, {
        ...{ dir: file('s'), jobs: 2, executor },
        onEvent: (event) => {
          if (event.type === 'progress') shares.push(event.done / event.total);
        },
      });
      expect(shares.at(-1)).toBeCloseTo(1, 9);
      expect(shares).toEqual([...shares].sort((a, b) => a - b));
      expect(shares.length).toBeGreaterThan(5);
    });
  });
});

describe('estimates', () => {
  it('count multiply-adds of passes, and measure times, without a trace on the disk', async () => {
    const plan = await planOf({ sparsities: [0.5], controls: ['none', 'scratch-b'] });
    const [dense, own, scratch] = jobsOf(plan);
    const count = workCounter();
    const { parts, graph, set } = await count(dense!);
    const weights = graph.nodes.flatMap(({ params }) =>
      Object.values(params).flatMap(({ prunable, shape }) =>
        prunable ? [shape.reduce((a, b) => a * b, 1)] : [],
      ),
    );
    const each = weights.reduce((a, b) => a + b, 0);
    const images = set.train.count - 20;
    expect(parts.map(({ title }) => title)).toEqual(['pre-train']);
    expect(parts[0]!.operations).toBe(3 * each * images * 3);
    const titles = (await count(own!)).parts.map(({ title }) => title);
    expect(titles).toEqual(['fine-tune 1', 'evaluate dense', 'evaluate pruned']);
    const last = (await count(scratch!)).parts[0]!;
    expect(last.title).toBe('train the control');
    // Three epochs of all weights and one of half of them are seven of half of them.
    expect(last.images).toBe(7 * images);
    expect(last.operations).toBe((parts[0]!.operations * 7) / 6);
    const found = await estimateSweep(engine, plan, {});
    expect(found).toHaveLength(3);
    for (const { seconds, operations, error } of found) {
      expect(error).toBeNull();
      expect(seconds).toBeGreaterThan(0);
      expect(operations).toBeGreaterThan(0);
    }
  });
});
