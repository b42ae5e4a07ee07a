/**
 * Interval bounds on parts of the ball: a box that is not proven is halved along its widest input,
 * up to `splits` times. Every part must be proven. Strong for few inputs (controllers), of little
 * use for images.
 *
 * Cost: at most 2^(splits + 1) interval passes a sample, one at a time.
 */
import * as v from 'valibot';
import { predict } from '../../src/domain/classifier';
import { ball } from '../../src/domain/interval';
import { intervalMargins } from '../../src/domain/rows';
import { whole } from '../../src/options';
import { input, step } from '../../src/tensor/tensor';
import { type Verdict, type VerifyJob, verifier } from '../../src/verify/verifier';

/** One sample: its image, and what is asked of it. */
interface Question extends Omit<VerifyJob, 'images' | 'labels'> {
  readonly image: Float32Array;
  readonly label: number;
}

export const split = verifier({
  name: 'split',
  about: 'interval bounds on parts of the ball: splits',
  options: v.strictObject({ splits: v.optional(whole(0, 12), 6) }),
  describe: ({ splits }, eps) =>
    `interval bounds on up to ${2 ** splits} boxes, sound in float32, eps ${eps}`,
  verify({ images, labels, model, eps }, { splits }) {
    const size = images.length / labels.length;
    return Array.from(labels, (label, i) => {
      const image = images.subarray(i * size, (i + 1) * size);
      const [lo, hi] = step(model.engine, () => {
        const x = input(model.engine, image, [1, ...model.graph.network.input]);
        const box = ball(x, eps, { sound: true });
        return [box.lo.read(), box.hi.read()];
      });
      return decide({ model, eps, image, label }, lo!, hi!, splits);
    });
  },
});

function decide(q: Question, lo: Float32Array, hi: Float32Array, splits: number): Verdict {
  const centre = lo.map((low, p) => (low + hi[p]!) / 2);
  const { margin, predicted } = examine(q, lo, hi, centre);
  if (margin > 0) return { verdict: 'certified', margin };
  const inside = centre.every((x, p) => Math.abs(x - q.image[p]!) <= q.eps);
  if (predicted !== q.label && inside) return { verdict: 'falsified', margin, witness: centre };
  if (splits === 0 || Number.isNaN(margin))
    return { verdict: 'unknown', margin, reason: 'no splits left' };
  const widths = hi.map((high, p) => high - lo[p]!);
  const widest = widths.indexOf(Math.max(...widths));
  // Both halves hold the value between them, so together they hold the whole box.
  const [below, above] = [hi.slice(), lo.slice()];
  below[widest] = above[widest] = centre[widest]!;
  const first = decide(q, lo, below, splits - 1);
  if (first.verdict !== 'certified') return first;
  const second = decide(q, above, hi, splits - 1);
  if (second.verdict !== 'certified') return second;
  return { verdict: 'certified', margin: Math.min(first.margin, second.margin) };
}

/** What the bounds prove of the box, and what the network says at its centre. */
function examine(
  { model, label }: Question,
  lo: Float32Array,
  hi: Float32Array,
  centre: Float32Array,
): { margin: number; predicted: number } {
  const { engine, graph, params } = model;
  const shape = [1, ...graph.network.input];
  return step(engine, () => {
    const box = { lo: input(engine, lo, shape), hi: input(engine, hi, shape) };
    const margins = intervalMargins(graph, params, box, [label], { sound: true }).read();
    return {
      margin: Math.min(...margins.filter((_, j) => j !== label)),
      predicted: predict(model, input(engine, centre, shape))[0]!,
    };
  });
}
