/**
 * Controls of a claim that pruning helps (Liu et al. 2019, "Rethinking the value of network pruning", arXiv
 * 1810.05270; Frankle and Carbin 2019, arXiv 1803.03635): what the same network, or as many weights, reach
 * without the strategy. A control is one more phase after those of the strategy, whose result takes the place
 * of the pruned model; it names no strategy, so it goes with any.
 */
import type { Config, TrainingConfig } from './config';
import type { AnyStart, KeptMasks, PhaseSpec } from './phase-spec';

interface Control {
  readonly about: string;
  readonly masks: KeptMasks;
  /** By the last phase of the strategy. */
  start(last: PhaseSpec): AnyStart;
  training(config: Config, phases: readonly PhaseSpec[]): TrainingConfig;
}

const CONTROLS: Readonly<Record<Exclude<Config['prune']['control'], 'none'>, Control>> = {
  'scratch-e': {
    about: 'the pruned shape, drawn anew, for all the epochs that the pruned network got',
    masks: 'same',
    start: () => 'fresh',
    training: ({ pretrain }, phases) => ({ ...pretrain, epochs: epochsOf(lineage(phases)) }),
  },
  'scratch-b': {
    about: 'the same for as many multiply-adds, however many epochs that are',
    masks: 'same',
    start: () => 'fresh',
    // `equalEpochs` says how many, once the masks are known.
    training: ({ pretrain }) => pretrain,
  },
  'random-mask': {
    about: 'as many zeros (filters) in each layer, drawn by lot, trained as the strategy trains',
    masks: 'shuffled',
    // What followed from earlier phases of the strategy follows from the dense network here.
    start: ({ start }) => (start === 'best' || start === 'last' ? 'dense' : start),
    training: (_, phases) => phases.at(-1)!.training,
  },
  'dense-longer': {
    about: 'the dense network, trained for all the epochs that the pruned one got',
    masks: 'none',
    start: () => 'dense',
    training: ({ pretrain }, phases) => {
      const epochs = Math.max(0, epochsOf(lineage(phases)) - pretrain.epochs);
      return { ...phases.at(-1)!.training, epochs };
    },
  },
};

/** The phases that a pruned network comes from: what it begins and is judged by initially needs none before. */
export function lineage(phases: readonly PhaseSpec[]): readonly PhaseSpec[] {
  const isFirst = ({ round, start, decides }: PhaseSpec): boolean =>
    round === 1 && isInitial(start) && isInitial(decides?.by);
  return phases.slice(Math.max(0, phases.findIndex(isFirst)));
}

const isInitial = (start: AnyStart | undefined): boolean => start === 'initial' || start === 0;

const epochsOf = (phases: readonly PhaseSpec[]): number =>
  phases.reduce((sum, { training }) => sum + training.epochs, 0);

/** Epochs, at `each` multiply-adds an image, that cost as much as `operations`; at least one. */
export const equalEpochs = (operations: number, each: number): number =>
  Math.max(1, Math.round(operations / each));

/** The phases of a run under the control that its config names; those of the strategy itself under none. */
export function controlled(config: Config, phases: readonly PhaseSpec[]): readonly PhaseSpec[] {
  const { control: name, rounds } = config.prune;
  if (name === 'none') return phases;
  const { masks, start, training } = CONTROLS[name];
  const last = phases.at(-1)!;
  const from = start(last);
  const control: PhaseSpec = {
    ...last,
    ...{ name: 'control', round: rounds, seedOffset: phases.length, start: from, masks },
    ...{
      trained: 'weights',
      decides: null,
      betweenBatches: null,
      training: training(config, phases),
    },
    ramp: from !== 'dense',
    equalOperations: name === 'scratch-b',
  };
  // Without masks it does not matter what the strategy would have done.
  return masks === 'none' ? [phases[0]!, control] : [...phases, control];
}
