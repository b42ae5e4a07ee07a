/**
 * A recurrent policy that says with which probability each channel of a network is kept: for layer after layer
 * h <- tanh(U x + R h + b), p = sigmoid(V h + c), with x the L1 norms of its channels over their mean. It learns
 * by REINFORCE against a running mean of losses (Williams 1992; Yao et al. 2017, DeepIoT).
 *
 * Its arrays, the squares that RMSProp divides by and the baseline are a strategy's state, so they are in
 * checkpoints. Cost: a few products of channels times hidden units.
 */
import type { Model } from '../nn/model';
import { add, affine, mul, reshape, sum } from '../tensor/ops/core';
import { log, sigmoid, tanh } from '../tensor/ops/elementwise';
import { matmul } from '../tensor/ops/product';
import { concat } from '../tensor/ops/shape';
import { STREAMS, uniform } from '../tensor/philox';
import { gradients } from '../tensor/tape';
import { filled, input, step, type Tensor } from '../tensor/tensor';
import { channelScores } from './channel-scores';
import type { Channels } from './channels';

/** A parameter: its values and shape. */
interface Values {
  readonly shape: readonly [number, number];
  readonly values: Float32Array;
}
export type Policy = ReadonlyMap<string, Values>;

type State = ReadonlyMap<string, Float32Array>;

/** Keep probability that the policy begins around: sigmoid(2.2) is 0.9. */
const FIRST_LOGIT = 2.2;
/** Of the running mean and deviation of losses, and of RMSProp's squares. */
const DECAY = 0.9;

/** The policy that a state holds, or the first one, drawn by the seed. */
export function policyOf(
  { seed, state }: { readonly seed: number; readonly state?: State | undefined },
  { groups }: Channels,
  hidden: number,
): Policy {
  const shapes = new Map<string, readonly [number, number]>([
    ['recurrent', [hidden, hidden]],
    ['bias', [1, hidden]],
    ...groups.flatMap(({ channels }, at): [string, [number, number]][] => [
      [`in${at}`, [channels.length, hidden]],
      [`out${at}`, [hidden, channels.length]],
      [`logit${at}`, [1, channels.length]],
    ]),
  ]);
  return new Map(
    Array.from([...shapes].entries(), ([position, [name, shape]]) => {
      const known = state?.get(`policy/${name}`);
      const [rows, columns] = shape;
      const scale = Math.sqrt(6 / (rows + columns));
      const first = (): Float32Array =>
        rows === 1
          ? new Float32Array(columns).fill(name === 'bias' ? 0 : FIRST_LOGIT)
          : Float32Array.from(
              uniform(seed, STREAMS.prune, 2 ** 34 + position, rows * columns),
              (u) => scale * (2 * u - 1),
            );
      return [name, { shape, values: known ?? first() }] as const;
    }),
  );
}

/** The probability in (0, 1) with which each channel that may go is kept. */
export function keepProbabilities(
  model: Model,
  channels: Channels,
  policy: Policy,
): Map<number, number> {
  const ids = channels.groups.flatMap((group) => group.channels);
  if (ids.length === 0) return new Map();
  const x = features(model, channels);
  const p = step(model.engine, () => probabilities(x, tensorsOf(model, policy)).read());
  return new Map(ids.map((id, i) => [id, p[i]!]));
}

/** What a mask came to. */
export interface Outcome {
  readonly loss: number;
  readonly dropped: ReadonlySet<number>;
  /** Channels that were drawn half as often. */
  readonly seldom: ReadonlySet<number>;
  readonly learningRate: number;
  /** In which policy, squares and baseline are kept. */
  readonly state: Map<string, Float32Array>;
}

/** Moves the policy against the loss above the running mean, by RMSProp. */
export function learn(model: Model, channels: Channels, policy: Policy, outcome: Outcome): void {
  const { loss, learningRate, state } = outcome;
  const [mean, deviation] = state.get('baseline') ?? [loss, 0];
  const advantage = (loss - mean!) / Math.max(1, deviation!);
  const next = [
    mean! + (1 - DECAY) * (loss - mean!),
    deviation! * DECAY + (1 - DECAY) * Math.abs(loss - mean!),
  ];
  state.set('baseline', Float32Array.from(next));
  const found = logLikelihoodGradients(model, channels, policy, outcome);
  for (const [name, { values }] of policy) {
    const g = found.get(name)!.map((one) => advantage * one);
    const old = state.get(`squares/${name}`) ?? new Float32Array(values.length);
    const squares = old.map((s, i) => DECAY * s + (1 - DECAY) * g[i]! ** 2);
    state.set(`squares/${name}`, squares);
    state.set(
      `policy/${name}`,
      values.map((w, i) => w - (learningRate * g[i]!) / (Math.sqrt(squares[i]!) + 1e-8)),
    );
  }
}

/** d log P(mask) of every array of the policy. */
function logLikelihoodGradients(
  model: Model,
  channels: Channels,
  policy: Policy,
  { dropped, seldom }: Pick<Outcome, 'dropped' | 'seldom'>,
): Map<string, Float32Array> {
  const { engine } = model;
  const ids = channels.groups.flatMap((group) => group.channels);
  const x = features(model, channels);
  return step(engine, () => {
    const tensors = tensorsOf(model, policy);
    const wanted = [...tensors.values()];
    const row = (of: (id: number) => number): Tensor =>
      input(engine, Float32Array.from(ids, of), [1, ids.length]);
    const { gradients: found } = gradients(engine, wanted, () => {
      const drawnBy = mul(
        probabilities(x, tensors),
        row((id) => (seldom.has(id) ? 0.5 : 1)),
      );
      // P of what was drawn: p where kept, 1 - p where dropped.
      const sign = row((id) => (dropped.has(id) ? -1 : 1));
      const offset = row((id) => (dropped.has(id) ? 1 : 0));
      const likelihood = add(mul(drawnBy, sign), offset);
      return { loss: sum(log(affine(likelihood, 1, 1e-6))) };
    });
    return new Map([...tensors.keys()].map((name, i) => [name, found[i]!.read()]));
  });
}

/** By layer: the L1 norms of its channels over their mean. */
function features(model: Model, channels: Channels): Float32Array[] {
  const norms = channelScores.l1(model, channels);
  return channels.groups.map(({ channels: own }) => {
    const values = Float32Array.from(own, (channel) => norms.get(channel) ?? 0);
    const mean = values.reduce((total, x) => total + x, 0) / values.length || 1;
    return values.map((x) => x / mean);
  });
}

const tensorsOf = ({ engine }: Model, policy: Policy): Map<string, Tensor> =>
  new Map(Array.from(policy, ([name, { values, shape }]) => [name, input(engine, values, shape)]));

/** [1, channels] of all layers, one after the other, in the current step. */
function probabilities(x: readonly Float32Array[], policy: ReadonlyMap<string, Tensor>): Tensor {
  const [recurrent, bias] = [policy.get('recurrent')!, policy.get('bias')!];
  const { engine } = recurrent;
  let h = filled(engine, [1, recurrent.shape[0]!], 0);
  const all = x.map((own, at) => {
    // A row scaled to unit mean square keeps wide layers from saturating the cell.
    const row = input(
      engine,
      own.map((one) => one / Math.sqrt(own.length)),
      [1, own.length],
    );
    const fed = matmul(row, policy.get(`in${at}`)!);
    h = tanh(add(add(fed, matmul(h, recurrent)), bias));
    return sigmoid(add(matmul(h, policy.get(`out${at}`)!), policy.get(`logit${at}`)!));
  });
  return all.length === 1 ? reshape(all[0]!, all[0]!.shape) : concat(all, 1);
}
