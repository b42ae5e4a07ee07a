/**
 * alpha-CROWN (Xu et al. 2021): where cheaper bounds leave a sample open, the lower slopes of every
 * margin are optimised, from CROWN's; with `joint` also those behind the boxes of hidden values. A run
 * stops where all of it is certified or gains no more.
 */
import * as v from 'valibot';
import { ALPHA, type AlphaOptions, optimisedBounds } from '../../domain/alpha';
import { CHUNK, marginRows, marginTable } from '../../domain/linear';
import { real, whole } from '../../options';
import { input } from '../../tensor/tensor';
import { boundsByLines, byIntervals, byLines, proveByStages, type Stage, sceneOf } from '../linear';
import { verifier } from '../verifier';
import { ballText, shared, soundness } from './linear';

const byOptimisedLines =
  (sound: boolean, options: AlphaOptions): Stage =>
  (batch) => {
    const { model, labels } = batch;
    const scene = sceneOf(batch, { sound, chunk: Math.min(CHUNK, options.memory) });
    const rows = marginRows(scene, labels);
    const best = optimisedBounds({ ...scene, chunk: null }, rows, options);
    return marginTable(scene, labels, input(model.engine, best, [best.length]));
  };

export const alphaCrown = verifier({
  about:
    'linear bounds with optimised lower slopes, after cheaper ones: sound, memory, norm, steps, rate, joint',
  options: v.strictObject({
    ...shared,
    steps: v.optional(whole(1), ALPHA.steps),
    /** Length of the optimiser's first step. */
    rate: v.optional(real(0, 1), ALPHA.rate),
    /** Optimise the bounds of hidden values too; for small networks. */
    joint: v.optional(v.boolean(), false),
  }),
  norm: (o) => o.norm,
  describe: (o, eps) =>
    `alpha-CROWN, ${o.steps} steps${o.joint ? ', joint' : ''}, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  verify(job, { sound, memory, norm, steps, rate, joint }) {
    const options = { ...ALPHA, steps, rate, hidden: joint, memory };
    const stages = [
      byIntervals(sound),
      byLines({ sound, hidden: 'interval', chunk: Math.min(CHUNK, memory) }),
      byOptimisedLines(sound, options),
    ];
    return proveByStages(job, stages, { sound, memory, norm });
  },
  bounds(batch, { sound, memory, norm, steps, rate, joint }) {
    const options = { ...ALPHA, steps, rate, hidden: joint, memory };
    return boundsByLines({ ...batch, norm }, { sound }, byOptimisedLines(sound, options));
  },
});
