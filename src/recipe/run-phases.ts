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
import { type Config, TRAINING } from './config';
import { withControl } from './controls';
import type { PhaseSpec } from './phase-spec';

export type { PhaseSpec };

/** Raises an error for phases that cannot follow each other. */
export function phasesOfRun(config: Config): readonly PhaseSpec[] {
  const { strategy, rounds, control } = config.prune;
  const { name, ...options } = strategy;
  const entry = lookup(strategies, name, 'strategy');
  const own = phasesOf(entry, options);
  const pruned = [
    phase(config, { name: 'pretrain', round: 0, draws: 0, like: 'pretrain', start: 'initial' }),
    ...Array.from({ length: rounds }, (_, i) =>
      own.map((given, at) => roundPhase(config, entry, given, i + 1, at - own.length + 1)),
    ).flat(),
  ];
  return withControl(pruned, control);
}

/** Fine-tuning of the masks that a model has, outside of a run. */
export const finetuning = (config: Config, round: number, changes: Options = {}): PhaseSpec =>
  phase(config, { name: 'finetune', round, draws: round, training: changes });

/** `before`: 0 for the last phase of a round, -1 for the one before it. */
function roundPhase(
  config: Config,
  entry: Strategy,
  given: StrategyPhase,
  round: number,
  before: number,
): PhaseSpec {
  const { sparsity: final, rounds, strategy } = config.prune;
  const { decides = given.name === 'finetune' ? 'best' : null, every } = given;
  const start = given.start ?? (given.name === 'finetune' ? config.finetune.start : 'best');
  const most = config.pretrain.epochs;
  expect(typeof start !== 'number' || start <= most, 'finetune.start', `at most ${most}`, start);
  // Removed filters leave a smaller network, into which no other weights fit.
  const fits = decides === null ? !isEarly(start) : start === decides;
  const same = !entry.structured || (fits && (rounds === 1 || !isEarly(start)));
  const what = 'the weights by which filters are chosen (best)';
  expect(same, `finetune.start with ${strategy.name}`, what, start);
  const sparsity = sparsityAfter(round, rounds, final);
  return {
    ...phase(config, { ...given, start, round, draws: round - before * rounds }),
    decides: decides && { by: decides, sparsity },
    between: every === undefined ? null : { every, sparsity },
  };
}

/** Whether weights were not trained at full difficulty. */
const isEarly = (start: Start): boolean => start === 'initial' || typeof start === 'number';

type Given = Pick<StrategyPhase, 'like' | 'trained' | 'training'> &
  Pick<PhaseSpec, 'name' | 'round' | 'draws'> & { readonly start?: Start };

function phase(config: Config, given: Given): PhaseSpec {
  const { name, round, draws, trained = 'weights', like = 'finetune', start = 'best' } = given;
  const { start: _, ...section } = { start: null, ...config[like] };
  const training = parseOptions(TRAINING, { ...section, ...given.training }, `the phase ${name}`);
  return {
    ...{ name, round, draws, start, trained, training, decides: null, between: null },
    ...{ masks: 'kept', length: 'epochs' },
    objective: config.objective,
    ramp: isEarly(start),
  };
}
