/**
 * Verifiers and their verdicts (docs/claims.md has what those mean). A verifier never throws on hard inputs,
 * but refuses jobs that are none.
 */
import type * as v from 'valibot';
import type { Norm } from '../domain/balls';
import { expect } from '../errors';
import type { AnyModel } from '../nn/model';
import type { OptionsSchema } from '../options';
import { type Parts, whole } from '../tensor/parts';
import { sizeOf } from '../tensor/shape';
import type { MemoryEstimate } from './memory';
import type { BoundMethod } from './methods';

export type Verdict =
  | { readonly verdict: 'certified'; readonly margin: number }
  /** `witness` is an input of the ball with another label, checked by running the network. */
  | { readonly verdict: 'falsified'; readonly margin: number; readonly witness: Float32Array }
  | { readonly verdict: 'unknown'; readonly margin: number; readonly reason: string };

/** Samples and the question: is the label the network's answer all over the ball? */
export interface VerifyJob {
  /** In canonical form (`lower`). */
  readonly model: AnyModel;
  /** [n, ...input] in [0, 1], row-major. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
  /** Radius in input space. */
  readonly eps: number;
}

/** Function that verifies; `parts` does the same in parts of a second or less. */
export interface Verify<S extends OptionsSchema> {
  (job: VerifyJob, o: v.InferOutput<S>): Verdict[];
  parts?(job: VerifyJob, o: v.InferOutput<S>): Parts<Verdict[]>;
}

export interface Verifier<S extends OptionsSchema = OptionsSchema> {
  readonly about: string;
  readonly options: S;
  /** The method with its settings, for tables. */
  describe(o: v.InferOutput<S>, eps: number): string;
  /** Norm of the balls it speaks of; L-infinity where absent. */
  norm?(o: v.InferOutput<S>): Norm;
  /** Size and memory of the batches of so many images, of methods that go by batches. */
  memoryFor?(model: AnyModel, images: number, o: v.InferOutput<S>): MemoryEstimate;
  /**
   * One verdict a sample; `margin` is the least proven lower bound of z_y - z_j.
   *
   * Raises EspalierError for images that are not of the network's input and in [0, 1], labels that are
   * no class, and an eps below 0.
   */
  readonly verify: Verify<S>;
  /** The bounds of a verifier that goes by them, without the cheaper ones that it tries before. */
  method?(o: v.InferOutput<S>): BoundMethod;
}

/** Norm of the balls that a verifier with these options speaks of. */
export const normOf = ({ norm }: Verifier, options: v.InferOutput<OptionsSchema>): Norm =>
  norm?.(options) ?? 'linf';

/** A verifier as its author writes it: `verify`, or `parts` where that takes long. */
export type VerifierEntry<S extends OptionsSchema> = Omit<Verifier<S>, 'verify'> &
  (Pick<Verifier<S>, 'verify'> | { readonly parts: Required<Verify<S>>['parts'] });

/** The verifier, which looks at every job before it works on it. */
export function verifier<S extends OptionsSchema>(entry: VerifierEntry<S>): Verifier {
  const given = 'parts' in entry ? entry.parts : (entry.verify.parts ?? onePart(entry.verify));
  const parts: typeof given = function* (job, o) {
    checkJob(job);
    return yield* given(job, o);
  };
  const verify = Object.assign((job: VerifyJob, o: v.InferOutput<S>) => whole(parts(job, o)), {
    parts,
  });
  const { parts: _, ...rest } = { parts, ...entry };
  return { ...rest, verify } as unknown as Verifier;
}

/** The verdicts in parts: one, where the verifier has no others. */
export const verdictsInParts = (
  { verify }: Verifier,
  job: VerifyJob,
  o: v.InferOutput<OptionsSchema>,
): Parts<Verdict[]> => (verify.parts ?? onePart(verify))(job, o);

const onePart = <S extends OptionsSchema>(
  verify: (job: VerifyJob, o: v.InferOutput<S>) => Verdict[],
): Required<Verify<S>>['parts'] =>
  function* (job, o) {
    const verdicts = verify(job, o);
    yield;
    return verdicts;
  };

function checkJob({ model: { graph }, images, labels, eps }: VerifyJob): void {
  const { input, name } = graph.network;
  const [size, classes] = [sizeOf(input), sizeOf(graph.output)];
  const wanted = `${labels.length} images of ${size} values`;
  expect(images.length === labels.length * size, name, wanted, `${images.length} values`);
  expect(eps >= 0, `${name}: eps`, 'a number that is not below 0', eps);
  const odd = images.findIndex((value) => !(value >= 0 && value <= 1));
  const at = `${name}: image ${Math.floor(odd / size)}, value ${odd % size}`;
  expect(odd < 0, at, 'a number in [0, 1], where balls are', images[odd]);
  const bad = labels.findIndex((label) => !(label >= 0 && label < classes));
  expect(bad < 0, `${name}: label ${bad}`, `a class below ${classes}`, labels[bad]);
}
