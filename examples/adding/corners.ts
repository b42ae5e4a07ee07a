/**
 * Random corners of the ball: x + eps times random signs. It needs no gradient, so it tells a network
 * that is robust from one whose gradients are only masked (Athalye et al. 2018); the worst point so
 * far is kept.
 */
import * as v from 'valibot';
import { project } from '../../src/attack/ascent';
import { attack, batchTensor, marginsOf } from '../../src/attack/attack';
import { logits } from '../../src/domain/classifier';
import { whole } from '../../src/options';
import { add, affine } from '../../src/tensor/ops/core';
import { sign } from '../../src/tensor/ops/elementwise';
import { uniform } from '../../src/tensor/ops/random';
import { STREAMS } from '../../src/tensor/philox';
import { step } from '../../src/tensor/tensor';

export const corners = attack({
  name: 'corners',
  about: 'random corners of the L-infinity ball, without gradients: tries',
  options: v.strictObject({ tries: v.optional(whole(1), 100) }),
  describe: ({ tries }, eps) => `${tries} random corners, L-infinity, eps ${eps}`,
  norm: () => 'linf',
  run(job, { tries }) {
    const { model, eps, seed, index, labels } = job;
    const best = job.images.slice();
    const least = new Float64Array(labels.length).fill(Number.POSITIVE_INFINITY);
    const size = best.length / labels.length;
    for (let t = 0; t < tries; t++)
      step(model.engine, () => {
        const x = batchTensor(job);
        // One stream a try: a sample's draws depend on its position in the data set alone.
        const key = { seed, stream: STREAMS.attack + 16 * (t + 1), index };
        const way = sign(uniform(model.engine, x.shape, key, -1, 1));
        const at = project({ x, eps, norm: 'linf' }, add(x, affine(way, eps, 0)));
        const found = at.read();
        marginsOf(logits(model, at), labels).forEach((margin, i) => {
          if (!(margin < least[i]!)) return;
          least[i] = margin;
          best.set(found.subarray(i * size, (i + 1) * size), i * size);
        });
      });
    return best;
  },
});
