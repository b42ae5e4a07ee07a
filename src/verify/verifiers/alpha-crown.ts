/**
 * alpha-CROWN (Xu et al. 2021): where cheaper bounds leave a sample open, the lower slopes of every
 * margin are optimised, from CROWN's; with `joint` also those behind the boxes of hidden values. A run
 * stops where all of it is certified or gains no more.
 */
import * as v from 'valibot';
import { ALPHA, type AlphaOptions, optimisedBoundsInParts, SHARE } from '../../bounds/alpha';
import { CHUNK, inFrontOfLines, marginRows, marginTable, rowBytes } from '../../bounds/linear';
import type { Graph } from '../../nn/graph';
import { real, whole } from '../../options';
import { sizeOf } from '../../tensor/shape';
import { input } from '../../tensor/tensor';
import { boundsByLines, byIntervals, byLines, proveByStages, type Stage, sceneOf } from '../linear';
import { estimateMemory } from '../memory';
import { verifier } from '../verifier';
import { ballText, shared, soundness } from './linear';

const byOptimisedLines = (sound: boolean, options: AlphaOptions): Stage =>
  function* (batch) {
    const { model, labels } = batch;
    const scene = yield* sceneOf(batch, { sound, chunk: Math.min(CHUNK, options.memory) });
    const rows = marginRows(scene, labels);
    const best = yield* optimisedBoundsInParts({ ...scene, chunk: null }, rows, options);
    return marginTable(scene, labels, input(model.engine, best, [best.length]));
  };

/** Rows of all hidden values, which stay in memory while their slopes are optimised too. */
function extraBytes(graph: Graph, joint: boolean): number {
  if (!joint) return 0;
  const bytes = [...inFrontOfLines(graph)].map((v) =>
    v < 0 ? 0 : 2 * sizeOf(graph.nodes[v]!.shape) * rowBytes(graph, v),
  );
  return SHARE * bytes.reduce((a, b) => a + b, 0);
}

export const alphaCrown = verifier({
  name: 'alpha-crown',
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
  memoryFor: ({ graph }, images, o) =>
    estimateMemory(graph, images, {
      memory: o.memory,
      share: SHARE,
      extra: extraBytes(graph, o.joint),
    }),
  describe: (o, eps) =>
    `alpha-CROWN, ${o.steps} steps${o.joint ? ', joint' : ''}, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  parts(job, { sound, memory, norm, steps, rate, joint }) {
    const options = { ...ALPHA, steps, rate, hidden: joint, memory };
    const stages = [
      byIntervals(sound),
      byLines({ sound, hidden: 'interval', chunk: Math.min(CHUNK, memory) }),
      byOptimisedLines(sound, options),
    ];
    const extra = extraBytes(job.model.graph, joint);
    return proveByStages(job, stages, { sound, memory, norm, extra });
  },
  bounds(batch, { sound, memory, norm, steps, rate, joint }) {
    const options = { ...ALPHA, steps, rate, hidden: joint, memory };
    return boundsByLines({ ...batch, norm }, { sound }, byOptimisedLines(sound, options));
  },
});
