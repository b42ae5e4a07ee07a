/** Functions, normalisation and reductions: each is one of our layers, or a few of them. */
import { sizeOf } from '../../tensor/shape';
import type { Draft, Live, Value } from './build';
import type { Call, Operator } from './call';
import { shortest, single } from './numbers';
import { absolute, negative, withConstant } from './ops-arithmetic';
import { FOLDS, over, type Reduction, reduced, reductionOf } from './ops-constant';

/** A layer that changes each value by itself. */
const pointwise =
  (layer: string, options: Draft['options'] = {}) =>
  (call: Call): Live => {
    const x = call.live(0);
    return { ...x, draft: call.build.node(layer, [x.draft], options) };
  };

function clip(call: Call): Value {
  const limit = (index: number, name: string): number | undefined => {
    const value = call.scalar(index) ?? call.float(name);
    call.expect(!Number.isNaN(value), 'limits that are numbers', value);
    return value === undefined || Math.abs(value) > 3.4e38 ? undefined : value;
  };
  const [lo, hi] = [limit(1, 'min'), limit(2, 'max')];
  if (call.folds)
    return over(call, ([x]) => Math.min(Math.max(x!, lo ?? x!), hi ?? Number.POSITIVE_INFINITY), [
      call.constant(0),
    ]);
  if (lo === undefined && hi === undefined) return call.live(0);
  // Above the upper limit there is that limit, whatever the lower one is.
  const below = lo !== undefined && hi !== undefined && lo > hi ? hi : lo;
  const at = (value: number | undefined) => (value === undefined ? null : shortest(value));
  return pointwise('clip', { lo: at(below), hi: at(hi) })(call);
}

function batchNormalization(call: Call): Value {
  const x = call.live(0);
  const inference = call.int('training_mode', 0) === 0 && call.int('spatial', 1) === 1;
  const hint = 'Export the model in inference mode (model.eval()).';
  call.expect(inference, 'statistics of inference, one a channel', 'others', hint);
  const draft = call.build.behind(x);
  const [weight, bias, mean, variance] = [1, 2, 3, 4].map((i) => single(call, call.constant(i)));
  const channels = draft.sample[0]!;
  const fits = [weight, bias, mean, variance].every((list) => list!.length === channels);
  call.expect(fits, `${channels} numbers a channel`, weight!.length);
  const options = {
    momentum: Math.min(1, Math.max(0, shortest(1 - shortest(call.float('momentum') ?? 0.9)))),
    epsilon: shortest(call.float('epsilon') ?? 1e-5),
  };
  const params = { weight: weight!, bias: bias!, mean: mean!, variance: variance! };
  return { ...x, draft: call.build.node('batch-norm', [draft], options, params) };
}

/** A reduction of constants, or `live` of values of the network over axes that are not of size 1. */
const reduction =
  (name: string, live: (call: Call, x: Live, found: Reduction) => Live): Operator =>
  (call) => {
    if (call.folds) return reduced(call, FOLDS[name]!);
    const x = call.live(0);
    const found = reductionOf(call, x.full);
    if (!found) return x;
    const wide = found.axes.filter((axis) => x.full[axis] !== 1 || axis === x.batch);
    return call.build.view(live(call, x, { ...found, axes: wide }), found.to);
  };

const added =
  (mean: boolean) =>
  (call: Call, x: Live, { axes, kept }: Reduction): Live => {
    if (axes.length === 0) return x;
    const own = call.build.axesOf(x, axes);
    const options = { axes: own.axes, mean };
    return call.build.live(call.build.node('reduce', [own.draft], options), kept, x.batch);
  };

/** Pools over the axes, behind each other at the end. */
function maximum(call: Call, x: Live, { axes, kept }: Reduction): Live {
  if (axes.length === 0) return x;
  const { build } = call;
  build.apart(x, axes);
  const others = x.full.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const moved = build.permute(x, [...others, ...axes]) as Live;
  const size = sizeOf(axes.map((axis) => x.full[axis]!));
  const draft = build.as(moved, [1, sizeOf(x.full) / size, size]);
  return build.live(build.node('max-pool', [draft], { kernel: [1, size] }), kept, x.batch);
}

/** max(0, x) above a threshold of 0. */
function thresholdedRelu(call: Call): Value {
  const alpha = call.float('alpha') ?? 1;
  call.expect(alpha === 0, 'alpha 0, as other thresholds jump', alpha);
  return pointwise('relu')(call);
}

/** (x - offset) scale, of ai.onnx.ml: of rows of features, or of one row. */
function scaler(call: Call): Value {
  const { full } = call.live(0);
  call.expect(full.length <= 2, 'rows of features', `shape [${full}]`);
  const list = (name: string, missing: number) => ({
    ...({ kind: 'constant', type: 1 } as const),
    shape: [call.floats(name)?.length ?? 1],
    values: Float32Array.from(call.floats(name) ?? [missing]),
  });
  return withConstant(
    call,
    'mul',
    withConstant(call, 'sub', call.live(0), list('offset', 0)),
    list('scale', 1),
  );
}

export const compute: Readonly<Record<string, Operator>> = {
  'ai.onnx.ml.Scaler': scaler,
  BatchNormalization: batchNormalization,
  Gelu: (call) => pointwise('gelu', { approximate: call.text('approximate', 'none') })(call),
  HardSwish: pointwise('hard-swish'),
  Clip: clip,
  ReduceL1: reduction('ReduceL1', (call, x, found) => added(false)(call, absolute(call, x), found)),
  ReduceMax: reduction('ReduceMax', maximum),
  ReduceMean: reduction('ReduceMean', added(true)),
  ReduceMin: reduction('ReduceMin', (call, x, found) =>
    negative(call, maximum(call, negative(call, x), found)),
  ),
  ReduceSum: reduction('ReduceSum', added(false)),
  Relu: pointwise('relu'),
  Sigmoid: pointwise('sigmoid'),
  Tanh: pointwise('tanh'),
  ThresholdedRelu: thresholdedRelu,
};
