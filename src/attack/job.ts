/** What attacks are given: a batch of images, and what answers for them. */
import type { AnyModel } from '../nn/model';

/** Logits and gradients of whatever is attacked: a network, or one around which there is a defence. */
export interface Oracle {
  /** Logits [n, classes] of images [n, ...shape] with these positions in their data set. */
  logits(images: Float32Array, index: Int32Array): Float32Array;
  /** The logits, and the gradient [n, ...shape] of the sum of `weights(z)` [n, classes] times the logits z. */
  gradient(
    images: Float32Array,
    index: Int32Array,
    weights: (z: Float32Array) => Float32Array,
  ): { readonly z: Float32Array; readonly gradient: Float32Array };
}

/** A batch under attack. Images are in input space, [0, 1], row-major [n, ...shape]. */
export interface AttackJob {
  readonly model: AnyModel;
  readonly images: Float32Array;
  readonly labels: Int32Array;
  readonly eps: number;
  readonly seed: number;
  /** Position of each sample in its data set: keys the random starts. */
  readonly index: Int32Array;
  /** What is attacked instead of the model alone: a defence around it (defence.ts). */
  readonly oracle?: Oracle;
  /** Told of every pass of a search: images through the network, forwards and backwards. */
  readonly onPass?: (pass: { readonly forwards: number; readonly backwards: number }) => void;
}
