/** Quantities that change over training, as pure functions of the epochs done. */

/** Grows linearly from 0 at `start` to `end` value `full` at `finish` epochs. */
export function rampTo(full: number, epoch: number, start: number, finish: number): number {
  if (epoch >= finish) return full;
  if (epoch <= start) return 0;
  return (full * (epoch - start)) / (finish - start);
}

export interface LearningRate {
  readonly name: 'step' | 'cosine' | 'constant';
  /** Shares of the epochs after which the rate is multiplied by `factor`. */
  readonly milestones: readonly number[];
  readonly factor: number;
  /** Epochs over which the rate rises from zero. */
  readonly warmup: number;
}

/** The learning rate after `epoch` of `epochs` epochs. */
export function learningRate(
  base: number,
  { name, milestones, factor, warmup }: LearningRate,
  epoch: number,
  epochs: number,
): number {
  const rising = warmup > 0 ? Math.min(1, (epoch + 1e-3) / warmup) : 1;
  if (name === 'constant') return base * rising;
  if (name === 'cosine') return base * rising * 0.5 * (1 + Math.cos((Math.PI * epoch) / epochs));
  const passed = milestones.filter((share) => epoch >= share * epochs).length;
  return base * rising * factor ** passed;
}
