/**
 * Evaluation of a block of images: clean, under attacks and by verifiers. `evaluateBlock` is a pure
 * function of the model and the block, so a block may be evaluated anywhere; only seconds differ.
 *
 * Attacks and verifiers are cascades. An attack gets the images that those before it did not break, a
 * verifier those that the ones before it left unknown; so an image counts as broken where any attack breaks it,
 * and as certified where any verifier proves it.
 * The first verifier sees misclassified images too, as a check: it must not certify them.
 */
import { attackInParts, outside, pick, predictions } from '../attack/attack';
import { attacks } from '../attack/attacks/registry';
import { type SuspicionKind, signsOf } from '../attack/suspicion';
import { NORMS, type Norm } from '../domain/balls';
import { lookup } from '../errors';
import type { AnyModel } from '../nn/model';
import type { PlugIn } from '../options';
import { type Parts, whole } from '../tensor/parts';
import { normOf, type Verdict } from '../verify/verifier';
import { verifiers } from '../verify/verifiers/registry';
import { largestRadii } from './radius';

/** Methods and settings of an evaluation; plain JSON. */
export interface Task {
  /** Radius of the balls, in input space. */
  readonly eps: number;
  /** Keys random draws, with the index of each image. */
  readonly seed: number;
  /** In the order they are tried, with all options; none: nothing is attacked. */
  readonly attacks: readonly PlugIn[];
  /** In the order they are tried, the cheap ones first; none: nothing is verified. */
  readonly verifiers: readonly PlugIn[];
  /** Whether the largest certified radius is searched too. */
  readonly radius: boolean;
}

/** Images, and how they are evaluated. */
export interface Block extends Task {
  /** [n, ...input] in [0, 1], row-major. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
  /** Position of each image in its data set. */
  readonly index: Int32Array;
}

export interface AttackRecord {
  readonly name: string;
  readonly broken: boolean;
  /** The part that broke the image, of an attack made of several. */
  readonly by?: string;
  /** Norms whose ball of radius eps holds the adversarial image; empty where none was found. */
  readonly inside: readonly Norm[];
}

export interface VerdictRecord {
  readonly name: string;
  /** Norm of the ball that the verdict is about. */
  readonly norm: Norm;
  readonly verdict: Verdict['verdict'];
  /** Proven lower bound of the least margin z_y - z_j over the ball, in logits; null where there is none. */
  readonly margin: number | null;
  /** Why it is unknown. */
  readonly reason?: string;
}

/** Results of one image. */
export interface SampleRecord {
  readonly index: number;
  readonly label: number;
  /** Predicted class of the clean image; -1, which is none, where the margin of its label is NaN. */
  readonly predicted: number;
  /** One record per attack that was tried; absent where the image was not attacked. */
  readonly attacks?: readonly AttackRecord[];
  /** Signs of the clean image that attacks on it may mislead; absent where there are none. */
  readonly signs?: readonly SuspicionKind[];
  /** One record per verifier that was asked; absent where the image was not verified. */
  readonly verdicts?: readonly VerdictRecord[];
  /** Largest certified radius found, in input space; 0 where none is. */
  readonly radius?: number;
  /** Seconds in each attack and verifier, by name: the image's share of its batch. */
  readonly seconds: Readonly<Record<string, number>>;
}

/** One record per image, in the order of the block. Raises EspalierError for methods that are unknown. */
export const evaluateBlock = (model: AnyModel, block: Block): SampleRecord[] =>
  whole(evaluateInParts(model, block));

/** Records of `evaluateBlock`, in parts of a second or less. */
export function* evaluateInParts(model: AnyModel, block: Block): Parts<SampleRecord[]> {
  const { images, labels, index } = block;
  const predicted = predictions(model, images, labels);
  yield;
  const correct = [...labels.keys()].filter((i) => predicted[i] === labels[i]);
  const clocks = Array.from(labels, (): Clock => new Map());
  const job = { model, block, correct, clocks };
  const attacked = block.attacks.length > 0 ? yield* attackRows(job) : undefined;
  const signs = attacked && signsOf({ ...block, model });
  const isVerified = block.verifiers.length > 0;
  const verdicts = isVerified ? yield* verifyRows(job, [...labels.keys()], block.eps) : undefined;
  const isCertified = (i: number): boolean => certified(verdicts?.get(i));
  const certifyAt = function* (rows: readonly number[], eps: number): Parts<boolean[]> {
    const found = yield* verifyRows(job, rows, eps);
    return rows.map((i) => certified(found.get(i)));
  };
  const radii =
    isVerified && block.radius
      ? yield* largestRadii(correct, block.eps, correct.map(isCertified), certifyAt)
      : undefined;
  return Array.from(index, (at, i) => ({
    index: at,
    label: labels[i]!,
    predicted: predicted[i]!,
    ...(attacked && { attacks: attacked[i]! }),
    ...(signs?.[i]?.length && { signs: signs[i]! }),
    ...(verdicts && { verdicts: verdicts.get(i)! }),
    ...(radii && { radius: radii.get(i) ?? 0 }),
    seconds: Object.fromEntries(clocks[i]!),
  }));
}

/** Seconds by name of the method. */
type Clock = Map<string, number>;

interface Job {
  readonly model: AnyModel;
  readonly block: Block;
  /** Rows of the block whose clean images are classified correctly. */
  readonly correct: readonly number[];
  readonly clocks: readonly Clock[];
}

const certified = (verdicts: readonly VerdictRecord[] = []): boolean =>
  verdicts.some(({ verdict }) => verdict === 'certified');

/** Divides the seconds since `started` equally among the rows of a batch. */
function shareSeconds(
  { clocks }: Job,
  name: string,
  rows: readonly number[],
  started: number,
): void {
  const each = (performance.now() - started) / 1000 / rows.length;
  // Microseconds: what is below is the clock's own noise.
  for (const i of rows)
    clocks[i]!.set(name, Math.round(1e6 * ((clocks[i]!.get(name) ?? 0) + each)) / 1e6);
}

/** Attacks the rows that are classified correctly; one list of records per row of the block. */
function* attackRows(job: Job): Parts<AttackRecord[][]> {
  const { model, block, correct } = job;
  const size = block.images.length / block.labels.length;
  const records = Array.from(block.labels, (): AttackRecord[] => []);
  let open = correct;
  for (const { name, ...options } of block.attacks) {
    if (open.length === 0) break;
    const started = performance.now();
    const part = pick({ ...block, model }, open);
    const { broken, images, by } = yield* attackInParts(
      lookup(attacks, name, 'attack'),
      options,
      part,
    );
    const rowOf = (all: Float32Array, r: number) => all.subarray(r * size, (r + 1) * size);
    open.forEach((i, r) => {
      const inside = NORMS.filter((norm) => {
        if (broken[r] !== 1) return false;
        const ball = { eps: block.eps, norm };
        return outside(ball, rowOf(part.images, r), rowOf(images, r)) === undefined;
      });
      const isBroken = broken[r] === 1;
      const stage = isBroken ? by?.[r] : undefined;
      records[i]!.push({ name, broken: isBroken, inside, ...(stage && { by: stage }) });
    });
    shareSeconds(job, name, open, started);
    open = open.filter((_, r) => broken[r] !== 1);
  }
  return records;
}

/** Verdicts of the rows for balls of radius eps, by every verifier that was asked. */
function* verifyRows(
  job: Job,
  rows: readonly number[],
  eps: number,
): Parts<Map<number, VerdictRecord[]>> {
  const { model, block } = job;
  const correct = new Set(job.correct);
  const records = new Map(rows.map((i): [number, VerdictRecord[]] => [i, []]));
  let open = rows;
  for (const { name, ...options } of block.verifiers) {
    if (open.length === 0) break;
    const started = performance.now();
    const verifier = lookup(verifiers, name, 'verifier');
    const part = { ...pick(block, open), model, eps };
    const verdicts = yield* verifier.inParts(part, options);
    const norm = normOf(verifier, options);
    open.forEach((i, r) => {
      records.get(i)!.push(recordOf(name, norm, verdicts[r]!));
    });
    shareSeconds(job, name, open, started);
    open = open.filter((i, r) => verdicts[r]!.verdict === 'unknown' && correct.has(i));
  }
  return records;
}

function recordOf(name: string, norm: Norm, found: Verdict): VerdictRecord {
  const { verdict, margin } = found;
  const reason = found.verdict === 'unknown' ? { reason: found.reason } : {};
  return { name, norm, verdict, margin: Number.isFinite(margin) ? margin : null, ...reason };
}
