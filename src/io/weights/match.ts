/**
 * Weights of a file to the parameters of a network.
 *
 * A file is one state dict, or several under the keys of a checkpoint. The one that fits by name is
 * taken; where none does, or more than one, the error shows both sides or lists the keys. Order and
 * shape are a guess, and so are only taken when asked for. Before anything is matched, tensors that
 * `ignore` names and counters are left out, and parts of one parameter put together (effective.ts).
 */
import { EspalierError, expect } from '../../errors';
import type { Network } from '../../nn/graph';
import { effectiveWeights } from './effective';
import {
  type Fit,
  filePrefix,
  fitByOrder,
  fitsByName,
  isWhole,
  type Wanted,
  wantedBy,
} from './fit';
import { fitsPattern, splitName } from './names';
import { explain, keysHint, orderHint, orderNote } from './report';
import {
  type Entry,
  entryOf,
  listNames,
  type Pairs,
  type TensorOrder,
  type WeightFile,
  type WeightTensor,
} from './types';

export interface MatchOptions {
  readonly order: TensorOrder;
  /** Take order and shape where names do not fit. Default false. */
  readonly byOrder?: boolean | undefined;
  /** Patterns of names of tensors to leave out; `*` stands for any text. */
  readonly ignore?: readonly string[] | undefined;
  /** Read only what is under this dotted key. */
  readonly key?: string | undefined;
  /** Keys under which the file may have a state dict, by their dotted paths. Default: the whole file. */
  readonly keys?: readonly string[] | undefined;
}

export interface MatchedWeights {
  /** Values by the network's own parameter names; fixed ones (mean and std of `normalise`) may be absent. */
  readonly weights: WeightFile;
  readonly notes: readonly string[];
}

/** Keys under which checkpoints keep their weights, the likeliest first. */
const USUAL_KEYS: readonly string[] = [
  ...['state_dict', 'model_state_dict', 'model_state', 'model', 'net', 'network', 'params'],
  ...['weights', 'ema', 'model_ema', 'ema_model', 'state_dict_ema'],
];
const MAX_KEYS = 100;

/** Counters that nothing here needs: of batch norm, and of averaged (SWA, EMA) models. */
const COUNTERS: ReadonlySet<string> = new Set(['num_batches_tracked', 'n_averaged']);

/** The tensors under one key, by their names below it. */
interface Candidate {
  readonly key: string;
  readonly file: WeightFile;
  readonly entries: readonly Entry[];
}

/** Raises EspalierError naming `who` and both sides where the file does not fit the network. */
export function matchWeights(
  network: Network,
  file: WeightFile,
  who: string,
  options: MatchOptions,
): MatchedWeights {
  const wanted = wantedBy(network);
  const kept = withoutIgnored(file, options.ignore ?? [], who);
  const candidates = candidatesIn(kept, who, options);
  const found = byNames(wanted, candidates, who) ?? byOrder(wanted, candidates, who, options);
  if (!found) throw new EspalierError(whyNot(wanted, candidates, who, options));
  const { candidate, pairs, notes } = found;
  const weights = new Map([...pairs].map(([to, from]) => [to, candidate.file.get(from)!]));
  return { weights, notes: [...keyNote(kept, candidate), ...notes] };
}

interface Found {
  readonly candidate: Candidate;
  readonly pairs: Pairs;
  readonly notes: readonly string[];
}

function byNames(wanted: Wanted, candidates: readonly Candidate[], who: string): Found | undefined {
  const fits = candidates.flatMap((candidate) =>
    fitsByName(wanted, candidate.entries)
      .filter(isWhole)
      .map((fit) => ({ candidate, fit, pairs: fit.pairs, notes: prefixNote(who, fit) })),
  );
  const different = distinct(fits);
  if (different.length > 1) {
    const keys = different.map(({ candidate, fit }) => [candidate.key, filePrefix(fit)] as const);
    throw new EspalierError(keysHint(who, wanted.network, keys));
  }
  return different[0];
}

function byOrder(
  wanted: Wanted,
  candidates: readonly Candidate[],
  who: string,
  { byOrder: asked, order }: MatchOptions,
): Found | undefined {
  if (!asked) return undefined;
  const fits = candidates.flatMap((candidate) => {
    const pairs = fitByOrder(wanted, candidate.entries, order);
    return pairs ? [{ candidate, pairs, notes: [orderNote(who, pairs)] }] : [];
  });
  const different = distinct(fits);
  if (different.length > 1) {
    const keys = different.map(({ candidate }) => [candidate.key, ''] as const);
    throw new EspalierError(keysHint(who, wanted.network, keys));
  }
  return different[0];
}

/** A dict within a dict that adds nothing holds the same tensors: the inner one is enough. */
function distinct<F extends Found>(fits: readonly F[]): F[] {
  const first = ({ candidate: { key }, pairs }: F): string => {
    const [name = ''] = pairs.values();
    return key === '' ? name : `${key}.${name}`;
  };
  return [...new Map(fits.map((fit) => [first(fit), fit])).values()];
}

function whyNot(
  wanted: Wanted,
  candidates: readonly Candidate[],
  who: string,
  { byOrder: asked, order }: MatchOptions,
): string {
  const candidate = likeliest(candidates);
  const others = candidates.filter((one) => one !== candidate).map(({ key }) => key);
  const ordered = asked ? undefined : fitByOrder(wanted, candidate.entries, order);
  if (ordered) return orderHint(who, wanted, candidate.entries, ordered, others);
  const fits = fitsByName(wanted, candidate.entries);
  const complete = fits.filter(({ missing }) => missing.length === 0);
  if (complete.length > 1) {
    const keys = complete.map((fit) => [candidate.key, filePrefix(fit)] as const);
    return keysHint(who, wanted.network, keys);
  }
  return explain(who, wanted, candidate.entries, fits[0]!, { key: candidate.key, others });
}

/** The key that a checkpoint's weights most likely stand under. */
export function likeliestKey(keys: readonly string[]): string {
  const rank = (key: string): number => {
    const at = USUAL_KEYS.indexOf(splitName(key).local);
    return at < 0 ? USUAL_KEYS.length : at;
  };
  return [...keys].sort((a, b) => rank(a) - rank(b) || a.length - b.length)[0] ?? '';
}

function likeliest(candidates: readonly Candidate[]): Candidate {
  const usual = likeliestKey(candidates.map(({ key }) => key));
  return candidates.find(({ key }) => key === usual)!;
}

function candidatesIn(
  file: WeightFile,
  who: string,
  { key, keys = [''] }: MatchOptions,
): readonly Candidate[] {
  if (key === undefined) return keys.slice(0, MAX_KEYS).map((one) => candidateAt(file, one));
  const found = candidateAt(file, key);
  const known = keys.filter((one) => one !== '');
  expect(
    found.entries.length > 0,
    who,
    `tensors under the key ${key}`,
    'none',
    known.length > 0 ? `Keys with tensors: ${listNames(known)}.` : topNames(file),
  );
  return [found];
}

function topNames(file: WeightFile): string {
  const tops = new Set([...file.keys()].map((name) => name.split('.', 1)[0]!));
  return `Names begin with: ${listNames([...tops])}.`;
}

/** What is under a key, counters left out and parts put together. */
function candidateAt(file: WeightFile, key: string): Candidate {
  const prefix = key === '' ? '' : `${key}.`;
  const inside = new Map<string, WeightTensor>();
  for (const [name, tensor] of file) {
    const below = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    if (below !== '' && !COUNTERS.has(splitName(below).local)) inside.set(below, tensor);
  }
  const effective = effectiveWeights(inside);
  return { key, file: effective, entries: [...effective].map(entryOf) };
}

function withoutIgnored(file: WeightFile, patterns: readonly string[], who: string): WeightFile {
  if (patterns.length === 0) return file;
  const fits = (pattern: string, name: string): boolean =>
    fitsPattern(name, pattern) || fitsPattern(name, `*.${pattern}`);
  const names = [...file.keys()];
  for (const pattern of patterns)
    expect(
      names.some((name) => fits(pattern, name)),
      `${who}: ignore`,
      'a pattern of its tensors',
      `${pattern}, which fits none of ${listNames(names)}`,
    );
  return new Map([...file].filter(([name]) => !patterns.some((pattern) => fits(pattern, name))));
}

function keyNote(file: WeightFile, { key }: Candidate): string[] {
  if (key === '') return [];
  const others = new Set<string>();
  for (const name of file.keys())
    if (!name.startsWith(`${key}.`)) others.add(name.split('.', 1)[0]!);
  others.delete(key.split('.', 1)[0]!);
  const left = others.size > 0 ? `; left out the tensors of ${listNames([...others])}` : '';
  return [`Read what is under "${key}"${left}.`];
}

function prefixNote(who: string, fit: Fit): string[] {
  const [name = ''] = fit.pairs.keys();
  const theirs = fit.prefix === '' ? '' : `Took "${filePrefix(fit)}" off every name of ${who}`;
  const ours = fit.own === '' ? '' : `"${name.slice(0, fit.own.length)}" off those of the network`;
  if (theirs === '' && ours === '') return [];
  return [`${theirs || `${who}: took ${ours}`}${theirs && ours ? `, and ${ours}` : ''}.`];
}
