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
    about: 'the pruned shape, drawn anew, for the epochs of pre-training',
    masks: 'same',
    start: () => 'fresh',
    training: ({ pretrain }) => pretrain,
  },
  'scratch-b': {
    about: 'the same for as many operations as pre-training, at most twice the epochs',
    masks: 'same',
    start: () => 'fresh',
    // Operations go by the weights that are left.
    training: ({ pretrain, prune }) => ({
      ...pretrain,
      epochs: Math.round(pretrain.epochs * Math.min(2, 1 / (1 - prune.sparsity))),
    }),
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
    training: (_, phases) => {
      const epochs = phases.slice(1).reduce((sum, { training }) => sum + training.epochs, 0);
      return { ...phases.at(-1)!.training, epochs };
    },
  },
};

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
  };
  // Without masks it does not matter what the strategy would have done.
  return masks === 'none' ? [phases[0]!, control] : [...phases, control];
}
