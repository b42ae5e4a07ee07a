/** The result of a sweep from the files of its runs: means over seeds, fronts, and paired tests. */
import * as v from 'valibot';
import { kindOf, readFile } from '../../io/files';
import { canonicalJson, parseJson } from '../../json';
import type {
  COSTS,
  GroupResult,
  PairResult,
  RunResult,
  SweepResult,
} from '../../report/sweep-types';
import { ACCURACIES, type Accuracy, type Proportion, type Summary } from '../../report/types';
import { type Mean, mcnemar, meanOf } from '../../statistics';
import { VERSION } from '../../version';
import { pathsOf } from '../run-dir';
import type { Row } from './config';
import { type Faults, summaryOf } from './execute';
import type { Job, Plan } from './plan';

type Each<T> = Readonly<Record<Accuracy, T>>;

const eachOf = <T>(of: (accuracy: Accuracy) => T): Each<T> => ({
  benign: of('benign'),
  era: of('era'),
  vra: of('vra'),
});

const OUTCOMES = v.looseObject(eachOf(() => v.pipe(v.string(), v.regex(/^[01-]*$/))));

interface Found {
  readonly run: RunResult;
  /** What each test image contributes; absent in runs of older versions. */
  readonly outcomes: Each<string> | undefined;
}

/** Reads what the runs of a plan have left in the folder `dir`. */
export async function sweepResult(plan: Plan, dir: string, faults: Faults): Promise<SweepResult> {
  const found: Found[] = [];
  for (const row of plan.rows) {
    const job = row.id === null ? undefined : plan.jobs.get(row.id);
    found.push(await foundOf(row, job, dir, faults));
  }
  const members = groupsOf(found);
  const groups = members.map(groupOf);
  return {
    schema: 'espalier-sweep/1',
    name: plan.name,
    runs: found.map(({ run }) => run),
    groups,
    fronts: frontsOf(groups),
    pairs: pairsOf(groups, members),
    provenance: { espalier: VERSION, node: process.version },
  };
}

async function foundOf(
  { labels, seed, error }: Row,
  job: Job | undefined,
  dir: string,
  faults: Faults,
): Promise<Found> {
  const summary = job && (await summaryOf(job, dir));
  const about = { labels, seed, dir: job?.dir ?? null };
  const why = error ?? (job && faults.get(job)) ?? 'not done';
  if (!job || !summary) return { run: { ...about, error: why, result: null }, outcomes: undefined };
  const run = { ...about, error: null, result: resultOf(summary) };
  return { run, outcomes: await outcomesOf(job, dir) };
}

function resultOf(summary: Summary): NonNullable<RunResult['result']> {
  const { dense, pruned, retained, sparsity, bytes, layers, contradictions, provenance } = summary;
  const value = ({ value: share, total }: Proportion): number | null => (total > 0 ? share : null);
  return {
    dense: eachOf((key) => value(dense[key])),
    pruned: eachOf((key) => value(pruned[key])),
    retained: eachOf((key) => (pruned[key].total > 0 ? retained[key] : null)),
    ...{ sparsity, contradictions, seconds: provenance.seconds, bytes: bytes.pruned },
    multiplyAdds: layers.reduce((sum, { macsNonzero }) => sum + macsNonzero, 0),
  };
}

async function outcomesOf(job: Job, dir: string): Promise<Each<string> | undefined> {
  const { join } = await import('node:path');
  const path = pathsOf(join(dir, job.dir), join).outcomes;
  if ((await kindOf(path)) !== 'file') return undefined;
  const text = new TextDecoder().decode(await readFile(path, 1 << 28));
  const { success, output } = v.safeParse(OUTCOMES, parseJson(text, path));
  return success ? (output as Each<string>) : undefined;
}

type Done = Found & { readonly run: { readonly result: NonNullable<RunResult['result']> } };

/** Runs with a result, by their labels. */
function groupsOf(found: readonly Found[]): readonly (readonly Done[])[] {
  const groups = new Map<string, Done[]>();
  for (const one of found) {
    if (!one.run.result) continue;
    const key = canonicalJson(one.run.labels);
    groups.set(key, [...(groups.get(key) ?? []), one as Done]);
  }
  return [...groups.values()];
}

function groupOf(members: readonly Done[]): GroupResult {
  const results = members.map(({ run }) => run.result);
  const mean = (of: (result: Done['run']['result']) => number): number =>
    meanOf(results.map(of)).mean;
  const each = (part: 'dense' | 'pruned' | 'retained'): Each<Mean | null> =>
    eachOf((key) => {
      const values = results.map((result) => result[part][key]).filter((one) => one !== null);
      return values.length > 0 ? meanOf(values) : null;
    });
  return {
    labels: members[0]!.run.labels,
    seeds: members.map(({ run }) => run.seed),
    ...{ dense: each('dense'), pruned: each('pruned'), retained: each('retained') },
    sparsity: mean((result) => result.sparsity),
    bytes: mean((result) => result.bytes),
    multiplyAdds: mean((result) => result.multiplyAdds),
  };
}

function frontsOf(groups: readonly GroupResult[]): SweepResult['fronts'] {
  const front = (cost: (typeof COSTS)[number], key: Accuracy): number[] => {
    const value = (group: GroupResult): number => group.pruned[key]?.mean ?? -1;
    const beats = (one: GroupResult, other: GroupResult): boolean =>
      one[cost] <= other[cost] &&
      value(one) >= value(other) &&
      (one[cost] < other[cost] || value(one) > value(other));
    return groups.flatMap((group, at) =>
      group.pruned[key] && !groups.some((other) => beats(other, group)) ? [at] : [],
    );
  };
  const of = (cost: (typeof COSTS)[number]) => eachOf((key) => front(cost, key));
  return { bytes: of('bytes'), multiplyAdds: of('multiplyAdds') };
}

/** Labels that may differ between the two groups of a pair, one of them at a time. */
const COMPARED = ['prune.strategy', 'prune.control'];

/** Tests between all groups that differ in the strategy alone, or in the control alone. */
function pairsOf(
  groups: readonly GroupResult[],
  members: readonly (readonly Done[])[],
): PairResult[] {
  return groups.flatMap((one, a) =>
    groups.flatMap((other, b) => {
      const differ = differences(one, other);
      if (b <= a || differ.length !== 1 || !COMPARED.includes(differ[0]!)) return [];
      return ACCURACIES.flatMap((accuracy) => {
        const found = compare(members[a]!, members[b]!, accuracy);
        return found ? [{ a, b, accuracy, ...found }] : [];
      });
    }),
  );
}

/** Labels in which two groups differ. The dense network, trained longer, has no sparsity to differ in. */
function differences({ labels: a }: GroupResult, { labels: b }: GroupResult): string[] {
  const isDense = [a, b].some((labels) => labels['prune.control'] === 'dense-longer');
  return Object.keys(a).filter(
    (key) => a[key] !== b[key] && !(isDense && key === 'prune.sparsity'),
  );
}

function compare(one: readonly Done[], other: readonly Done[], accuracy: Accuracy) {
  const seeds: number[] = [];
  let [pairs, onlyA, onlyB] = [0, 0, 0];
  for (const { run, outcomes } of one) {
    const theirs = other.find(({ run: { seed } }) => seed === run.seed)?.outcomes?.[accuracy];
    const mine = outcomes?.[accuracy];
    if (mine === undefined || theirs === undefined) continue;
    seeds.push(run.seed);
    for (let i = 0; i < Math.min(mine.length, theirs.length); i++) {
      if (mine[i] === '-' || theirs[i] === '-') continue;
      pairs++;
      if (mine[i] === '1' && theirs[i] === '0') onlyA++;
      if (mine[i] === '0' && theirs[i] === '1') onlyB++;
    }
  }
  if (pairs === 0) return undefined;
  const difference = (onlyA - onlyB) / pairs;
  return { seeds, pairs, onlyA, onlyB, difference, p: mcnemar(onlyA, onlyB) };
}
