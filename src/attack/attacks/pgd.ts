/**
 * Projected gradient descent (Madry et al. 2018): steps up the cross entropy from the clean image and from random
 * starts, as either finds what the other misses. The best point so far is kept for each sample, and samples
 * already broken are not attacked again.
 */
import * as v from 'valibot';
import { NORM_NAMES, NORMS } from '../../domain/balls';
import { logits } from '../../domain/classifier';
import { choice, real, whole } from '../../options';
import type { Parts } from '../../tensor/parts';
import { STREAMS } from '../../tensor/philox';
import { input, step } from '../../tensor/tensor';
import { ascend, type Ball, randomStart } from '../ascent';
import { type AttackJob, attack, batchShape, batchTensor, marginsOf, pick } from '../attack';

const options = v.strictObject({
  steps: v.optional(whole(1), 50),
  /** Random starts. */
  restarts: v.optional(whole(1), 1),
  /** Step length as a share of eps; null is 2.5 / steps, at least 1 / 10. */
  stepSize: v.optional(v.nullable(real(0, 2)), null),
  norm: v.optional(choice(NORMS), 'linf'),
  /** Without random starts all begins at the clean image, once. */
  randomStart: v.optional(v.boolean(), true),
  /** Whether a climb from the clean image comes before the random ones. */
  cleanStart: v.optional(v.boolean(), true),
});
type Options = v.InferOutput<typeof options>;

/** The starts, in order: the clean image, or the number of a random one. */
function startsOf({ restarts, randomStart, cleanStart }: Options): readonly ('clean' | number)[] {
  if (!randomStart) return ['clean'];
  const random = Array.from({ length: restarts }, (_, restart) => restart);
  return cleanStart ? ['clean', ...random] : random;
}

const shareOf = ({ stepSize, steps }: Options): number => stepSize ?? Math.max(2.5 / steps, 0.1);

export const pgd = attack({
  name: 'pgd',
  about: 'projected gradient descent: steps, restarts, stepSize, norm, randomStart, cleanStart',
  options,
  describe: (o, eps) =>
    `PGD-${o.steps}, ${startsText(o)}, ${NORM_NAMES[o.norm]}, eps ${eps}, step ${Number((shareOf(o) * eps).toPrecision(4))}`,
  norm: (o) => o.norm,
  passes: (o) => 3 * startsOf(o).length * (o.steps + 1),
  *parts(job, o) {
    const best = job.images.slice();
    const margin = new Float64Array(job.labels.length).fill(Number.POSITIVE_INFINITY);
    for (const start of startsOf(o)) {
      const alive = [...margin.keys()].filter((i) => margin[i]! >= 0);
      if (alive.length === 0) break;
      const part = pick(job, alive);
      yield* climb(part, o, start, (at, value, image) => {
        const i = alive[at]!;
        // NaN is no better than anything.
        if (!(value < margin[i]!)) return;
        margin[i] = value;
        best.set(image, i * image.length);
      });
    }
    return best;
  },
});

/** The starts in words. */
function startsText(o: Options): string {
  const random = `${o.restarts} restart${o.restarts > 1 ? 's' : ''}`;
  if (!o.randomStart) return 'from the clean image';
  return o.cleanStart ? `from the clean image and ${random}` : random;
}

/** Climbs from one start, a step a part: `note` sees every point on the way with its margin. */
function* climb(
  job: AttackJob,
  o: Options,
  start: 'clean' | number,
  note: (sample: number, margin: number, image: Float32Array) => void,
): Parts<void> {
  const { model, eps, seed, index, labels } = job;
  const { engine } = model;
  const size = job.images.length / labels.length;
  const ballHere = (): Ball => ({ x: batchTensor(job), eps, norm: o.norm });
  const randomPoint = (restart: number): Float32Array => {
    const key = { seed, stream: STREAMS.attack + 16 * (restart + 1), index };
    return step(engine, () => randomStart(ballHere(), key).read());
  };
  let at = start === 'clean' ? job.images : randomPoint(start);
  for (let i = 0; i <= o.steps; i++) {
    at = step(engine, () => {
      const here = input(engine, at, batchShape(job));
      const last = i === o.steps;
      const { next, z } = last
        ? { next: here, z: logits(model, here) }
        : ascend(model, ballHere(), here, labels, shareOf(o) * eps);
      marginsOf(z, labels).forEach((margin, s) => {
        note(s, margin, at.subarray(s * size, (s + 1) * size));
      });
      return next.read();
    });
    yield;
  }
}
