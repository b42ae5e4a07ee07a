/** What a verifier is and says (docs/claims.md has what that means). It never throws on hard inputs. */
import type * as v from 'valibot';
import type { Norm } from '../domain/balls';
import type { Model } from '../nn/model';
import type { OptionsSchema } from '../options';
import type { Tensor } from '../tensor/tensor';

export type Verdict =
  | { readonly verdict: 'certified'; readonly margin: number }
  /** `witness` is an input of the ball with another label, checked by running the network. */
  | { readonly verdict: 'falsified'; readonly margin: number; readonly witness: Float32Array }
  | { readonly verdict: 'unknown'; readonly margin: number; readonly reason: string };

/** Samples and the question: is the label the network's answer all over the ball? */
export interface VerifyJob {
  /** In canonical form (`lower`). */
  readonly model: Model;
  /** [n, ...input] in [0, 1], row-major. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
  /** Radius in input space. */
  readonly eps: number;
}

/** Samples of a step(), for methods that work by bounds. */
export interface Batch {
  /** In canonical form (`lower`). */
  readonly model: Model;
  /** [n, ...input] in [0, 1]. */
  readonly x: Tensor;
  readonly labels: Int32Array;
  readonly eps: number;
  /** Of the ball; default L-infinity. */
  readonly norm?: Norm;
}

/** What a method proves of the outputs, [n, classes] each. */
export interface OutputBounds {
  readonly lo: Tensor;
  readonly hi: Tensor;
  /** Lower bounds of z_y - z_j, 0 at j = y. */
  readonly margins: Tensor;
}

/** What goes through at once, and the scratch memory that it takes at most. */
export interface MemoryEstimate {
  readonly samples: number;
  readonly bytes: number;
}

export interface Verifier<S extends OptionsSchema = OptionsSchema> {
  readonly about: string;
  readonly options: S;
  /** The method with its settings, for tables. */
  describe(o: v.InferOutput<S>, eps: number): string;
  /** Of the balls it speaks of; L-infinity where absent. */
  norm?(o: v.InferOutput<S>): Norm;
  /** Of methods that go by batches: how large those are of so many images, and what they take. */
  memoryFor?(model: Model, images: number, o: v.InferOutput<S>): MemoryEstimate;
  /** One verdict a sample; `margin` is the least proven lower bound of z_y - z_j. */
  verify(job: VerifyJob, o: v.InferOutput<S>): Verdict[];
  /** Of methods by bounds: the bounds themselves, by this method alone. Runs inside step(). */
  bounds?(batch: Batch, o: v.InferOutput<S>): OutputBounds;
}

/** Of the balls that a verifier with these options speaks of. */
export const normOf = ({ norm }: Verifier, options: v.InferOutput<OptionsSchema>): Norm =>
  norm?.(options) ?? 'linf';

export const verifier = <S extends OptionsSchema>(entry: Verifier<S>): Verifier =>
  entry as unknown as Verifier;
