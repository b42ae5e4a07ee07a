/**
 * Writes certificates of images, one file each, and has files judged by the checker. A certificate is
 * written only when the checker itself proves it: so what is on disk is accepted.
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
import type { DataSet } from '../data/types';
import { EspalierError, expect } from '../errors';
import { kindOf, makeFolder, readFile, writeAtomic } from '../io/files';
import { lower } from '../nn/lower';
import { freeModel, type Model } from '../nn/model';
import { supportZeros } from '../nn/support';
import { parseOptions } from '../options';
import { verifiers } from '../verify/verifiers/registry';
import { batchOf, fitted } from './evaluate';
import { Interrupted, type Listener, type StopSignal } from './events';

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
  /** Where the files go: `<index>.json`. */
  readonly folder: string;
}

export interface Certified {
  readonly index: number;
  readonly label: number;
  /** What the checker proves; the best of the methods where none of them is enough. */
  readonly margin: number;
  readonly method: ProofName | null;
  readonly file: string | null;
}

/** Certificates of the images that can be proven; those already in the folder stay. */
export async function certify(
  model: Model,
  given: DataSet,
  { indices, eps, methods, folder, onEvent, signal }: CertifyOptions,
): Promise<Certified[]> {
  const set = fitted(model, given, onEvent);
  const { join } = await import('node:path');
  const wrong = indices.find((index) => !(index >= 0 && index < set.test.count));
  expect(wrong === undefined, '--index', `positions in [0, ${set.test.count})`, wrong);
  await makeFolder(folder);
  const canonical = supportZeros(lower(model));
  const total = indices.length;
  const results: Certified[] = [];
  const started = performance.now();
  onEvent?.({ type: 'phase', phase: 'certify', title: 'certify', total, done: 0 });
  try {
    const sha256 = await fingerprint(canonical);
    for (const index of indices) {
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted) throw new Interrupted('The certificates written so far stay.');
      const { images, labels } = batchOf(set, set.test, index, index + 1);
      const file = join(folder, `${index}.json`);
      const base = {
        model: { sha256 },
        region: { kind: 'ball', centre: [...images], eps, range: [0, 1] },
        property: { kind: 'label', label: labels[0]! },
      } as const satisfies Partial<Claim>;
      const found = (await stored(file, base)) ?? (await proven(canonical, base, methods, file));
      results.push({ index, label: labels[0]!, ...found });
      const done = results.length;
      const rate = (1000 * done) / (performance.now() - started);
      const metrics = { certified: results.filter((r) => r.file !== null).length / done };
      onEvent?.({ type: 'progress', done, total, rate, unit: 'images', metrics });
    }
  } finally {
    freeModel(canonical);
  }
  return results;
}

type Base = Pick<Claim, 'model' | 'region' | 'property'>;
type Found = Pick<Certified, 'margin' | 'method' | 'file'>;

/** What stands in the file already, if it is a certificate of the same claim. */
async function stored(file: string, base: Base): Promise<Found | undefined> {
  if ((await kindOf(file)) !== 'file') return undefined;
  try {
    const { model, region, property, method, margin } = await decode(await textOf(file), file);
    const same = JSON.stringify({ model, region, property }) === JSON.stringify(base);
    const name = (Object.keys(proofs) as ProofName[]).find(
      (key) => JSON.stringify(proofs[key].method) === JSON.stringify(method),
    );
    return same && name ? { margin, method: name, file } : undefined;
  } catch (error) {
    // Damaged: it is written again.
    if (error instanceof EspalierError) return undefined;
    throw error;
  }
}

async function proven(
  model: Model,
  base: Base,
  methods: readonly ProofName[],
  file: string,
): Promise<Found> {
  let best = Number.NEGATIVE_INFINITY;
  for (const name of methods) {
    const { method } = proofs[name];
    const fast = fastMargin(model, base, name);
    if (!(fast > 0)) {
      best = Math.max(best, fast);
      continue;
    }
    const margin = provenMargin({ ...base, method }, model);
    if (margin > 0) {
      // Another machine's exp may differ in the last digits.
      const claim = { ...base, method, margin: margin * (1 - 2 ** -20) };
      await writeAtomic(file, encode(await seal(claim)));
      return { margin, method: name, file };
    }
    best = Math.max(best, margin);
  }
  return { margin: best, method: null, file: null };
}

/** What the fast verifier of the same name proves: it spares the checker hopeless images. */
function fastMargin(model: Model, { region, property }: Base, name: ProofName): number {
  if (region.kind !== 'ball' || property.kind !== 'label' || !Object.hasOwn(verifiers, name))
    return Number.POSITIVE_INFINITY;
  const entry = verifiers[name]!;
  const images = Float32Array.from(region.centre);
  const job = { model, images, labels: Int32Array.of(property.label), eps: region.eps };
  return entry.verify(job, parseOptions(entry.options, {}, name))[0]!.margin;
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
}

/** Has the checker judge certificates of a model. */
export async function checkFiles(
  model: Model,
  { path, limit, onEvent, signal }: CheckFilesOptions,
): Promise<Checked[]> {
  const files = await filesIn(path);
  const canonical = supportZeros(lower(model));
  const results: Checked[] = [];
  const started = performance.now();
  onEvent?.({ type: 'phase', phase: 'check', title: 'check', total: files.length, done: 0 });
  try {
    for (const file of files) {
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted) throw new Interrupted('Checking starts again.');
      results.push(await judge(file, canonical, limit));
      const done = results.length;
      const rate = (1000 * done) / (performance.now() - started);
      const metrics = { accepted: results.filter((r) => r.accepted).length / done };
      onEvent?.({ type: 'progress', done, total: files.length, rate, unit: 'files', metrics });
    }
  } finally {
    freeModel(canonical);
  }
  return results;
}

async function filesIn(path: string): Promise<string[]> {
  if ((await kindOf(path)) !== 'folder') return [path];
  const fs = await import('node:fs/promises');
  const { join } = await import('node:path');
  const names = (await fs.readdir(path)).filter((name) => name.endsWith('.json'));
  expect(names.length > 0, path, 'certificates (*.json)', 'none');
  const order = new Intl.Collator('en', { numeric: true });
  return names.sort(order.compare).map((name) => join(path, name));
}

async function judge(file: string, model: Model, limit?: number): Promise<Checked> {
  const judged = await check(await textOf(file), model, {
    who: file,
    ...(limit !== undefined && { limit }),
  });
  if (!judged.accepted) return { file, accepted: false, text: judged.reason, margin: null };
  const { certificate, margin } = judged;
  return { file, accepted: true, text: describe(certificate), margin };
}

async function textOf(file: string): Promise<string> {
  return new TextDecoder().decode(await readFile(file, 2 * MOST_BYTES));
}

/** What a certificate says, in a line. */
export function describe({ region, property, method }: Certificate): string {
  const what =
    property.kind === 'label'
      ? `output ${property.label} is the largest`
      : `${property.rows.length} linear constraints hold`;
  const where = region.kind === 'ball' ? `within ${region.eps} of its input` : 'in its box';
  const [how] = Object.values(proofs).filter((p) => p.method.name === method.name);
  return `${what} ${where}, by ${how!.about}`;
}
