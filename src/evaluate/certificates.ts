/**
 * Certificates of images as files: written one an image, and checked. A certificate is
 * written only when the checker itself proves it, and what is in a file already counts only when the
 * checker proves it again. No file is replaced unless that is asked for.
 */
import {
  type Certificate,
  type Claim,
  decode,
  encode,
  MOST_BYTES,
  seal,
} from '../check/certificate';
import { check, fingerprint, provenMargin } from '../check/check';
import { batchOf } from '../data/batches';
import { fitted } from '../data/layout';
import type { DataSet } from '../data/types';
import { EspalierError, expect, fail } from '../errors';
import type { Listener, StopSignal } from '../events';
import { createAtomic, kindOf, makeFolder, readFile, writeAtomic } from '../io/files';
import { withCanonical } from '../nn/freeze';
import type { AnyModel, Model } from '../nn/model';
import { verifiers } from '../verify/verifiers/registry';
import { inTurn } from './slices';

/** Methods by the names of the bounds they are, cheap ones first. */
export const proofs = {
  interval: { about: 'interval bounds', method: { name: 'interval' } },
  'crown-ibp': {
    about: 'linear bounds over interval bounds of the hidden values',
    method: { name: 'linear', intermediate: 'interval' },
  },
  crown: {
    about: 'linear bounds, of the hidden values too; slow for large networks',
    method: { name: 'linear', intermediate: 'linear' },
  },
} as const satisfies Readonly<
  Record<string, { readonly about: string; readonly method: Certificate['method'] }>
>;
export type ProofName = keyof typeof proofs;

interface Hooks {
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
}

export interface CertifyOptions extends Hooks {
  /** Positions in the test split. */
  readonly indices: readonly number[];
  readonly eps: number;
  /** Tried in this order until one proves the label. */
  readonly methods: readonly ProofName[];
  /** Folder of the files, `<index>.json`. */
  readonly folder: string;
  /** Whether files that are something else are replaced. */
  readonly force?: boolean;
}

export interface Certified {
  readonly index: number;
  readonly label: number;
  /** Margin that the checker proves; the best of the methods where none of them is enough. */
  readonly margin: number;
  readonly method: ProofName | null;
  readonly file: string | null;
}

/**
 * Certificates of the images that can be proven. Those of the same claims in the folder stay where the
 * checker proves them again; any other file of such a name is an EspalierError, before the work, unless
 * `force` is given.
 */
export async function certify(
  model: Model,
  given: DataSet,
  { indices, eps, methods, folder, force = false, onEvent, signal }: CertifyOptions,
): Promise<Certified[]> {
  const set = fitted(model, given, onEvent);
  const { join } = await import('node:path');
  const wrong = indices.find((index) => !(index >= 0 && index < set.test.count));
  expect(wrong === undefined, '--index', `positions in [0, ${set.test.count})`, wrong);
  expect(eps >= 0 && Number.isFinite(eps), 'certify: eps', 'a radius of 0 or more', eps);
  await makeFolder(folder);
  return withCanonical(model, async (canonical) => {
    const sha256 = await fingerprint(canonical);
    const jobOf = (index: number): Job => ({
      model: canonical,
      base: baseOf(set, index, eps, sha256),
      methods,
      file: join(folder, `${index}.json`),
      force,
    });
    if (!force) for (const index of indices) await standing(jobOf(index));
    const hooks = { onEvent, signal, saved: 'The certificates written so far stay.' };
    const metrics = (results: readonly Certified[]) => ({
      certified: shareOf(results, ({ file }) => file !== null),
    });
    const told = { phase: 'certify', unit: 'images', metrics, ...hooks } as const;
    return await inTurn(indices, told, async (index) => {
      const job = jobOf(index);
      return { index, label: job.base.property.label, ...(await settle(job)) };
    });
  });
}

type Ball = Extract<Claim['region'], { kind: 'ball' }>;
type Label = Extract<Claim['property'], { kind: 'label' }>;

interface Base extends Pick<Claim, 'model'> {
  readonly region: Ball;
  readonly property: Label;
}
type Found = Pick<Certified, 'margin' | 'method' | 'file'>;

interface Job {
  readonly model: AnyModel;
  readonly base: Base;
  readonly methods: readonly ProofName[];
  readonly file: string;
  readonly force: boolean;
}

/** Claim to be proven of an image. */
function baseOf(set: DataSet, index: number, eps: number, sha256: string): Base {
  const { images, labels } = batchOf(set, set.test, index, index + 1);
  const outside = images.find((x) => !(x >= 0 && x <= 1));
  expect(outside === undefined, `${set.name}: image ${index}`, 'pixels in [0, 1]', outside);
  return {
    model: { sha256 },
    region: { kind: 'ball', centre: [...images], eps, range: [0, 1] },
    property: { kind: 'label', label: labels[0]! },
  };
}

/** The text of the file where it is a certificate of the same claim; undefined where there is none. */
async function standing({ file, base }: Job): Promise<string | undefined> {
  const kind = await kindOf(file);
  if (kind === undefined) return undefined;
  const text = kind === 'file' ? await textOf(file).catch(() => '') : '';
  const got = await otherThan(base, text, file);
  return got === undefined ? text : kept(file, got);
}

/** Words for a text that is no certificate of this claim; undefined for one that is. */
async function otherThan(base: Base, text: string, file: string): Promise<string | undefined> {
  let claim: Certificate;
  try {
    claim = await decode(text, file);
  } catch (error) {
    if (error instanceof EspalierError) return 'something else';
    throw error;
  }
  const differs = (['model', 'region', 'property'] as const).filter(
    (key) => JSON.stringify(claim[key]) !== JSON.stringify(base[key]),
  );
  if (differs.length === 0) return undefined;
  const { region } = claim;
  const radius = region.kind === 'ball' && region.eps !== base.region.eps;
  return `one of another ${radius ? `radius (${region.eps})` : differs.join(' and ')}`;
}

/** Raises the error that says why a file stays as it is. */
function kept(file: string, got: string): never {
  fail(
    file,
    'no such file, or a certificate of this claim that the checker proves',
    got,
    'It was left as it is: choose another folder with --out, or --force to replace it.',
  );
}

/** Has the claim's file as it should be: proves again what stands there, or proves and writes. */
async function settle(job: Job): Promise<Found> {
  const { file, force, model } = job;
  const there = force ? await standing(job).catch(() => undefined) : await standing(job);
  if (there !== undefined) {
    const checked = await check(there, model, { who: file });
    if (checked.accepted)
      return { margin: checked.margin, method: nameOf(checked.certificate.method), file };
    if (!force) kept(file, `one that it rejects (${checked.reason})`);
  }
  const { margin, method } = proven(job);
  if (method === null) return { margin, method, file: null };
  // Another machine's exp may differ in the last digits.
  const claim = { ...job.base, method: proofs[method].method, margin: margin * (1 - 2 ** -20) };
  const text = encode(await seal(claim));
  if (force) await writeAtomic(file, text);
  else if (!(await createAtomic(file, text))) {
    // Another process was faster: its certificate is judged like any that stood there.
    if ((await standing(job)) === undefined) kept(file, 'something that is no file');
    return settle(job);
  }
  return { margin, method, file };
}

/** The method whose kind of bounds a certificate asks for, whatever its slopes. */
function nameOf(method: Certificate['method']): ProofName {
  if (method.name === 'interval') return 'interval';
  return method.intermediate === 'linear' ? 'crown' : 'crown-ibp';
}

/** Margin of the first method that proves the claim, or the best of all. */
function proven({ model, base, methods }: Job): Pick<Found, 'margin' | 'method'> {
  let best = Number.NEGATIVE_INFINITY;
  for (const name of methods) {
    const fast = fastMargin(model, base, name);
    const margin = fast > 0 ? provenMargin({ ...base, method: proofs[name].method }, model) : fast;
    if (margin > 0 && Number.isFinite(margin)) return { margin, method: name };
    if (margin > best) best = margin;
  }
  return { margin: best, method: null };
}

/** Margin by the fast verifier of the same name: it spares the checker hopeless images. */
function fastMargin(model: AnyModel, { region, property }: Base, name: ProofName): number {
  const entry = verifiers[name]!;
  const images = Float32Array.from(region.centre);
  const job = { model, images, labels: Int32Array.of(property.label), eps: region.eps };
  return entry.verify(job, {})[0]!.margin;
}

export interface Checked {
  readonly file: string;
  readonly accepted: boolean;
  /** Why it was rejected, or what was accepted. */
  readonly text: string;
  readonly margin: number | null;
}

export interface CheckFilesOptions extends Hooks {
  /** A certificate, or a folder of them (*.json). */
  readonly path: string;
  readonly limit?: number;
  /** Radius that every certificate's ball must have at least. */
  readonly eps?: number;
}

/** Checks certificates of a model. */
export async function checkFiles(
  model: Model,
  { path, limit, eps, onEvent, signal }: CheckFilesOptions,
): Promise<Checked[]> {
  const files = await filesIn(path);
  const hooks = { onEvent, signal, saved: 'Checking starts again.' };
  const metrics = (results: readonly Checked[]) => ({
    accepted: shareOf(results, ({ accepted }) => accepted),
  });
  const told = { phase: 'check', unit: 'files', metrics, ...hooks } as const;
  return withCanonical(model, (canonical) =>
    inTurn(files, told, (file) => checkFile(file, canonical, { limit, eps, alone: file === path })),
  );
}

const shareOf = <T>(list: readonly T[], holds: (one: T) => boolean): number =>
  list.filter(holds).length / list.length;

async function filesIn(path: string): Promise<string[]> {
  if ((await kindOf(path)) !== 'folder') return [path];
  const fs = await import('node:fs/promises');
  const { join } = await import('node:path');
  const names = (await fs.readdir(path)).filter((name) => name.endsWith('.json'));
  expect(names.length > 0, path, 'certificates (*.json)', 'none');
  const order = new Intl.Collator('en', { numeric: true });
  return names.sort(order.compare).map((name) => join(path, name));
}

interface CheckFileOptions {
  readonly limit: number | undefined;
  readonly eps: number | undefined;
  /** Whether an unreadable file is an error; in a folder it is a rejection, and the others are checked. */
  readonly alone: boolean;
}

/** Has the checker look at one file. */
async function checkFile(
  file: string,
  model: AnyModel,
  { limit, eps, alone }: CheckFileOptions,
): Promise<Checked> {
  let text: string;
  try {
    text = await textOf(file);
  } catch (error) {
    if (alone || !(error instanceof EspalierError)) throw error;
    return { file, accepted: false, text: error.message, margin: null };
  }
  const checked = await check(text, model, {
    who: file,
    ...(limit !== undefined && { limit }),
    ...(eps !== undefined && { eps }),
  });
  if (!checked.accepted) return { file, accepted: false, text: checked.reason, margin: null };
  const { certificate, margin } = checked;
  return { file, accepted: true, text: describe(certificate), margin };
}

async function textOf(file: string): Promise<string> {
  return new TextDecoder().decode(await readFile(file, 2 * MOST_BYTES));
}

/** One line that says what a certificate claims. */
export function describe({ region, property, method }: Certificate): string {
  const what =
    property.kind === 'label'
      ? `output ${property.label} is the largest`
      : `${property.rows.length} linear constraints hold`;
  const where = region.kind === 'ball' ? `within ${region.eps} of its input` : 'in its box';
  const cut = region.kind === 'ball' && region.range ? `, cut to [${region.range.join(', ')}]` : '';
  return `${what} ${where}${cut}, by ${proofs[nameOf(method)].about}`;
}
