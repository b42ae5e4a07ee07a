/**
 * Expressive losses (De Palma et al. 2024, arXiv 2305.13991): between the loss at a point that an attack
 * finds, alpha 0, and the one that interval bounds prove, alpha 1.
 *
 * Deviation: batch norm has the statistics of the clean images, not of the attacked ones. Cost: an attack of
 * `steps` steps (three forward passes' worth each) and one pass of values beside that of `ibp`.
 */
import * as v from 'valibot';
import { ball } from '../../domain/interval';
import { real, whole } from '../../options';
import type { Tensor } from '../../tensor/tensor';
import { attackedPoint } from '../adversary';
import type { Objective } from '../objective';
import { certified, certifiedOptions } from './family';
import { byIntervals, logitsAt } from './parts';

/** Options of objectives that attack. */
export const attackOptions = {
  /** Of the attack: steps, and the length of one as a share of its radius; null is 1.25 for one step, else 2.5 / steps. */
  steps: v.optional(whole(1), 1),
  stepSize: v.optional(v.nullable(real(0, 2)), null),
  /** Radius of the attack over the training radius. */
  attackFactor: v.optional(real(0.1, 4), 1),
};

interface Expressive {
  readonly name: string;
  readonly about: string;
  /** Default of alpha. */
  readonly alpha: number;
  /** The loss, one element, from logits at the attacked point and lower bounds of the margins, [n, classes] both. */
  combine(attacked: Tensor, proven: Tensor, labels: Int32Array, alpha: number): Tensor;
}

const optionsOf = (alpha: number) =>
  v.strictObject({
    ...certifiedOptions({ kappaStart: 0 }),
    /** Share of what intervals prove. */
    alpha: v.optional(real(0, 1), alpha),
    ...attackOptions,
  });

export const expressive = ({
  name,
  about,
  alpha,
  combine,
}: Expressive): Objective<ReturnType<typeof optionsOf>> =>
  certified({
    ...{ name, about, options: optionsOf(alpha) },
    robust(context, o) {
      const { x, labels, radius } = context;
      const at = attackedPoint(context, { eps: radius * o.attackFactor, norm: 'linf' }, o);
      const { margins, hidden } = byIntervals(context, ball(x, radius, { sound: false }));
      return { loss: combine(logitsAt(context, at), margins, labels, o.alpha), hidden };
    },
  });
