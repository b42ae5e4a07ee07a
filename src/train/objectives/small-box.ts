/**
 * SABR, small boxes (Mueller et al. 2023, "Certified training: small boxes are all you need", arXiv
 * 2210.04871): interval bounds over a box of radius lambda * radius inside of the ball, around a point that
 * an attack on the whole ball finds, moved in so that the box fits.
 *
 * Deviation: boxes are not shrunk after activations. Cost: that of `mtl-ibp` less a pass of values.
 */
import * as v from 'valibot';
import { project } from '../../attack/ascent';
import { ball } from '../../domain/interval';
import { real } from '../../options';
import { attackedPoint } from '../adversary';
import { attackOptions } from '../certified/expressive';
import { certified, certifiedOptions } from '../certified/family';
import { byIntervals, worstLoss } from '../certified/parts';

const { steps, stepSize } = attackOptions;

export const smallBox = certified({
  name: 'small-box',
  about:
    'interval bounds over a small box around an attacked point (SABR): eps, factor, lambda, steps',
  options: v.strictObject({
    ...certifiedOptions({ kappaStart: 0 }),
    /** Radius of the box over that of the ball. */
    lambda: v.optional(real(0.001, 1), 0.4),
    ...{ steps, stepSize },
  }),
  robust(context, o) {
    const { x, labels, radius } = context;
    const inner = o.lambda * radius;
    const found = attackedPoint(context, { eps: radius, norm: 'linf' }, o);
    const centre = project({ x, eps: radius - inner, norm: 'linf' }, found);
    const { margins, hidden } = byIntervals(context, ball(centre, inner, { sound: false }));
    return { loss: worstLoss(margins, labels), hidden };
  },
});
