/** Bounds of a network's outputs over the balls around single images. */
import { batchOf } from '../data/batches';
import { fitted } from '../data/layout';
import type { DataSet } from '../data/types';
import { logits } from '../domain/classifier';
import { expect, lookup } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import { withCanonical } from '../nn/freeze';
import type { AnyModel, Model } from '../nn/model';
import type { PlugIn } from '../options';
import { argmax } from '../tensor/ops/loss';
import { input, step } from '../tensor/tensor';
import { provenBounds } from '../verify/prove';
import { normOf } from '../verify/verifier';
import { verifiers } from '../verify/verifiers/registry';

/** Bounds of one image's outputs over the ball. */
export interface ImageBounds {
  readonly index: number;
  readonly label: number;
  readonly predicted: number;
  readonly logits: readonly number[];
  readonly lo: readonly number[];
  readonly hi: readonly number[];
  /** Lower bound of logit[label] - logit[class], by class; null at the label itself. */
  readonly margins: readonly (number | null)[];
  readonly certified: boolean;
}

export interface BoundsJob {
  /** Positions in the test split. */
  readonly indices: readonly number[];
  readonly eps: number;
  readonly method: PlugIn;
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
}

/** Bounds of the outputs of images by one method. Raises EspalierError where it gives none. */
export function outputBounds(
  model: Model,
  given: DataSet,
  { indices, eps, method, onEvent, signal }: BoundsJob,
): ImageBounds[] {
  const set = fitted(model, given, onEvent);
  for (const index of indices) {
    const inside = Number.isInteger(index) && index >= 0 && index < set.test.count;
    expect(inside, '--index', `positions in [0, ${set.test.count})`, index);
  }
  const entry = lookup(verifiers, method.name, '--method');
  const byBounds = Object.keys(verifiers).filter((name) => verifiers[name]!.method);
  expect(entry.method, '--method', `one of ${byBounds.join(', ')}`, method.name);
  const options = entry(method);
  const [bounds, norm] = [entry.method(options), normOf(entry, options)];
  const sound = options.sound !== false;
  const boundsOf = (canonical: AnyModel, index: number): ImageBounds => {
    const { engine, graph } = canonical;
    if (signal?.aborted) throw new Interrupted('Nothing is kept: the bounds start again.');
    const { images, labels } = batchOf(set, set.test, index, index + 1);
    const { predicted, z } = step(engine, () => {
      const out = logits(canonical, input(engine, images, [1, ...graph.network.input]));
      return { predicted: argmax(out)[0]!, z: Array.from(out.read()) };
    });
    const out = provenBounds(bounds, { model: canonical, images, labels, eps }, { norm });
    const [lower, label] = [Array.from(out.margins), labels[0]!];
    return {
      ...{ index, label, predicted, logits: z },
      lo: Array.from(out.lo),
      hi: Array.from(out.hi),
      margins: lower.map((m, j) => (j === label ? null : m)),
      certified: sound && lower.every((m, j) => j === label || m > 0),
    };
  };
  return withCanonical(model, (canonical) => indices.map((index) => boundsOf(canonical, index)));
}
