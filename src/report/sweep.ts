/** Tables of a sweep: groups of runs with intervals over their seeds, paired tests, and faults. */
import type { Mean } from '../statistics';
import { bytes, count, DASH, percent } from './format';
import type { GroupResult, SweepResult } from './sweep-types';
import { columnsOf, renderTable, type Table } from './table';
import { ACCURACIES, type Accuracy } from './types';

export const NAMES: Readonly<Record<Accuracy, string>> = {
  benign: 'benign',
  era: 'ERA',
  vra: 'VRA',
};

/** "97.1 % ± 0.4": a mean and half of its 95 % interval, in points; a mean alone has none. */
export function meanText(mean: Mean | null, digits = 2): string {
  if (!mean) return DASH;
  const half = mean.hi === null ? '' : ` ± ${(100 * (mean.hi - mean.mean)).toFixed(digits)}`;
  return `${percent(mean.mean, digits)}${half}`;
}

/** The last part of a key of the config: "prune.strategy" is "strategy". */
const shortKey = (key: string): string => key.split('.').at(-1)!;

/** Keys in which groups differ, and what all of them have in common. */
export function labelsOf(list: readonly { readonly labels: GroupResult['labels'] }[]): {
  readonly varying: readonly string[];
  readonly common: string;
} {
  const keys = [...new Set(list.flatMap(({ labels }) => Object.keys(labels)))];
  const isCommon = (key: string): boolean =>
    list.every(({ labels }) => labels[key] === list[0]!.labels[key]);
  const common = keys.filter((key) => isCommon(key) && list[0]!.labels[key] !== 'none');
  return {
    varying: keys.filter((key) => !isCommon(key)),
    common: common.map((key) => `${shortKey(key)} ${list[0]!.labels[key]}`).join(', '),
  };
}

/** One row a group: what it is, its accuracies over the seeds, and its cost. */
export function groupTable({ groups }: SweepResult): Table {
  const { varying } = labelsOf(groups);
  const accuracies = ACCURACIES.map((key) => NAMES[key]);
  const titles = [
    '#',
    ...varying.map(shortKey),
    ...['seeds', 'zeros', ...accuracies, ...accuracies.map((name) => `${name} kept`)],
    ...['bytes', 'multiply-adds'],
  ];
  const rows = groups.map((group, i) => [
    String(i + 1),
    ...varying.map((key) => group.labels[key] ?? ''),
    String(group.seeds.length),
    percent(group.sparsity, 1),
    ...ACCURACIES.map((key) => meanText(group.pruned[key])),
    ...ACCURACIES.map((key) => meanText(group.retained[key], 1)),
    ...[bytes(group.bytes), count(group.multiplyAdds)],
  ]);
  return { columns: columnsOf(titles, `r${'l'.repeat(varying.length)}r`), rows };
}

/** One row a test: the groups by their numbers, and what they differ in. */
export function pairTable({ groups, pairs }: SweepResult): Table {
  const name = (at: number, other: number): string => {
    const [mine, theirs] = [groups[at]!.labels, groups[other]!.labels];
    const differing = Object.keys(mine).filter((key) => mine[key] !== theirs[key]);
    return `#${at + 1} ${differing.map((key) => mine[key]).join(' ')}`;
  };
  const rows = pairs.map(({ a, b, accuracy, seeds, pairs: n, onlyA, onlyB, difference, p }) => [
    ...[name(a, b), name(b, a), NAMES[accuracy], String(seeds.length), count(n)],
    ...[count(onlyA), count(onlyB), `${(100 * difference).toFixed(2)}`, probability(p)],
  ]);
  const titles = ['a', 'b', 'accuracy', 'seeds', 'pairs', 'only a', 'only b', 'a - b, points', 'p'];
  return { columns: columnsOf(titles, 'lllr'), rows };
}

const probability = (p: number): string => (p < 1e-4 ? p.toExponential(1) : p.toFixed(4));

/** One row a run without a result: its sentence. */
export function faultTable({ runs }: SweepResult): Table {
  const rows = runs
    .filter(({ error }) => error !== null)
    .map(({ labels, seed, error }) => [
      [...Object.values(labels).filter((one) => one !== 'none'), `seed ${seed}`].join(' '),
      error!,
    ]);
  return { columns: columnsOf(['run', 'why it has no result']), rows };
}

export const ABOUT_PAIRS =
  'McNemar’s exact test over the pairs of a seed and a test image in which the two networks differ. It speaks of these networks on images like these, not of seeds yet to be drawn, and is not corrected for the number of tests.';

/** All that is printed when a sweep ends. */
export function sweepText(result: SweepResult): string {
  const { groups, pairs, runs, name } = result;
  const faults = faultTable(result);
  const { common } = labelsOf(groups);
  const about = `${name}: ${runs.length - faults.rows.length} of ${runs.length} runs; means over the seeds ± half of the 95 % interval (Student)`;
  return [
    about,
    ...(common ? [common] : []),
    ...(groups.length > 0 ? [renderTable(groupTable(result))] : []),
    ...(pairs.length > 0 ? ['', ABOUT_PAIRS, renderTable(pairTable(result))] : []),
    ...(faults.rows.length > 0 ? ['', renderTable(faults)] : []),
  ].join('\n');
}
