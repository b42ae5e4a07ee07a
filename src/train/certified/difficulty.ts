/** How hard certified training is at a moment: the radius of its balls, and the weight of the clean loss. */
import type { LossContext } from '../objective';
import { rampTo } from '../schedules';

export const RAMPS = ['linear', 'smooth'] as const;

export interface Ramp {
  readonly eps: number;
  /** Training radius over eps. */
  readonly factor: number;
  /** Shares of pre-training between which the radius grows from 0. */
  readonly rampStart: number;
  readonly rampEnd: number;
  readonly ramp: (typeof RAMPS)[number];
}

/** The training radius now, and its share of the full one in [0, 1]. */
export function radiusAt(
  { epoch, epochs, ramp }: Pick<LossContext, 'epoch' | 'epochs' | 'ramp'>,
  o: Ramp,
): { readonly radius: number; readonly share: number } {
  const full = o.eps * o.factor;
  const [start, end] = [o.rampStart * epochs, o.rampEnd * epochs];
  const shape = { linear: rampTo, smooth: smoothTo }[o.ramp];
  const radius = ramp ? shape(full, epoch, start, end) : full;
  return { radius, share: radius / full };
}

/**
 * Grows from 0 at `start` to `full` at `finish` epochs: as the fourth power over the first quarter of that
 * time, then linearly with the slope reached (the smoothed schedule of auto_LiRPA, Xu et al. 2020).
 */
export function smoothTo(full: number, epoch: number, start: number, finish: number): number {
  if (epoch >= finish) return full;
  if (epoch <= start) return 0;
  const [bend, power] = [0.25, 4];
  const t = (epoch - start) / (finish - start);
  const scale = full / (bend ** power + power * bend ** (power - 1) * (1 - bend));
  if (t <= bend) return scale * t ** power;
  return scale * (bend ** power + power * bend ** (power - 1) * (t - bend));
}
