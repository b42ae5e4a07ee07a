/**
 * Interval bounds of images' margins, by a plan over non-zeros where the model's zeros are known to
 * stay (`freezeSparsity`) and that is faster, and else layer by layer: while a tape is open, as plans
 * leave no gradients, where there is no memory for one, and for batches with a sample that a plan
 * refuses. Plans are compiled when first asked for and freed with the model. Which forms they take
 * does not depend on how many samples go together; sums of layers without a plan may be in another
 * order for other batches, so that bounds of a sample, sound all of them, can differ by rounding.
 */

import { propagate } from '../domain/domain';
import { type Box, ball, type IntervalOptions, interval } from '../domain/interval';
import { lastAffine, marginsFrom } from '../domain/rows';
import { isOutOfMemory } from '../errors';
import { type FrozenModel, isFrozen } from '../nn/freeze';
import { type AnyModel, prunableNames } from '../nn/model';
import { TILE } from '../sparse/tables';
import { openTape } from '../tensor/tape';
import { input, step, type Tensor } from '../tensor/tensor';
import { compileIntervalPlan, type IntervalPlan } from './interval-plan';
import { sparsePlanPays } from './sparse-plan';

/** The box in front of the last layer where that is affine, and else of the outputs. */
export function lastBox(model: AnyModel, box: Box, { sound }: IntervalOptions): Box {
  const plans = openTape(model.engine) ? undefined : plansOf(model);
  const planned = plans?.of(box.lo.shape[0]!, sound)?.run(box);
  if (planned) return planned;
  const before = lastAffine(model.graph);
  const options = before ? { before } : {};
  return propagate(model.graph, model.params, interval({ sound }), box, options);
}

/** Lower bounds of z_y - z_j for images [n, ...input], [n, classes]. Runs inside `step()`. */
export function ballMargins(
  model: AnyModel,
  x: Tensor,
  eps: number,
  labels: ArrayLike<number>,
  { sound }: IntervalOptions,
): Tensor {
  const at = lastBox(model, ball(x, eps, { sound }), { sound });
  return marginsFrom(model, at, labels, sound);
}

/** The least lower bound of z_y - z_j over j != y for each image, given as plain numbers. */
export function leastMargins(
  model: AnyModel,
  images: Float32Array,
  labels: ArrayLike<number>,
  eps: number,
  options: IntervalOptions,
): Float64Array {
  const { engine, graph } = model;
  const lower = step(engine, () => {
    const x = input(engine, images, [labels.length, ...graph.network.input]);
    return ballMargins(model, x, eps, labels, options).read();
  });
  const k = lower.length / labels.length;
  return Float64Array.from(labels, (label, i) => {
    let least = Number.POSITIVE_INFINITY;
    for (let j = 0; j < k; j++) if (j !== label) least = Math.min(least, lower[i * k + j]!);
    return least;
  });
}

/** A model's plans, by lanes and soundness. */
class Plans {
  readonly #plans = new Map<string, IntervalPlan | undefined>();

  constructor(readonly model: AnyModel) {}

  /** Plan for batches of n; none where the engine had no memory for it. */
  of(n: number, sound: boolean): IntervalPlan | undefined {
    let lanes = 1;
    while (lanes < Math.min(n, TILE)) lanes *= 2;
    const key = `${lanes} ${sound}`;
    if (!this.#plans.has(key)) this.#plans.set(key, this.#compile(lanes, sound));
    return this.#plans.get(key);
  }

  #compile(lanes: number, sound: boolean): IntervalPlan | undefined {
    try {
      return compileIntervalPlan(this.model, { lanes, sound });
    } catch (error) {
      if (!isOutOfMemory(error)) throw error;
      return undefined;
    }
  }

  free(): void {
    for (const plan of this.#plans.values()) plan?.free();
    this.#plans.clear();
  }
}

/** A model's plans, if its zeros stay and they pay. */
function plansOf(model: AnyModel): Plans | undefined {
  if (!isFrozen(model) || prunableNames(model.graph).length < 2) return undefined;
  if (!model.made.has(PLANS)) model.made.set(PLANS, worthwhilePlans(model));
  return model.made.get(PLANS) as Plans | undefined;
}

const PLANS = 'interval plans';

const worthwhilePlans = (model: FrozenModel): Plans | undefined =>
  sparsePlanPays(model, { batch: TILE, pairs: true }) ? new Plans(model) : undefined;
