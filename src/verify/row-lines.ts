/**
 * Linear bounds (domain/linear.ts) of output rows over batches of boxes. Of the whole set only: a ball
 * that cuts a box is used by its dual norm.
 */
import type { InputSet } from '../domain/balls';
import { hiddenBounds, type LinearOptions, lowerBounds } from '../domain/linear';
import type { Model } from '../nn/model';
import { sizeOf } from '../tensor/shape';
import { input, step } from '../tensor/tensor';
import { type Boxes, lessRest, type RowBounds } from './bounds';
import { sampleBytes } from './linear';
import { distance } from './specification';

/** Bytes of the boxes, lines and constants of one batch. */
const MEMORY = 64 * 2 ** 20;
const MOST = 256;

/** Bounds by one backward pass, rounding counted. */
export const lineRows = (name: string, options: Omit<LinearOptions, 'sound'>): RowBounds => ({
  name,
  batch: ({ graph }) => Math.max(1, Math.min(MOST, Math.floor(MEMORY / sampleBytes(graph)))),
  lower: (model, boxes, rows) =>
    step(model.engine, () => {
      const { engine, graph } = model;
      const scene = hiddenBounds(model, setOf(model, boxes), { ...options, sound: true });
      const values = new Float32Array(boxes.count * rows.matrix.length);
      for (let i = 0; i < boxes.count; i++) values.set(rows.matrix, i * rows.matrix.length);
      const at = new Int32Array(boxes.count * rows.count).map((_, r) => Math.floor(r / rows.count));
      const coefficients = input(engine, values, [at.length, ...graph.output]);
      const lower = Float64Array.from(lowerBounds(scene, { at, values: coefficients }).read());
      if (!rows.rest) return lower;
      const out = scene.boxes.at(-1)!;
      return lessRest(lower, out.lo.read(), out.hi.read(), rows);
    }),
});

function setOf({ engine, graph }: Model, { count, lo, hi, ball }: Boxes): InputSet {
  const shape = [count, ...graph.network.input];
  const box = { lo: input(engine, lo, shape), hi: input(engine, hi, shape) };
  if (!ball) return { box };
  const nearest = Float32Array.from(ball.centre);
  // The ball around the rounded centre that holds the real one.
  const eps = (ball.eps + distance(ball, nearest)) * (1 + 1e-12);
  const centres = new Float32Array(count * sizeOf(graph.network.input));
  for (let i = 0; i < count; i++) centres.set(nearest, i * nearest.length);
  return { box, ball: { norm: ball.norm, centre: input(engine, centres, shape), eps } };
}
