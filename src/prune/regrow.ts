/**
 * Sparse training with a fixed number of weights: masks drawn at initialisation, and every so many updates
 * the smallest weights of each layer make room for as many others. What differs between such strategies are
 * the numbers (rigl, flyingbird).
 *
 * Every layer keeps its count. The share that moves falls by a cosine, share / 2 (1 + cos(pi t / T)), to 0
 * after T = `end` of the updates; no more move than there are others with a gradient. New weights begin at 0,
 * as do their moments; a weight that went and comes back at once is as it was. Cost: a dense forward and
 * backward pass at each change.
 */
import * as v from 'valibot';
import { freeModel } from '../nn/model';
import type { ParameterData } from '../nn/parameterisation';
import { remasked } from '../nn/parameterised';
import { denseModel, type ParameterMap } from '../nn/training-model';
import { choice, real, whole } from '../options';
import type { Engine } from '../runtime/engine';
import { STREAMS, uniform } from '../tensor/philox';
import { SCOPES } from './allocate';
import { prunableData, spreadTensor } from './between-batches';
import { countKept } from './mask';
import { AT_INITIALISATION } from './scoring';
import { largestOf, randomScore, selectMasks } from './select';
import { type BetweenBatchesContext, strategy } from './strategy';

/** What such strategies differ in. */
interface Numbers {
  readonly name: string;
  readonly about: string;
  /** Of each layer's weights that move at first, and the share of the updates after which none do. */
  readonly share: number;
  readonly end: number;
}

type Grow = 'gradient' | 'random';

/** A strategy of drop and grow. */
export const regrowing = ({ name, about, share, end }: Numbers) =>
  strategy({
    name,
    about: `${about}: scope, every, share, end, grow`,
    options: v.strictObject({
      scope: v.optional(choice(SCOPES), 'erk'),
      /** Updates between two changes. */
      every: v.optional(whole(1), 100),
      share: v.optional(real(0, 1), share),
      end: v.optional(real(0, 1), end),
      /** Which weights come: those of the largest gradient, or drawn by lot. */
      grow: v.optional(choice(['gradient', 'random']), 'gradient'),
    }),
    structured: false,
    needs: ['data'],
    phases: ({ every }) => [{ ...AT_INITIALISATION, every }],
    decide: (context, { scope }) => selectMasks(context, scope, randomScore(context.seed)),
    betweenBatches(context, o) {
      const { step, steps } = context;
      const last = o.end * steps;
      if (step >= last) return undefined;
      const now = (o.share / 2) * (1 + Math.cos((Math.PI * step) / last));
      return regrow(context, now, growth(context, o.grow));
    },
  });

/** By parameter: how much a weight that is not there is worth. */
function growth(
  { model, oracle, step, seed }: BetweenBatchesContext,
  grow: Grow,
): (name: string, size: number) => Float32Array {
  if (grow === 'random') {
    const positions = [...model.parameters.keys()];
    return (name, size) => {
      const index = step * positions.length + positions.indexOf(name);
      return Float32Array.from(uniform(seed, STREAMS.prune, index, size));
    };
  }
  const dense = denseModel(model);
  try {
    const { gradients } = oracle.ask(dense, step % oracle.batches);
    return (name) => gradients.get(name)!.map(Math.abs);
  } finally {
    freeModel(dense);
  }
}

/** In each layer the share of the weights of the smallest size go, and as many come, the largest in worth. */
function regrow(
  { model }: BetweenBatchesContext,
  share: number,
  worth: (name: string, size: number) => Float32Array,
): ParameterMap {
  const { engine } = model;
  const changes = new Map<string, ParameterData>();
  for (const [name, data] of prunableData(model)) {
    const { mask } = data;
    if (!mask) continue;
    const values = worth(name, mask.length);
    // What has no gradient would stay 0 and waste its place.
    const others = values.filter((x, i) => x > 0 && mask[i] === 0).length;
    const moving = Math.min(Math.floor(share * countKept(mask)), others);
    if (moving === 0) continue;
    const next = swapped(engine, spreadTensor(data, 'values'), mask, moving, values);
    changes.set(name, remasked(data, next));
  }
  return changes;
}

/** The mask without its `moving` smallest weights, and with as many others of the largest worth. */
function swapped(
  engine: Engine,
  weights: Float32Array,
  mask: Uint8Array,
  moving: number,
  worth: Float32Array,
): Uint8Array {
  const out = Number.NEGATIVE_INFINITY;
  const sizes = weights.map((w, i) => (mask[i] === 1 ? Math.abs(w) : out));
  const stay = largestOf(engine, sizes, countKept(mask) - moving);
  const come = largestOf(
    engine,
    worth.map((x, i) => (stay[i] === 1 ? out : x)),
    moving,
  );
  return stay.map((one, i) => one | come[i]!);
}
