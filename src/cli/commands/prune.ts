/** `espalier prune MODEL`: one shot, no training. */
import { sparsity } from '../../options';
import { engineArgs, foreignArgs, modelArg, outFile, shared } from '../args';
import { type Command, EXIT } from '../command';
import { besides, freeOutput, readOptions, withEngine } from '../job';
import { strategySection } from '../registries';
import { showModel } from './inspect';

export const command: Command = {
  args: {
    ...modelArg,
    ...foreignArgs,
    strategy: {
      type: 'string',
      valueHint: 'name',
      default: 'magnitude',
      description: 'which weights go',
    },
    sparsity: {
      type: 'string',
      valueHint: 'fraction',
      default: '0.9',
      description: 'share of prunable weights removed, in [0, 1)',
    },
    set: {
      type: 'string',
      valueHint: 'option=value',
      description: 'an option of the strategy, such as scope=global; repeatable',
    },
    ...outFile,
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier prune dense.safetensors', 'ten times fewer weights, as dense-pruned.safetensors'],
    [
      'espalier prune dense.safetensors --sparsity 0.5 --strategy filter -o half.safetensors',
      'half of the weights, by whole filters',
    ],
    [
      'espalier prune dense.safetensors --strategy filter --set score=geometric-median --set scope=global',
      'by another score, one threshold over all layers',
    ],
    [
      'espalier prune weights.pth --network cnn-small --input 1,28,28',
      'the state dict of a PyTorch network',
    ],
  ],
  sections: async () => [await strategySection()],
  async run(context) {
    const { values, backend } = context;
    const { applySet, parseSlot } = await import('../../recipe/config');
    const named = parseSlot('prune.strategy', values.text('strategy'), '--strategy');
    const sets = values.all('set').map((set) => `prune.strategy.${set}`);
    const { strategy } = applySet({ prune: { strategy: named.name } }, sets, '--strategy').prune;
    const removed = values.number('sparsity', sparsity())!;
    const model = values.text('model')!;
    const as = readOptions(values);
    const file = await freeOutput(values.text('out') ?? besides(model, 'pruned'), values, [model]);
    const seed = values.seed() ?? 1;
    const found = await withEngine(context, (job) =>
      backend.prune(job.engine, { ...job, ...file, model, as, strategy, sparsity: removed, seed }),
    );
    showModel(context, found, file.out);
    return EXIT.done;
  },
};
