/** `espalier finetune MODEL`: trains the weights that pruning left. */
import { configArgs, engineArgs, foreignArgs, modelArg, outFile, shared } from '../args';
import { type Command, EXIT } from '../command';
import { besides, freeOutput, modelConfig, readConfig, readOptions, withEngine } from '../job';
import { objectiveSection } from '../registries';
import { showModel } from './inspect';

export const command: Command = {
  args: {
    ...modelArg,
    ...foreignArgs,
    config: {
      type: 'string',
      valueHint: 'file',
      description: 'config with data, objective and finetune (default: the one in the model)',
    },
    ...outFile,
    ...configArgs,
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier finetune dense-pruned.safetensors', 'by the config it was trained with'],
    [
      'espalier finetune m.safetensors --config examples/mnist-ibp.json --set finetune.epochs=5',
      'by another',
    ],
  ],
  sections: async () => [await objectiveSection()],
  async run(context) {
    const { values, backend } = context;
    const path = values.text('config');
    const config = path ? await readConfig(path, values) : await modelConfig(context, []);
    const model = values.text('model')!;
    const as = readOptions(values);
    const file = await freeOutput(values.text('out') ?? besides(model, 'finetuned'), values, [
      model,
      ...(path ? [path] : []),
    ]);
    const found = await withEngine(context, (job) =>
      backend.finetune(job.engine, { ...job, ...file, model, as, config }),
    );
    showModel(context, found, file.out);
    return EXIT.done;
  },
};
