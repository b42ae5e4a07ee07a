/**
 * What is said where weights do not fit by name: the two sides beside each other, the keys to choose
 * from, and the way out. At most 40 lines, and 200 x 200 comparisons of names.
 */
import { sameShape } from '../../tensor/shape';
import type { Fit, Wanted } from './fit';
import { splitName } from './names';
import { type Entry, listNames, type Pairs, show } from './types';

const MAX_LINES = 36;
const MAX_COMPARED = 200;

/** Tensors that other tools keep beside weights: what they are, and what to do with them. */
const KNOWN: readonly (readonly [local: RegExp, what: string])[] = [
  [/^(new_)?(mu|mean|sigma|std)$/, 'a constant of input normalisation? give it by --mean, --std'],
  [/^popup_scores?$/, 'scores of pruning (HYDRA), by which its weights are chosen'],
  [/_(orig|mask|[guv])$|^original\d?$|^_[uv]$/, 'a part of a weight in another form'],
  [/^(exp_avg|exp_avg_sq|momentum_buffer)$/, 'state of an optimiser'],
  [/^(scale|zero_point)$/, 'quantisation'],
];

function knownAs(name: string): string {
  const { local } = splitName(name);
  const found = KNOWN.find(([pattern]) => pattern.test(local.slice(-40)));
  return found ? ` (${found[1]})` : '';
}

/** Two sides as lines, ours padded to one width; at most 36, then how many more. */
function columns(rows: readonly (readonly [string, string])[], total = rows.length): string[] {
  const shown = rows.slice(0, MAX_LINES);
  const width = Math.max(...shown.map(([ours]) => ours.length));
  return [
    ...shown.map(([ours, theirs]) => `  ${ours.padEnd(width)}  ${theirs}`),
    ...(total > shown.length ? [`  ... and ${total - shown.length} more`] : []),
  ];
}

/** The note of a match by order. */
export function orderNote(who: string, pairs: Pairs): string {
  const layers = new Map(
    [...pairs].map(([name, from]) => [splitName(name).node, splitName(from).node || from]),
  );
  const list = [...layers].map(([node, from]) => `${node} <- ${from}`);
  const shown = list.slice(0, MAX_LINES).join(', ');
  const more = list.length > MAX_LINES ? ` and ${list.length - MAX_LINES} more` : '';
  return `${who}: weights matched by order and shape, not by name: ${shown}${more}.`;
}

/** The error where only order and shape fit: both lists side by side. */
export function orderHint(
  who: string,
  { network, needed }: Wanted,
  tensors: readonly Entry[],
  pairs: Pairs,
  otherKeys: readonly string[],
): string {
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]));
  const rows = needed.map((entry): [string, string] => {
    const from = pairs.get(entry.name)!;
    return [show(entry), `<- ${show({ name: from, shape: shapes.get(from)! })}`];
  });
  return [
    `${who}: expected the names of ${network}, got others, which fit by order and shape alone:`,
    ...columns(rows),
    `If that is right, ask for it: --by-order (byOrder in the library). Else name the layers alike.`,
    ...otherKeysLine(otherKeys),
  ].join('\n');
}

/** The error where several parts of a file fit: key and prefix each. */
export function keysHint(
  who: string,
  network: string,
  places: readonly (readonly [key: string, prefix: string])[],
): string {
  const names = places.map(([key, prefix]) => {
    const path = [key, prefix.replace(/\W$/, '')].filter((part) => part !== '').join('.');
    return path === '' ? '(none)' : path;
  });
  return (
    `${who}: expected one set of weights of ${network}, got ${names.length}, under the keys ` +
    `${listNames(names)}. Choose by --key ${names.find((name) => name !== '(none)')} (key in the ` +
    'library), or leave the others out by --ignore PATTERN.'
  );
}

function otherKeysLine(keys: readonly string[]): string[] {
  if (keys.length === 0) return [];
  return [`Tensors are also under: ${listNames(keys.map((key) => key || '(all)'))}; see --key.`];
}

/** The error: the two sides beside each other, only where they differ. */
export function explain(
  who: string,
  { network, needed }: Wanted,
  tensors: readonly Entry[],
  { missing, over, other }: Fit,
  { key, others }: { readonly key: string; readonly others: readonly string[] },
): string {
  const free = over.slice(0, MAX_COMPARED);
  const rows = other.map(([entry, found]): [string, string] => [
    show(entry),
    `${show(found)}: another shape`,
  ]);
  for (const entry of missing.slice(0, MAX_COMPARED)) {
    const near = takeNearest(entry, free);
    rows.push([show(entry), near ? `missing; nearest: ${show(near)}` : 'missing']);
  }
  const rest = [...free, ...over.slice(MAX_COMPARED)];
  for (const entry of rest.slice(0, MAX_LINES))
    rows.push(['', `${show(entry)}: left over${knownAs(entry.name)}`]);
  const total = rows.length + Math.max(0, rest.length - MAX_LINES);
  const counts = `${missing.length} missing, ${over.length} left over, ${other.length} of another shape`;
  const under = key === '' ? '' : ` under "${key}"`;
  const way = over.length > 0 && missing.length + other.length === 0;
  return [
    `${who}: expected the ${needed.length} weights of ${network}, got ${tensors.length} tensors${under}: ${counts}.`,
    ...columns(rows, total),
    ...(way
      ? ['Tensors that the network does not need are left out by --ignore PATTERN (ignore).']
      : []),
    ...otherKeysLine(others),
  ].join('\n');
}

/** Removes and returns the entry of `free` most like `entry`: shape first, then names. */
function takeNearest(entry: Entry, free: Entry[]): Entry | undefined {
  let best = -1;
  let most = Number.NEGATIVE_INFINITY;
  free.forEach((other, i) => {
    const score =
      (sameShape(entry.shape, other.shape) ? 4000 : 0) +
      (entry.shape.length === other.shape.length ? 2000 : 0) +
      (splitName(entry.name).local === splitName(other.name).local ? 1000 : 0) +
      common(entry.name, other.name);
    if (score > most) [best, most] = [i, score];
  });
  return best < 0 ? undefined : free.splice(best, 1)[0];
}

/** How many characters two names share at their start and end, at most 500. */
function common(a: string, b: string): number {
  const size = Math.min(a.length, b.length, 250);
  let [start, end] = [0, 0];
  while (start < size && a[start] === b[start]) start++;
  while (end < size && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return start + end;
}
