/**
 * The phases of a run as data: what is trained, from which weights, by which objective and for how long.
 * A run is a list of them, read off its config: pre-training, then for each round of pruning the phases
 * that the strategy names (`Strategy.phases`), of which fine-tuning is the only one by default.
 */
import { expect, lookup } from '../errors';
import { type Options, parseOptions } from '../options';
import { sparsityAfter } from '../prune/schedule';
import { strategies } from '../prune/strategies/registry';
import { phasesOf, type Start, type Strategy, type StrategyPhase } from '../prune/strategy';
import { objectives } from '../train/objectives/registry';
import { type Config, TRAINING, type TrainingConfig } from './config';
import { controlled } from './controls';
import type { PhaseSpec } from './phase-spec';

/** Raises an error for phases that cannot follow each other. */
export function phasesOfRun(config: Config): readonly PhaseSpec[] {
  const { strategy, rounds } = config.prune;
  const { name, ...options } = strategy;
  const entry = lookup(strategies, name, 'strategy');
  const own = phasesOf(entry, options);
  const first = {
    name: 'pretrain',
    round: 0,
    seedOffset: 0,
    hyperparameters: 'pretrain',
    start: 'initial',
  } as const;
  const phases = [
    phase(config, first),
    ...Array.from({ length: rounds }, (_, i) =>
      own.map((given, at) => roundPhase(config, entry, given, i + 1, at - own.length + 1)),
    ).flat(),
  ];
  return controlled(config, phases);
}

/** Fine-tuning of the masks that a model has, outside of a run. */
export const finetuning = (config: Config, round: number, changes: Options = {}): PhaseSpec =>
  phase(config, { name: 'finetune', round, seedOffset: round, training: changes });

/** Phase of a round; `fromLast` is 0 for its last one, -1 for the one before that. */
function roundPhase(
  config: Config,
  entry: Strategy,
  given: StrategyPhase,
  round: number,
  fromLast: number,
): PhaseSpec {
  const { sparsity: final, rounds } = config.prune;
  const { decides = given.name === 'finetune' ? 'best' : null, every } = given;
  const start = given.start ?? (given.name === 'finetune' ? config.finetune.start : 'best');
  checkStart(config, entry, { ...given, decides, start });
  const sparsity = sparsityAfter(round, rounds, final, entry.sparsitySchedule);
  return {
    ...phase(config, { ...given, start, round, seedOffset: round - fromLast * rounds }),
    decides: decides && { by: decides, sparsity },
    betweenBatches: every === undefined ? null : { every, sparsity },
  };
}

/** Raises an error for weights that a phase cannot begin with. */
function checkStart(
  { pretrain, prune, finetune }: Config,
  { structured }: Strategy,
  { name, start = 'best', decides }: StrategyPhase,
): void {
  const strategy = prune.strategy.name;
  const who = `finetune.start with ${strategy}`;
  const most = pretrain.epochs;
  const early = finetune.start === start ? 'finetune.start' : `prune.strategy ${strategy}: start`;
  const done = typeof start !== 'number' || start <= most;
  expect(done, early, `at most ${most}, the epochs of pre-training`, start);
  // Removed filters leave a smaller network, into which no other weights fit.
  const fits = decides === null ? !isEarly(start) : start === decides;
  const same = !structured || (fits && (prune.rounds === 1 || !isEarly(start)));
  expect(same, who, 'the weights by which filters are chosen (best)', start);
  const asked = name !== 'finetune' || finetune.start === 'best' || finetune.start === start;
  expect(asked, who, `${start}, where the strategy begins`, finetune.start, 'Leave it out.');
}

/** Whether weights were not trained at full difficulty. */
const isEarly = (start: Start): boolean => start === 'initial' || typeof start === 'number';

/** Raises an error where labels are to be soft, and the loss is of bounds, which are about the label alone. */
function checkLabels({ objective }: Config, { labelSmoothing, teacher }: TrainingConfig): void {
  const { name } = objective;
  const fits = lookup(objectives, name, 'objective').softLabels === true;
  const got = teacher ? 'a teacher' : `labelSmoothing ${labelSmoothing}`;
  const hint = 'Set labelSmoothing to 0 and teacher to null, or take another objective.';
  expect(fits || (labelSmoothing === 0 && !teacher), `objective ${name}`, 'hard labels', got, hint);
}

type Given = Pick<StrategyPhase, 'hyperparameters' | 'trained' | 'training'> &
  Pick<PhaseSpec, 'name' | 'round' | 'seedOffset'> & { readonly start?: Start };

function phase(config: Config, given: Given): PhaseSpec {
  const {
    name,
    round,
    seedOffset,
    trained = 'weights',
    hyperparameters = 'finetune',
    start = 'best',
  } = given;
  const { start: _, ...section } = { start: null, ...config[hyperparameters] };
  const training = parseOptions(TRAINING, { ...section, ...given.training }, `the phase ${name}`);
  checkLabels(config, training);
  return {
    ...{ name, round, seedOffset, start, trained, training, masks: 'same' },
    ...{ decides: null, betweenBatches: null },
    objective: config.objective,
    ramp: isEarly(start),
    equalOperations: false,
  };
}
