/** `espalier evaluate MODEL`: the three accuracies on the test split, with 95 % intervals. */
import type { ArgsDef } from 'citty';
import { suspicionText } from '../../attack/suspicion';
import type { Evaluation } from '../../evaluate/records';
import { eps, listed, namesOf, whole } from '../../options';
import type { Config } from '../../recipe/config';
import { configArgs, dataArgs, engineArgs, epsArg, foreignArgs, modelArg, shared } from '../args';
import { type Command, type Context, EXIT } from '../command';
import {
  accuracyTable,
  certifyArgs,
  evaluateInFolder,
  normArg,
  normed,
  normText,
  refuseLonely,
} from '../evaluation';
import { normOf } from '../evaluation-file';
import { print, printJson } from '../io';
import { modelConfig, readOptions, withEngine } from '../job';
import { attackSection, dataSection, verifierSection } from '../registries';

/** Options of commands that measure the three accuracies. */
export const evaluationArgs = {
  ...dataArgs,
  ...epsArg,
  attack: {
    type: 'string',
    valueHint: 'name,...',
    description: 'attacks, each on what the others left (default: as trained, or pgd)',
  },
  verifier: {
    type: 'string',
    valueHint: 'name,...',
    description: 'verifiers, each on what the others left unknown (default: interval)',
  },
  limit: {
    type: 'string',
    valueHint: 'n',
    description: 'attack and verify only the first n images',
  },
  ...configArgs,
} as const satisfies ArgsDef;

export const command: Command = {
  args: {
    ...modelArg,
    ...foreignArgs,
    ...evaluationArgs,
    ...normArg,
    ...certifyArgs,
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
    ['espalier evaluate m.safetensors --verifier crown --norm l2 --eps 0.5', 'L2 balls'],
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
    const config = await evaluationConfig(context);
    const model = values.text('model')!;
    const as = readOptions(values);
    const certified = values.text('verify') !== undefined || values.on('radius');
    refuseLonely(values, certified);
    if (certified) return evaluateInFolder(context, { model, as, config });
    const given = config.evaluate.verifier;
    const methods = await normed(values, config, listed(given));
    const verifier = Array.isArray(given) ? methods.verifiers : methods.verifiers[0]!;
    const evaluate = { ...methods.config.evaluate, verifier };
    const used = { ...config, evaluate };
    const found = await withEngine(context, (job) =>
      backend.evaluate(job.engine, { ...job, model, as, config: used }),
    );
    if (values.on('json')) {
      const { eps, attack } = evaluate;
      const about = { model, data: config.data.name, eps, norm: normOf(attack) };
      const { attacks, verifiers } = found;
      const several = {
        ...(Array.isArray(attack) && { attacks }),
        ...(Array.isArray(verifier) && { verifiers }),
        ...(found.suspicions && { suspicions: found.suspicions }),
      };
      const { accuracies, contradictions } = found;
      printJson(io, { ...about, ...accuracies, contradictions, ...several });
    } else
      print(
        io,
        [accuracyText(model, found, used), ...shareTexts(found), ...suspicionTexts(found)].join(
          '\n',
        ),
      );
    return found.contradictions > 0 ? EXIT.badNews : EXIT.done;
  },
};

/** The recorded config with what the options of `evaluationArgs` say, its radius resolved. */
export async function evaluationConfig(context: Context): Promise<Config> {
  const { values } = context;
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
  return { ...config, evaluate: { ...config.evaluate, eps: evaluationEps(config) } };
}

const suspicionTexts = ({ suspicions = [] }: Evaluation): string[] =>
  suspicions.map((one) => `suspicion: ${suspicionText(one)}`);

/** Shares of attacks and of verifiers, where there are several. */
function shareTexts({ attacks, verifiers }: Evaluation): string[] {
  const text = (done: string, shares: readonly (readonly [string, number])[]): string[] =>
    shares.length < 2
      ? []
      : [`${done}, each of what those before left: ${shares.map((s) => s.join(' ')).join(', ')}`];
  return [
    ...text(
      'broken',
      attacks.map(({ name, broken }) => [name, broken] as const),
    ),
    ...text(
      'certified',
      verifiers.map(({ name, certified }) => [name, certified] as const),
    ),
  ];
}

/** The three accuracies of the model `name` as a table, and what they were measured with. */
export const accuracyText = (
  name: string,
  { accuracies, contradictions }: Pick<Evaluation, 'accuracies' | 'contradictions'>,
  { evaluate: { eps: radius, attack, verifier } }: Config,
): string =>
  `${accuracyTable(name, accuracies)}\neps ${radius}${normText(attack)}, attack ${namesOf(attack)}, verifier ${namesOf(verifier)}, contradictions ${contradictions}`;
