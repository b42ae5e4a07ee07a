/**
 * GraSP (Wang et al. 2020, "Picking winning tickets before training by preserving gradient flow", arXiv
 * 2002.07376): the initial weights whose removal lowers the norm of the gradient least go. Removing w_i
 * changes g'g by about -2 w_i (H g)_i, so weights stay where w (H g) is largest, in sign.
 *
 * The product with the Hessian H is a central difference of gradients, as the tape has no second
 * derivatives: (g(w + h g) - g(w - h g)) / 2h, h such that the step is 1 % of the weights' norm. The
 * network's outputs are divided by a temperature; without it the gradient grows by what harms the loss.
 * Deviations: that difference; batches are drawn, not ten of each class. Cost: three forward and backward
 * passes a batch.
 */
import * as v from 'valibot';
import { freeModel, type Model, modelFrom } from '../../nn/model';
import { temperedModel } from '../../nn/temper';
import { real, whole } from '../../options';
import { type LossOracle, meanGradients, oracleOf } from '../oracle';
import { AT_INITIALISATION, scoring } from '../scoring';
import { scoresFrom } from '../select';

type Arrays = ReadonlyMap<string, Float32Array>;

/** Length of the difference's step over the norm of the weights. */
const STEP = 0.01;

export const grasp = scoring({
  name: 'grasp',
  about: 'initial weights whose removal costs the gradient least go, by w (Hessian gradient)',
  scope: 'global',
  needs: ['data'],
  options: {
    batches: v.optional(whole(1), 4),
    temperature: v.optional(real(1e-3), 200),
  },
  phase: () => AT_INITIALISATION,
  scores(context, { batches, temperature }) {
    const oracle = oracleOf(context, 'grasp');
    const model = temperedModel(context.model, temperature);
    const product = hessianGradient(oracle, model, batches);
    const scores = Array.from(product, ([name, hg]) => {
      const weights = model.params.get(name)!.read();
      return [name, hg.map((x, i) => x * weights[i]!)] as const;
    });
    freeModel(model);
    return scoresFrom(new Map(scores), 'grasp');
  },
});

/** H g of the prunable weights by a central difference along g, over the first batches. */
function hessianGradient(oracle: LossOracle, model: Model, batches: number): Arrays {
  const direction = meanGradients(oracle, model, batches);
  const weights = new Map(
    Array.from(direction.keys(), (name) => [name, model.params.get(name)!.read()]),
  );
  const h = (STEP * (norm(weights) || 1)) / (norm(direction) || 1);
  const ends = [h, -h].map((by): Arrays => {
    const moved = modelFrom(model.engine, model.graph.network, (name) => {
      const own = model.params.get(name)!.read();
      const along = direction.get(name);
      return along ? own.map((w, i) => w + by * along[i]!) : own;
    });
    try {
      return meanGradients(oracle, moved, batches);
    } finally {
      freeModel(moved);
    }
  });
  return new Map(
    Array.from(direction.keys(), (name) => {
      const [up, down] = ends.map((end) => end.get(name)!) as [Float32Array, Float32Array];
      return [name, up.map((x, i) => (x - down[i]!) / (2 * h))];
    }),
  );
}

/** L2 norm of all arrays together. */
const norm = (arrays: Arrays): number =>
  Math.sqrt(
    Array.from(arrays.values()).reduce(
      (sum, array) => sum + array.reduce((own, x) => own + x * x, 0),
      0,
    ),
  );
