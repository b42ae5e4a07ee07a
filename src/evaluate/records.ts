/**
 * Accuracies, contradictions, shares of methods and radii: sums over the records of images. And what a
 * record read from a file must look like.
 */
import * as v from 'valibot';
import { attacks } from '../attack/attacks/registry';
import { countSigns, SUSPICIONS, type Suspicion, type SuspicionKind } from '../attack/suspicion';
import { NORMS } from '../domain/balls';
import { lookup } from '../errors';
import { choice, type PlugIn, real, whole } from '../options';
import { proportion } from '../report/binomial';
import { certifiedCurve, type RadiusCurve } from '../report/radius';
import type { Accuracies } from '../report/types';
import { verifiers } from '../verify/verifiers/registry';
import type { SampleRecord, Task, VerdictRecord } from './block';

/** Best verdict of an image. */
export interface SampleVerdict {
  readonly index: number;
  readonly verdict: VerdictRecord['verdict'];
  /** The verifier that decided or came closest; `network` where the clean image is misclassified. */
  readonly by: string;
  /** Proven lower bound of the margin; null where there is none. */
  readonly margin: number | null;
  /** Largest certified radius found. */
  readonly radius?: number;
}

/** An attack or a verifier with its share of the result. */
export interface MethodShare {
  readonly name: string;
  /** With all settings. */
  readonly description: string;
  /** Sum over all images and processes. */
  readonly seconds: number;
}

/** What each image contributes to the three accuracies, by index: 1, 0, or - where it was not asked. */
export interface Outcomes {
  readonly benign: string;
  readonly era: string;
  readonly vra: string;
}

export interface Evaluation {
  readonly accuracies: Accuracies;
  /** Samples both certified and broken: 0, or there is a bug. */
  readonly contradictions: number;
  /** In the order they were tried, with the samples each broke that those before it did not. */
  readonly attacks: readonly (MethodShare & { readonly broken: number })[];
  /** Signs that ERA says less than it seems; absent where there are none. */
  readonly suspicions?: readonly Suspicion[];
  /** In the order they were tried, with the samples each certified that those before it did not. */
  readonly verifiers: readonly (MethodShare & { readonly certified: number })[];
  readonly outcomes: Outcomes;
  /** By index; those that were verified. */
  readonly samples: readonly SampleVerdict[];
  /** Curve of certified radii, where they were searched. */
  readonly radii?: RadiusCurve;
}

/** The sums over records, by index, of what a task did with them. */
export function evaluationOf(records: readonly SampleRecord[], task: Task): Evaluation {
  const attacked = records.filter((record) => record.attacks);
  const verdicts = records.flatMap((record) => verdictOf(record) ?? []);
  const count = <T>(list: readonly T[], holds: (one: T) => boolean): number =>
    list.reduce((n, one) => (holds(one) ? n + 1 : n), 0);
  const share = (kind: Describes, { name, ...options }: PlugIn): MethodShare => {
    const eps = Number(task.eps.toPrecision(6));
    const description = lookup(kind, name, 'evaluate').describe(options, eps);
    const seconds = records.reduce((sum, record) => sum + (record.seconds[name] ?? 0), 0);
    return { name, description, seconds };
  };
  const suspicions = suspicionsOf(attacked);
  const isCertified = ({ verdict }: SampleVerdict): boolean => verdict === 'certified';
  return {
    accuracies: {
      benign: proportion(count(records, isRight), records.length),
      era: proportion(
        count(attacked, (record) => !isBroken(record)),
        attacked.length,
      ),
      vra: proportion(count(verdicts, isCertified), verdicts.length),
    },
    contradictions: count(records, (record) => isContradiction(record, task.eps)),
    attacks: task.attacks.map((attack) => {
      const breaks = (record: SampleRecord): boolean =>
        record.attacks!.some(({ name, broken }) => broken && name === attack.name);
      return { ...share(attacks, attack), broken: count(attacked, breaks) };
    }),
    ...(suspicions.length > 0 && { suspicions }),
    verifiers: task.verifiers.map((verifier) => ({
      ...share(verifiers, verifier),
      certified: count(verdicts, (one) => isCertified(one) && one.by === verifier.name),
    })),
    outcomes: {
      benign: marks(records, isRight),
      era: marks(attacked, (record) => !isBroken(record)),
      vra: marks(verdicts, isCertified),
    },
    samples: verdicts,
    ...(task.radius && { radii: certifiedCurve(verdicts.map(({ radius = 0 }) => radius)) }),
  };
}

/** Signs of attacked images, and whether a black box broke what others had tried before it. */
function suspicionsOf(attacked: readonly SampleRecord[]): Suspicion[] {
  const isBlackBox = ({ attacks = [] }: SampleRecord): boolean =>
    attacks.some(
      ({ name, broken, by }, i) => broken && (by === BLACK_BOX || (name === BLACK_BOX && i > 0)),
    );
  return countSigns(
    attacked.map((record) => [
      ...(record.signs ?? []),
      ...(isBlackBox(record) ? (['black-box'] as const) : []),
    ]),
  );
}

/** The attack that asks for no gradients. */
const BLACK_BOX = 'square';

/** `1` or `0` at the index of each, `-` between them. */
function marks<T extends { readonly index: number }>(
  list: readonly T[],
  holds: (one: T) => boolean,
): string {
  const found: string[] = [];
  for (const one of list) found[one.index] = holds(one) ? '1' : '0';
  return Array.from(found, (mark) => mark ?? '-').join('');
}

type Describes = Readonly<
  Record<string, { describe(options: Record<string, unknown>, eps: number): string }>
>;

const isRight = ({ label, predicted }: SampleRecord): boolean => label === predicted;

const isBroken = (record: SampleRecord): boolean =>
  !isRight(record) || (record.attacks ?? []).some(({ broken }) => broken);

/** Best verdict of an image; undefined where it was not verified. */
export function verdictOf(record: SampleRecord): SampleVerdict | undefined {
  const { index, verdicts, radius } = record;
  if (!verdicts) return undefined;
  const found = { index, ...(radius !== undefined && { radius }) };
  const decided =
    verdicts.find(({ verdict }) => verdict === 'certified') ??
    verdicts.find(({ verdict }) => verdict === 'falsified');
  if (!isRight(record) && decided?.verdict !== 'certified')
    return { ...found, verdict: 'falsified', by: 'network', margin: null };
  const rank = ({ margin }: VerdictRecord): number => margin ?? Number.NEGATIVE_INFINITY;
  const { name, verdict, margin } =
    decided ?? verdicts.reduce((best, one) => (rank(one) > rank(best) ? one : best));
  return { ...found, verdict, by: name, margin };
}

/** Whether a ball of radius eps is certified, and yet holds an image with another answer. */
function isContradiction(record: SampleRecord, eps: number): boolean {
  const { verdicts = [], attacks = [], radius = 0 } = record;
  return verdicts.some(({ verdict, norm }) => {
    if (verdict !== 'certified' && radius < eps) return false;
    // The clean image lies in every ball.
    return (
      !isRight(record) || attacks.some(({ broken, inside }) => broken && inside.includes(norm))
    );
  });
}

const SAMPLES = v.array(
  v.strictObject({
    index: whole(),
    label: whole(),
    predicted: whole(-1),
    attacks: v.optional(
      v.array(
        v.strictObject({
          name: v.string(),
          broken: v.boolean(),
          inside: v.array(choice(NORMS)),
          by: v.optional(v.string()),
        }),
      ),
    ),
    signs: v.optional(v.array(choice(Object.keys(SUSPICIONS) as SuspicionKind[]))),
    verdicts: v.optional(
      v.pipe(
        v.array(
          v.strictObject({
            name: v.string(),
            norm: choice(NORMS),
            verdict: choice(['certified', 'falsified', 'unknown']),
            margin: v.nullable(v.number()),
            reason: v.optional(v.string()),
          }),
        ),
        v.minLength(1),
      ),
    ),
    radius: v.optional(real(0)),
    seconds: v.record(v.string(), real(0)),
  }),
);

/** The records of consecutive images, at least one; undefined for any other value. */
export function parseRecords(value: unknown): readonly SampleRecord[] | undefined {
  const { success, output } = v.safeParse(SAMPLES, value);
  const isBlock = success && output.length > 0;
  if (!isBlock || output.some(({ index }, i) => index !== output[0]!.index + i)) return undefined;
  return output as readonly SampleRecord[];
}
