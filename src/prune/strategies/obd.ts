/**
 * Optimal brain damage (LeCun, Denker and Solla 1989): the weights of the trained network whose removal
 * raises the loss least go, by h w^2 / 2 with h the diagonal of the Hessian of the run's objective.
 *
 * `curvature` says which h: `gauss-newton`, that of the Gauss-Newton matrix; `exact`, the same where it is the
 * Hessian's own diagonal, for cross entropy and networks that are linear in pieces, and refused elsewhere; or
 * `fisher`, of the empirical Fisher matrix, which is cheaper (prune/oracle.ts).
 * Deviation: they propagate second derivatives backwards and leave out those between units of a layer, so
 * theirs are not exact where these are.
 * Cost: a forward and backward pass for each class of each sample of `batches` batches, or for each sample.
 */
import * as v from 'valibot';
import { prunableNames } from '../../nn/model';
import { choice, whole } from '../../options';
import { oracleOf, SECOND_DERIVATIVES } from '../oracle';
import { scoring } from '../scoring';
import { scoresFrom } from '../select';

export const obd = scoring({
  name: 'obd',
  about: 'smallest w^2 times the diagonal second derivative go',
  scope: 'global',
  needs: ['training', 'data'],
  options: {
    batches: v.optional(whole(1), 4),
    curvature: v.optional(choice(SECOND_DERIVATIVES), 'gauss-newton'),
  },
  scores(context, { batches, curvature }) {
    const { model } = context;
    const oracle = oracleOf(context, 'obd');
    const sums = new Map(
      prunableNames(model.graph).map((name) => [
        name,
        new Float64Array(model.params.get(name)!.size),
      ]),
    );
    const some = Math.min(batches, oracle.batches);
    for (let batch = 0; batch < some; batch++) {
      const second = oracle.ask(model, batch, { second: curvature }).second!;
      for (const [name, sum] of sums)
        second.get(name)!.forEach((h, i) => {
          sum[i]! += h / some;
        });
    }
    const scores = Array.from(sums, ([name, sum]) => {
      const weights = model.params.get(name)!.read();
      return [name, sum.map((h, i) => (h * weights[i]! ** 2) / 2)] as const;
    });
    return scoresFrom(new Map(scores), 'obd');
  },
});
