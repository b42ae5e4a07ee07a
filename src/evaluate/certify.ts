/**
 * Samples through a cascade of verifiers, the cheap ones first: a later one sees only what the
 * earlier ones left unknown, so every sample has the best of all. And the largest radius at which the
 * cascade still certifies each sample, by bisection.
 *
 * Radii are multiples eps 2^k (1 + i / 64), so samples share them and are verified in batches; below
 * eps / 64 a radius counts as 0. A verifier need not be monotone: what is reported is the largest
 * radius that was proven on the way. Cost: up to 7 more verifications a sample, and one for each
 * doubling.
 */

import { wrongSamples } from '../attack/attack';
import { batchOf } from '../data/batches';
import type { DataSet, Split } from '../data/types';
import { lookup } from '../errors';
import type { AnyModel } from '../nn/model';
import type { PlugIn } from '../options';
import { type Parts, whole } from '../tensor/parts';
import { type Verdict, verdictsInParts } from '../verify/verifier';
import { verifiers } from '../verify/verifiers/registry';

export interface CertifyJob {
  /** In canonical form. */
  readonly model: AnyModel;
  readonly set: DataSet;
  readonly split: Split;
  readonly eps: number;
  /** In the order they are tried, with all their options. */
  readonly verifiers: readonly PlugIn[];
  /** Whether radii are wanted too. */
  readonly radius: boolean;
}

export interface SampleVerdict {
  readonly index: number;
  readonly verdict: Verdict['verdict'];
  /** The verifier that decided, or `network` where the clean image is misclassified. */
  readonly by: string;
  /** Proven lower bound of the margin; null where there is none. */
  readonly margin: number | null;
  /** Largest certified radius found. */
  readonly radius?: number;
}

export interface BlockVerdicts {
  readonly samples: readonly SampleVerdict[];
  /** Seconds in each verifier, by name. */
  readonly seconds: Readonly<Record<string, number>>;
}

/** Verdicts of images [from, to), by index. */
export const certifyBlock = (job: CertifyJob, from: number, to: number): BlockVerdicts =>
  whole(certifyInParts(job, from, to));

/** The same in parts of a second or less. */
export function* certifyInParts(job: CertifyJob, from: number, to: number): Parts<BlockVerdicts> {
  const { images, labels, index } = batchOf(job.set, job.split, from, to);
  const wrong = wrongSamples(job.model, images, labels);
  const cascade = cascadeOf(job, images, labels);
  const right = [...wrong.keys()].filter((i) => wrong[i] === 0);
  const first = yield* cascade.run(right, job.eps);
  const radii = job.radius ? yield* bisect(right, job.eps, first, cascade) : undefined;
  const samples = Array.from(index, (at, i): SampleVerdict => {
    const radius = radii && { radius: radii.get(i) ?? 0 };
    const found = first.get(i);
    if (!found) return { index: at, verdict: 'falsified', by: 'network', margin: null, ...radius };
    const { verdict, margin, by } = found;
    return { index: at, verdict, by, margin: Number.isFinite(margin) ? margin : null, ...radius };
  });
  return { samples, seconds: Object.fromEntries(cascade.seconds) };
}

type Named = Verdict & { readonly by: string };

interface Cascade {
  readonly seconds: Map<string, number>;
  /** Verdicts of the samples at `rows`, each by the first verifier that decides. */
  run(rows: readonly number[], eps: number): Parts<Map<number, Named>>;
}

function cascadeOf(job: CertifyJob, images: Float32Array, labels: Int32Array): Cascade {
  const size = images.length / labels.length;
  const seconds = new Map(job.verifiers.map(({ name }) => [name, 0]));
  const run: Cascade['run'] = function* (rows, eps) {
    const found = new Map<number, Named>();
    let open = rows;
    for (const { name, ...options } of job.verifiers) {
      if (open.length === 0) break;
      const started = performance.now();
      const part = new Float32Array(open.length * size);
      open.forEach((i, at) => {
        part.set(images.subarray(i * size, (i + 1) * size), at * size);
      });
      const all = { labels: Int32Array.from(open, (i) => labels[i]!), images: part, eps };
      const entry = lookup(verifiers, name, 'verifier');
      const verdicts = yield* verdictsInParts(entry, { model: job.model, ...all }, options);
      open.forEach((i, at) => {
        found.set(i, better(found.get(i), { ...verdicts[at]!, by: name }));
      });
      open = open.filter((i) => found.get(i)!.verdict === 'unknown');
      seconds.set(name, seconds.get(name)! + (performance.now() - started) / 1000);
    }
    return found;
  };
  return { seconds, run };
}

/** A decision, or the larger margin where both are unknown. */
function better(before: Named | undefined, after: Named): Named {
  if (!before || after.verdict !== 'unknown') return after;
  return after.margin > before.margin ? after : before;
}

const STEPS = 6;

/** The largest radius found certified, by row. */
function* bisect(
  rows: readonly number[],
  eps: number,
  first: ReadonlyMap<number, Named>,
  { run }: Cascade,
): Parts<Map<number, number>> {
  const good = new Map<number, number>();
  const bad = new Map<number, number>();
  const note = (found: ReadonlyMap<number, Named>, radius: number): void => {
    for (const [i, { verdict }] of found) (verdict === 'certified' ? good : bad).set(i, radius);
  };
  note(first, eps);
  for (let radius = 2 * eps; radius <= 1; radius *= 2) {
    const rising = rows.filter((i) => good.has(i) && !bad.has(i));
    if (rising.length === 0) break;
    note(yield* run(rising, radius), radius);
  }
  for (let step = 0; step < STEPS; step++) {
    const groups = new Map<number, number[]>();
    for (const i of rows) {
      const high = bad.get(i) ?? 1;
      const middle = ((good.get(i) ?? 0) + high) / 2;
      if (middle < high) groups.set(middle, [...(groups.get(middle) ?? []), i]);
    }
    for (const [radius, some] of groups) note(yield* run(some, radius), radius);
  }
  return good;
}
