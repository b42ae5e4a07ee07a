/** `espalier evaluate MODEL`: the three accuracies on the test split, with 95 % intervals. */
import { eps, whole } from '../../options';
import { configArgs, dataArgs, engineArgs, foreignArgs, modelArg, shared } from '../args';
import { type Command, EXIT } from '../command';
import { print, printJson } from '../io';
import { modelConfig, readOptions, withEngine } from '../job';
import { accuracyTable, certifyArgs, refuseLonely, runJudge } from '../judge';
import { attackSection, dataSection, verifierSection } from '../registries';

export const command: Command = {
  args: {
    ...modelArg,
    ...foreignArgs,
    ...dataArgs,
    eps: {
      type: 'string',
      valueHint: 'radius',
      description: 'such as 0.1 or 8/255 (default: as trained)',
    },
    attack: {
      type: 'string',
      valueHint: 'name',
      description: 'attack (default: as trained, or pgd)',
    },
    verifier: { type: 'string', valueHint: 'name', description: 'verifier (default: interval)' },
    limit: {
      type: 'string',
      valueHint: 'n',
      description: 'attack and verify only the first n images',
    },
    ...certifyArgs,
    ...configArgs,
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier evaluate runs/mnist-ibp/pruned.safetensors', 'as in the run'],
    [
      'espalier evaluate m.safetensors --data mnist --eps 8/255 --limit 1000',
      'another radius, fewer images',
    ],
    ['espalier evaluate m.safetensors --set evaluate.attack.steps=100', 'a stronger attack'],
    [
      'espalier evaluate m.safetensors --verify interval --radius --out radii',
      'the largest certified radius of each image, on all processors; the same command resumes',
    ],
    [
      'espalier evaluate net.onnx --data mnist --eps 0.1 --mean 0.1307 --std 0.3081',
      'a network of another tool, with the normalisation it was trained under',
    ],
  ],
  sections: () => Promise.all([dataSection(), attackSection(), verifierSection()]),
  async run(context) {
    const { io, values, backend } = context;
    const { evaluationEps } = await import('../../recipe/config');
    const radius = values.checked('eps', eps());
    const limit = values.number('limit', whole(1));
    const attack = values.text('attack');
    const verifier = values.text('verifier');
    const config = await modelConfig(context, [
      ...(radius === undefined ? [] : [`evaluate.eps=${radius}`]),
      ...(attack === undefined ? [] : [`evaluate.attack=${attack}`]),
      ...(verifier === undefined ? [] : [`evaluate.verifier=${verifier}`]),
      ...(limit === undefined
        ? []
        : [`evaluate.attackLimit=${limit}`, `evaluate.verifyLimit=${limit}`]),
    ]);
    const resolved = evaluationEps(config);
    const evaluate = { ...config.evaluate, eps: resolved };
    const model = values.text('model')!;
    const as = readOptions(values);
    const full = { ...config, evaluate };
    const certified = values.text('verify') !== undefined || values.on('radius');
    refuseLonely(values, certified);
    if (certified) return runJudge(context, { model, as, config: full });
    const { accuracies, contradictions } = await withEngine(context, (job) =>
      backend.evaluate(job.engine, { ...job, model, as, config: full }),
    );
    if (values.on('json'))
      printJson(io, {
        model,
        data: config.data.name,
        eps: resolved,
        ...accuracies,
        contradictions,
      });
    else {
      print(io, accuracyTable(model, accuracies));
      print(
        io,
        `eps ${resolved}, attack ${evaluate.attack.name}, verifier ${evaluate.verifier.name}, contradictions ${contradictions}`,
      );
    }
    return contradictions > 0 ? EXIT.badNews : EXIT.done;
  },
};
