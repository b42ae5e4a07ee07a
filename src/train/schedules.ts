/** Quantities that change over training, as pure functions of the epochs done and of what held-out images said. */

/** Grows linearly from 0 at `start` to `end` value `full` at `finish` epochs. */
export function rampTo(full: number, epoch: number, start: number, finish: number): number {
  if (epoch >= finish) return full;
  if (epoch <= start) return 0;
  return (full * (epoch - start)) / (finish - start);
}

export interface LearningRate {
  readonly name: ScheduleName;
  /** Shares of the epochs after which the rate is multiplied by `factor`. */
  readonly milestones: readonly number[];
  readonly factor: number;
  /** Epochs over which the rate rises from zero. */
  readonly warmup: number;
  /** Of one-cycle: the share of the epochs after which the rate is highest. */
  readonly peak: number;
  /** Of plateau: epochs without a better score after which the rate is multiplied by `factor`. */
  readonly patience: number;
}

/** How far training is: epochs done, of so many, and how often scores have stood still (`standstills`). */
interface Moment {
  readonly epoch: number;
  readonly epochs: number;
  readonly falls: number;
}

/** One-cycle begins at the highest rate over this, and ends at that over `CYCLE_END`. */
const CYCLE_START = 25;
const CYCLE_END = 1e4;

/** Falls from 1 to 0 along half a cosine, over x in [0, 1]. */
const cosine = (x: number): number => 0.5 * (1 + Math.cos(Math.PI * x));

/** Shares of the base rate by name. */
export const schedules = {
  step: ({ milestones, factor }, { epoch, epochs }) =>
    factor ** milestones.filter((share) => epoch >= share * epochs).length,
  cosine: (_, { epoch, epochs }) => 0.5 * (1 + Math.cos((Math.PI * epoch) / epochs)),
  constant: () => 1,
  /** Up to the base rate and far down, by cosines (Smith and Topin 2017, arXiv 1708.07120). */
  'one-cycle': ({ peak }, { epoch, epochs }) => {
    const at = epoch / epochs;
    const [low, end] = [1 / CYCLE_START, 1 / CYCLE_START / CYCLE_END];
    if (at < peak) return 1 - (1 - low) * cosine(at / peak);
    return end + (1 - end) * cosine(Math.min(1, (at - peak) / Math.max(1 - peak, 1e-9)));
  },
  plateau: ({ factor }, { falls }) => factor ** falls,
} as const satisfies Record<string, (o: LearningRate, at: Moment) => number>;

export type ScheduleName = keyof typeof schedules;
export const SCHEDULES = Object.keys(schedules) as ScheduleName[];

/** The learning rate after `epoch` of `epochs` epochs, of which `falls` times a patience brought nothing better. */
export function learningRate(
  base: number,
  o: LearningRate,
  epoch: number,
  epochs: number,
  falls = 0,
): number {
  const rising = o.warmup > 0 ? Math.min(1, (epoch + 1e-3) / o.warmup) : 1;
  const share: number = schedules[o.name](o, { epoch, epochs, falls });
  return base * rising * share;
}

/**
 * Stretches of `patience` epochs without a better score than all before, one after the other; a better one begins a
 * new stretch. Epochs that do not count are null.
 */
export function standstills<S>(
  scores: readonly (S | null)[],
  patience: number,
  better: (a: S, b: S) => boolean,
): number {
  let best: S | undefined;
  let [stale, found] = [0, 0];
  for (const score of scores) {
    if (score === null) continue;
    if (best === undefined || better(score, best)) [best, stale] = [score, 0];
    else if (++stale >= patience) [found, stale] = [found + 1, 0];
  }
  return found;
}
