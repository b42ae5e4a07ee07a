/**
 * Controls: what a network has to be compared with before its pruning can be credited with anything.
 * Each is a change to the list of phases of a run, so that any strategy under any objective has them.
 *
 * - `scratch-e`, `scratch-b` (Liu et al. 2019, "Rethinking the value of network pruning", arXiv
 *   1810.05270): what the strategy left, masks or the smaller network, with weights drawn anew, trained
 *   as pre-training is, for all the epochs (e) or all the operations (b) that went into the pruned one.
 * - `random-mask` (Su et al. 2020, "Sanity-checking pruning methods", arXiv 2009.11094): as many weights
 *   of every layer (filters, of structured strategies), drawn by lot, of the dense network, trained for
 *   the epochs that followed pre-training.
 * - `dense-longer`: the dense network, not pruned, trained for those same epochs.
 *
 * The first three end a whole run of the strategy, as only that says what it leaves. Deviations: Liu et
 * al. count the epochs of the dense network alone, and at most double them. Operations are multiply-adds of
 * a forward pass over what is not masked, with the masks that a phase ends with.
 */
import { multiplyAdds } from '../measure/inspect';
import type { Graph } from '../nn/graph';
import type { Model } from '../nn/model';
import { masksIn, snapshot, type TrainingModel } from '../nn/training-model';
import { type Channels, channelsOf, type Group } from '../prune/channels';
import { shrink } from '../prune/shrink';
import type { Masks } from '../prune/strategy';
import { permutation, STREAMS } from '../tensor/philox';
import type { Config } from './config';
import type { PhaseSpec } from './phase-spec';

type Control = NonNullable<Config['prune']['control']>;

/** The last phase of each control, from the phases of the pruned run and the epochs after pre-training. */
const LAST: Readonly<Record<Control, (own: readonly PhaseSpec[], after: number) => PhaseSpec>> = {
  'scratch-e': ([pretrain], after) => anew(pretrain!, pretrain!.training.epochs + after, 'epochs'),
  'scratch-b': ([pretrain]) => anew(pretrain!, pretrain!.training.epochs, 'operations'),
  'random-mask': (own, after) => {
    const last = own.at(-1)!;
    const start = last.ramp ? last.start : 'dense';
    return { ...trained(last, after), start, masks: 'shuffled' };
  },
  'dense-longer': (own, after) => ({ ...trained(own.at(-1)!, after), start: 'best', ramp: false }),
};

const anew = (pretrain: PhaseSpec, epochs: number, length: PhaseSpec['length']): PhaseSpec => ({
  ...pretrain,
  ...{ name: 'finetune', start: 'anew', length },
  training: { ...pretrain.training, epochs },
});

/** Trains weights as a phase does, and prunes nothing. */
const trained = (last: PhaseSpec, epochs: number): PhaseSpec => ({
  ...last,
  ...{ name: 'finetune', trained: 'weights', decides: null, between: null },
  training: { ...last.training, epochs },
});

/** The phases of a run, given those of the pruned one, under a control. */
export function withControl(
  own: readonly PhaseSpec[],
  control: Control | null,
): readonly PhaseSpec[] {
  if (control === null) return own;
  const [pretrain, ...rest] = own;
  const after = rest.reduce((sum, { training }) => sum + training.epochs, 0);
  const last = {
    ...LAST[control](own, after),
    ...{ round: own.at(-1)!.round + 1, draws: own.length },
  };
  return control === 'dense-longer' ? [pretrain!, last] : [...own, last];
}

/** Multiply-adds an image of what is not masked. */
const operationsOf = (model: TrainingModel): number =>
  multiplyAdds(model.graph, masksIn(snapshot(model)));

/** Operations of a phase that has ended: an image's, times its epochs. */
export const spentIn = (spec: PhaseSpec, model: TrainingModel): number =>
  spec.training.epochs * operationsOf(model);

/** A phase with its epochs; where it is as long as operations allow, those that the run has `spent`. */
export function withLength(spec: PhaseSpec, spent: number, model: TrainingModel): PhaseSpec {
  if (spec.length === 'epochs') return spec;
  const epochs = Math.max(1, Math.round(spent / operationsOf(model)));
  return { ...spec, training: { ...spec.training, epochs } };
}

/** Masks with as many entries a layer, drawn by lot. */
export const shuffledMasks = (masks: Masks, seed: number): Masks =>
  new Map(
    Array.from(masks, ([name, mask], position) => {
      const order = permutation(seed, STREAMS.prune, position, mask.length);
      return [name, mask.map((_, place) => mask[order[place]!]!)];
    }),
  );

/**
 * The model without channels drawn by lot, as many of every layer as `pruned` lacks; undefined where it
 * lacks none.
 */
export function shuffledShape(dense: Model, pruned: Graph, seed: number): Model | undefined {
  const channels = channelsOf(dense.graph);
  const left = countKinds(channelsOf(pruned));
  const gone = new Set<number>();
  for (const [position, [kind, list]] of [...kindsOf(channels)].entries()) {
    const order = permutation(seed, STREAMS.prune, position, list.length);
    for (const place of order.subarray(left.get(kind) ?? 0)) gone.add(list[place]!);
  }
  return gone.size === 0 ? undefined : shrink(dense, gone, channels);
}

/** Channels that may go, by the layers that make them. */
function kindsOf({ outputs, groups }: Channels): Map<string, number[]> {
  const kinds = new Map<string, number[]>();
  const made = new Map<number, ReadonlySet<number>>(
    groups.flatMap(({ producers }) => producers.map((at) => [at, new Set(outputs[at])] as const)),
  );
  const makers = ({ producers }: Group, channel: number): string =>
    producers.filter((at) => made.get(at)!.has(channel)).join();
  for (const group of groups)
    for (const channel of group.channels) {
      const kind = makers(group, channel);
      kinds.set(kind, [...(kinds.get(kind) ?? []), channel]);
    }
  return kinds;
}

const countKinds = (channels: Channels): Map<string, number> =>
  new Map(Array.from(kindsOf(channels), ([kind, list]) => [kind, list.length]));
