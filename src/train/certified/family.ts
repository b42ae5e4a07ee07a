/**
 * Certified objectives, what they share: kappa * cross entropy of the clean logits + (1 - kappa) * a robust
 * loss over the ball + terms (terms.ts). The radius grows from 0 over a part of pre-training, and kappa goes
 * from `kappaStart` to `kappa` with it. The clean values of the batch come first, so that batch norm has
 * their statistics in everything that follows.
 *
 * An objective of this family is its robust loss and its defaults.
 */
import * as v from 'valibot';
import { wrongSamples } from '../../attack/attack';
import { hiddenBounds } from '../../bounds/linear';
import { linearMargins } from '../../bounds/margins';
import { inputSet } from '../../domain/balls';
import { propagate } from '../../domain/domain';
import { ball } from '../../domain/interval';
import { value } from '../../domain/value';
import { choice, eps, type OptionsSchema, real } from '../../options';
import { leastMargins } from '../../plan/margins';
import { lincomb, mean } from '../../tensor/ops/core';
import { crossEntropy } from '../../tensor/ops/loss';
import { input, step, type Tensor } from '../../tensor/tensor';
import { robustToPgd } from '../adversary';
import { type HeldOutBatch, type LossContext, type Objective, objective } from '../objective';
import { RAMPS, radiusAt } from './difficulty';
import { type Hidden, termsNeedBoxes, withTerms } from './terms';

/**
 * What picks checkpoints. interval: sound interval bounds. linear: sound linear bounds as well, of what
 * intervals leave. attack: PGD of 10 steps, for networks whose bounds are loose until branch and bound.
 */
const JUDGES = ['interval', 'linear', 'attack'] as const;

interface Defaults {
  readonly kappaStart?: number;
  readonly kappa?: number;
  readonly regularise?: number;
  readonly judge?: (typeof JUDGES)[number];
}

/** Options of the whole family, with the defaults of one objective. */
export const certifiedOptions = ({
  kappaStart = 1,
  kappa = 0,
  regularise = 0.5,
  judge = 'interval',
}: Defaults) => ({
  eps: v.optional(eps(), 0.1),
  /** Training radius over eps. */
  factor: v.optional(real(0.1, 4), 1),
  /** Weight of the clean loss at radius 0 and at the full one. */
  kappaStart: v.optional(real(0, 1), kappaStart),
  kappa: v.optional(real(0, 1), kappa),
  /** Shares of pre-training between which the radius grows from 0, and how. */
  rampStart: v.optional(real(0, 1), 0.05),
  rampEnd: v.optional(real(0, 1), 0.5),
  ramp: v.optional(choice(RAMPS), 'linear'),
  /** Weight of the warm-up regularisers at radius 0, and their target ratio. */
  regularise: v.optional(real(0), regularise),
  tau: v.optional(real(0, 1), 0.5),
  /** Weights of ReLU stability: of the sum over neurons, and of the mean of its normalised form. */
  stability: v.optional(real(0), 0),
  normalisedStability: v.optional(real(0), 0),
  /** Weights of the L1 norms of all prunable weights, and of those of the last layer. */
  l1: v.optional(real(0), 0),
  lastLayer: v.optional(real(0), 0),
  judge: v.optional(choice(JUDGES), judge),
});

type FamilyOptions = v.InferOutput<
  v.StrictObjectSchema<ReturnType<typeof certifiedOptions>, undefined>
>;

/** One batch, at a radius above 0. */
export interface RobustContext extends LossContext {
  readonly radius: number;
  /** Share of the full radius, in (0, 1]. */
  readonly share: number;
  /** Logits of the clean images. */
  readonly clean: Tensor;
  /** Whether hidden boxes are wanted. */
  readonly watch: boolean;
}

export interface Robust {
  /** One element; undefined where this batch has none. */
  readonly loss: Tensor | undefined;
  /** May be empty where they are not wanted. */
  readonly hidden: readonly Hidden[];
  readonly metrics?: Readonly<Record<string, number>>;
}

interface CertifiedEntry<S extends OptionsSchema, O = v.InferOutput<S>> {
  readonly name: string;
  readonly about: string;
  readonly options: S;
  robust(context: RobustContext, o: O): Robust;
  /** Weight of the clean loss, where it follows a schedule of its own. */
  kappa?(context: LossContext, o: O): number;
}

/** An objective of the family. */
export function certified<S extends OptionsSchema>(entry: CertifiedEntry<S>): Objective<S> {
  const { name, about, options } = entry;
  const family = (o: v.InferOutput<S>): FamilyOptions => o as unknown as FamilyOptions;
  return objective<S>({
    ...{ name, about, options, init: 'interval' },
    loss(context, o) {
      const own = family(o);
      const { model, x, labels, pass } = context;
      const { radius, share } = radiusAt(context, own);
      const kappa =
        entry.kappa?.(context, o) ?? own.kappaStart + (own.kappa - own.kappaStart) * share;
      const logits = propagate(model.graph, model.params, value, x, { pass });
      const clean = mean(crossEntropy(logits, labels));
      const first = ball(x, radius, { sound: false });
      const watch = termsNeedBoxes(own, share);
      const robust: Robust =
        radius === 0
          ? { loss: undefined, hidden: [] }
          : entry.robust({ ...context, radius, share, clean: logits, watch }, o);
      const mixed = mix(clean, robust.loss, kappa);
      const { hidden, metrics } = robust;
      const loss = withTerms(mixed, { model, first, hidden, share }, own);
      return { loss, metrics: { eps: radius, kappa: robust.loss ? kappa : 1, ...metrics } };
    },
    robust: (batch, o) => judged(batch, family(o)),
    atFullDifficulty: (epoch, epochs, o) => epoch >= family(o).rampEnd * epochs,
  });
}

function mix(clean: Tensor, robust: Tensor | undefined, kappa: number): Tensor {
  if (!robust) return clean;
  return kappa === 0 ? robust : lincomb(kappa, clean, 1 - kappa, robust);
}

/** 1 for every image that `judge` finds robust at eps. */
function judged(batch: HeldOutBatch, o: FamilyOptions): Uint8Array {
  const { model, images, labels } = batch;
  if (o.judge === 'attack') return robustToPgd(batch, o.eps, 'linf');
  const least = leastMargins(model, images, labels, o.eps, { sound: true });
  const proven = Uint8Array.from(least, (margin) => (margin > 0 ? 1 : 0));
  if (o.judge === 'linear') proveRest(batch, o.eps, proven);
  return proven;
}

/** Linear bounds one image at a time: what is proven of it does not depend on the batch. */
function proveRest(
  { model, images, labels }: HeldOutBatch,
  radius: number,
  proven: Uint8Array,
): void {
  const { engine, graph } = model;
  const size = images.length / labels.length;
  const wrong = wrongSamples(model, images, labels);
  labels.forEach((label, i) => {
    if (proven[i] === 1 || wrong[i] === 1) return;
    const margins = step(engine, () => {
      const image = images.subarray(i * size, (i + 1) * size);
      const x = input(engine, image, [1, ...graph.network.input]);
      const set = inputSet(x, radius, { sound: true });
      return linearMargins(hiddenBounds(model, set, { sound: true }), [label]).read();
    });
    proven[i] = margins.every((margin, j) => j === label || margin > 0) ? 1 : 0;
  });
}
