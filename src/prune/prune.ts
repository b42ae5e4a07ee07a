/**
 * The pruning phase, one round of it: a strategy decides, the model loses weights or filters.
 */
import { expect } from '../errors';
import type { Model } from '../nn/model';
import { type Mask, type ParameterData, plainData } from '../nn/parameterisation';
import {
  createParameterisation,
  freeParameterisation,
  maskOf,
  weightOf,
} from '../nn/parameterised';
import type { ParameterMap } from '../nn/training-model';
import { parseOptions, sparsity as sparsityRule } from '../options';
import { readEntries } from '../sparse/weight';
import { step } from '../tensor/tensor';
import { channelsOf } from './channels';
import { applyMasks } from './mask';
import { maskedChannels, shrink, shrinkMasks } from './shrink';
import {
  type Decision,
  type Masks,
  type PruneContext,
  phasesOf,
  type Strategy,
  trainsScores,
} from './strategy';

export interface Pruned {
  /**
   * The given model, its masked weights zero; or, of a structured strategy, a new and smaller one
   * (the given one is unchanged, and still the caller's to free).
   */
  readonly model: Model;
  /**
   * For fine-tuning. After a structured strategy they are all ones, but for what `previous` masked.
   */
  readonly masks: Masks;
  /** Positions of the filters (units) that went, by the path of their layer; of the given model. */
  readonly removed: ReadonlyMap<string, readonly number[]>;
}

/** How a model is to be trained on after a decision. */
export interface CarriedOut {
  /** The given model, or of a structured strategy a new and smaller one. */
  readonly model: Model;
  readonly decision: Decision;
  readonly removed: ReadonlyMap<string, readonly number[]>;
}

/**
 * Prunes to `sparsity`, the share in [0, 1) of the given model's prunable weights; for a model that
 * has shrunk before, see `relativeSparsity`. `options` are checked by the strategy's schema. Raises an
 * error for strategies that have to train for their decision.
 */
export async function prune(
  model: Model,
  strategy: Strategy,
  options: unknown,
  goal: Omit<PruneContext, 'model'>,
): Promise<Pruned> {
  const checked = parseOptions(strategy.options, options, 'prune.strategy');
  const hint = 'Run espalier compress.';
  const one = 'one that decides at once';
  expect(!trainsScores(strategy, checked), 'prune.strategy', one, 'one that trains scores', hint);
  const atOnce = phasesOf(strategy, checked).every(
    ({ name, every }) => name === 'finetune' && every === undefined,
  );
  expect(atOnce, 'prune.strategy', one, 'one that prunes while training', hint);
  strategy.check?.({ ...goal, model }, checked as never);
  const { model: pruned, decision, removed } = await decide(model, strategy, checked, goal);
  const masks = masksOf(decision);
  applyMasks(pruned, masks);
  for (const [name, own] of decision) if (!(own instanceof Uint8Array)) write(pruned, name, own);
  return { model: pruned, masks, removed };
}

/** Gives a parameter the weights that a parameterisation stands for. */
function write({ engine, params }: Model, name: string, data: ParameterData): void {
  const weight = params.get(name)!;
  const own = createParameterisation(engine, weight.shape, data, name);
  weight.write(step(engine, () => readEntries(weightOf(own))));
  freeParameterisation(own);
}

/** Has a strategy decide by `model`, and removes the filters that go. */
export async function decide(
  model: Model,
  strategy: Strategy,
  options: object,
  goal: Omit<PruneContext, 'model'>,
): Promise<CarriedOut> {
  parseOptions(sparsityRule(), goal.sparsity, 'prune.sparsity');
  const chosen = await strategy.decide({ ...goal, model }, options as never);
  const decision: Decision = new Map([...(goal.previous ?? []), ...chosen]);
  checkPrevious(decision, goal.previous);
  if (!strategy.structured) return { model, decision, removed: new Map() };
  const masks = masksOf(decision);
  const channels = channelsOf(model.graph);
  const gone = maskedChannels(model, channels, masks);
  const made = [...new Set(channels.groups.flatMap((group) => group.producers))].sort(
    (a, b) => a - b,
  );
  const removed = made.map((at): [string, number[]] => [
    model.graph.nodes[at]!.name,
    channels.outputs[at]!.flatMap((channel, i) => (gone.has(channel) ? [i] : [])),
  ]);
  const left = shrinkMasks(model, gone, channels, masks);
  return { model: shrink(model, gone, channels), decision: left, removed: new Map(removed) };
}

/** Raises an error where a decision keeps what earlier rounds have masked. */
function checkPrevious(decision: Decision, previous: Masks = new Map()): void {
  for (const [name, mask] of masksOf(decision)) {
    const before = previous.get(name);
    const back = before ? mask.filter((one, place) => one === 1 && before[place] === 0).length : 0;
    expect(back === 0, `prune.strategy: ${name}`, 'weights that earlier rounds have left', back);
  }
}

/** The masks of a decision. */
export function masksOf(decision: Decision): Masks {
  const masks = Array.from(decision, ([name, own]) => [
    name,
    own instanceof Uint8Array ? own : maskOf(own),
  ]);
  return new Map(masks.filter((entry): entry is [string, Mask] => entry[1] !== null));
}

/** A decision as parameterisations of a model's weights. */
export function parameterMap({ params }: Model, decision: Decision): ParameterMap {
  return new Map(
    Array.from(decision, ([name, own]) => [
      name,
      own instanceof Uint8Array ? plainData(params.get(name)!.read(), own) : own,
    ]),
  );
}
