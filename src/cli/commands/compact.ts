/** `espalier compact MODEL`: few shared weights, coded; bytes a layer, and accuracies of the file. */
import { expect } from '../../errors';
import { whole } from '../../options';
import type { Compacted } from '../../recipe/compact';
import type { Config } from '../../recipe/config';
import { bytes, count, ratio } from '../../report/format';
import { columnsOf, renderTable } from '../../report/table';
import { engineArgs, foreignArgs, modelArg, outFile, shared, type Values } from '../args';
import { type Command, type Context, EXIT } from '../command';
import { print, printJson } from '../io';
import { freeOutput, readOptions, stem, withEngine } from '../job';
import { attackSection, dataSection, verifierSection } from '../registries';
import { accuracyText, evaluationArgs, evaluationConfig } from './evaluate';

export const command: Command = {
  args: {
    ...modelArg,
    ...foreignArgs,
    bits: {
      type: 'string',
      valueHint: 'kind=n,...',
      default: 'conv=8,dense=5',
      description: 'bits a weight by kind of layer, 1 to 8; 32 keeps float32',
    },
    epochs: {
      type: 'string',
      valueHint: 'n',
      description: 'epochs that train the shared values on the data set (default: none)',
    },
    finetune: {
      type: 'boolean',
      description: 'the same for the epochs that the config has for fine-tuning',
    },
    ...outFile,
    unmeasured: { type: 'boolean', description: 'write only; measure no accuracy' },
    ...evaluationArgs,
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier compact runs/mnist/pruned.safetensors', 'as runs/mnist/pruned.compact, measured'],
    ['espalier compact net.onnx --out net.compact', 'without data nothing is measured'],
    ['espalier compact m.safetensors --bits conv=6,dense=4 --epochs 1', 'smaller, then trained'],
    ['espalier compact runs/mnist/pruned.safetensors --finetune', 'trained as long as the run did'],
    ['espalier convert m.compact m.onnx', 'and back to other formats'],
  ],
  sections: () => Promise.all([dataSection(), attackSection(), verifierSection()]),
  async run(context) {
    const { io, values, backend } = context;
    const { parseBits } = await import('../../recipe/compact');
    const bits = parseBits(values.text('bits')!);
    const model = values.text('model')!;
    const as = readOptions(values);
    const config = await configOf(context);
    const epochs = epochsOf(values, config);
    const named = values.text('out') ?? `${stem(model)}.compact`;
    const { formatOf } = await import('../../recipe/convert');
    const format = formatOf(named) ?? 'compact';
    expect(format === 'compact', named, 'a name that ends with .compact', `one of ${format}`);
    const file = await freeOutput(named, values, [model]);
    const done = await withEngine(context, (job) =>
      backend.compact(job.engine, { ...job, ...file, model, as, bits, epochs, config }),
    );
    if (values.on('json')) printJson(io, { model, out: file.out, ...done });
    else print(io, compactText(done, file.out, config));
    return (done.evaluation?.contradictions ?? 0) > 0 ? EXIT.badNews : EXIT.done;
  },
};

/** Epochs that train the shared values: `--epochs`, or with `--finetune` the config's. */
function epochsOf(values: Values, config: Config | undefined): number {
  const epochs = values.number('epochs', whole(0));
  if (!values.on('finetune')) return epochs ?? 0;
  expect(epochs === undefined, '--finetune', 'no --epochs with it', 'both');
  const hint = 'Name one by --data, and leave --unmeasured out.';
  expect(config, '--finetune', 'a data set to train shared values on', 'none', hint);
  return config.finetune.epochs;
}

/** Config to measure by, or undefined where no data set is recorded or named. */
async function configOf(context: Context): Promise<Config | undefined> {
  const { values, backend } = context;
  if (values.on('unmeasured')) return undefined;
  const recorded = await backend.recordedConfig(values.text('model')!);
  const known = recorded !== undefined || values.text('data') !== undefined;
  return known ? evaluationConfig(context) : undefined;
}

function compactText(done: Compacted, out: string, config: Config | undefined): string {
  const rows = done.layers.map((l) => [
    l.name,
    l.shape.join('x'),
    count(l.nonzero),
    l.values === null ? 'own' : count(l.values),
    ...[l.raw, l.gzipped, l.compact].map(count),
    ratio(l.raw, l.compact),
  ]);
  const nonzero = count(done.layers.reduce((total, l) => total + l.nonzero, 0));
  const sizes = [done.raw, done.gzipped, done.compact].map(count);
  rows.push(['all, with the header', '', nonzero, '', ...sizes, ratio(done.raw, done.compact)]);
  const titles = ['parameter', 'shape', 'non-zero', 'values', 'raw', 'gzipped', 'compact', 'ratio'];
  const columns = columnsOf(titles, 'llr');
  const removed = Object.entries(done.removed).map(([layer, n]) => `${n} of ${layer}`);
  return [
    `${out}: ${done.network}, ${bytes(done.compact)} (gzipped ${bytes(done.compactGzipped)})`,
    renderTable({ columns, rows }),
    ...(removed.length > 0 ? [`Channels removed: ${removed.join(', ')}.`] : []),
    done.evaluation && config
      ? accuracyText(out, done.evaluation, config)
      : 'Accuracies not measured: name a data set by --data.',
  ].join('\n');
}
