/**
 * Verifiers and their verdicts (docs/claims.md has what those mean). A verifier never throws on hard inputs,
 * but refuses jobs that are none.
 */
import type * as v from 'valibot';
import type { Norm } from '../domain/balls';
import { expect } from '../errors';
import type { AnyModel } from '../nn/model';
import { type Callable, completing, type Entry, type Given, type OptionsSchema } from '../options';
import { inOnePart, type Parts, whole } from '../tensor/parts';
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

/** Methods of a verifier with options O. */
interface VerifierMethods<O> {
  /** The method with its settings, for tables. */
  describe(o: O, eps: number): string;
  /** Norm of the balls it speaks of; L-infinity where absent. */
  norm?(o: O): Norm;
  /** Size and memory of the batches of so many images, of methods that go by batches. */
  memoryFor?(model: AnyModel, images: number, o: O): MemoryEstimate;
  /**
   * One verdict a sample; `margin` is the least proven lower bound of z_y - z_j.
   *
   * Raises EspalierError for images that are not of the network's input and in [0, 1], labels that are
   * no class, and an eps below 0.
   */
  verify(job: VerifyJob, o: O): Verdict[];
  /** `verify` in parts of a second or less. */
  inParts(job: VerifyJob, o: O): Parts<Verdict[]>;
  /** The bounds of a verifier that goes by them, without the cheaper ones that it tries before. */
  method?(o: O): BoundMethod;
}

/** A verifier, which completes the options it is given. */
export interface Verifier<S extends OptionsSchema = OptionsSchema>
  extends Entry<S>,
    Callable<S>,
    VerifierMethods<Given<S>> {}

/** Norm of the balls that a verifier with these options speaks of. */
export const normOf = ({ norm }: Verifier, options: v.InferOutput<OptionsSchema>): Norm =>
  norm?.(options) ?? 'linf';

/** A verifier as its author writes it: `verify`, or `parts` where that takes long. */
export type VerifierEntry<S extends OptionsSchema, O = v.InferOutput<S>> = Entry<S> &
  Omit<VerifierMethods<O>, 'verify' | 'inParts'> &
  (Pick<VerifierMethods<O>, 'verify'> | { readonly parts: VerifierMethods<O>['inParts'] });

/** The verifier, which looks at every job before it works on it. */
export function verifier<S extends OptionsSchema>(entry: VerifierEntry<S>): Verifier<S> {
  const given = 'parts' in entry ? entry.parts : inOnePart(entry.verify);
  const inParts: VerifierMethods<v.InferOutput<S>>['inParts'] = function* (job, o) {
    checkJob(job);
    return yield* given(job, o);
  };
  const verify: VerifierMethods<v.InferOutput<S>>['verify'] = (job, o) => whole(inParts(job, o));
  const { parts: _, ...rest } = { parts: inParts, ...entry };
  const takes = { describe: 0, norm: 0, memoryFor: 2, verify: 1, inParts: 1, method: 0 };
  return completing({ ...rest, verify, inParts }, takes);
}

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
