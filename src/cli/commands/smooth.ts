/** `espalier smooth MODEL`: certified L2 accuracy of the smoothed classifier, by sampling. */
import { EspalierError } from '../../errors';
import { real, whole } from '../../options';
import { count, interval, percent, short } from '../../report/format';
import { columnsOf, renderTable } from '../../report/table';
import { dataArgs, engineArgs, foreignArgs, modelArg, shared } from '../args';
import { type Command, EXIT } from '../command';
import { print, printJson } from '../io';
import { modelConfig, readOptions, withEngine } from '../job';
import { dataSection } from '../registries';

export const command: Command = {
  args: {
    ...modelArg,
    ...foreignArgs,
    ...dataArgs,
    sigma: {
      type: 'string',
      valueHint: 's',
      default: '0.25',
      description: 'standard deviation of the noise, where inputs are in [0, 1]',
    },
    n0: {
      type: 'string',
      valueHint: 'n',
      default: '100',
      description: 'draws to choose a class by',
    },
    n: {
      type: 'string',
      valueHint: 'n',
      default: '10000',
      description: 'most draws to estimate its probability by',
    },
    alpha: {
      type: 'string',
      valueHint: 'p',
      default: '0.001',
      description: 'probability that an answer is wrong',
    },
    eps: {
      type: 'string',
      valueHint: 'r,...',
      default: '0,0.25,0.5,0.75',
      description: 'L2 radii to count at; sampling stops once they are decided',
    },
    limit: { type: 'string', valueHint: 'n', description: 'only the first n images' },
    batch: { type: 'string', valueHint: 'n', description: 'draws at a time (default: 256)' },
    out: {
      type: 'string',
      alias: 'o',
      valueHint: 'file',
      description: 'a journal (JSONL), a line an image; run again, it goes on from there',
    },
    ...shared,
    ...engineArgs,
  },
  examples: [
    [
      'espalier smooth m.safetensors --data cifar10 --sigma 0.25 --n 100000 --limit 500',
      'as in the papers: many draws of few images',
    ],
    ['espalier smooth m.safetensors --eps 0.5 -o smooth.jsonl', 'one radius; can be stopped'],
  ],
  sections: async () => [await dataSection()],
  async run(context) {
    const { io, values, backend } = context;
    const radii = parseRadii(values.text('eps')!);
    const limit = values.number('limit', whole(1));
    const batch = values.number('batch', whole(1, 1_000_000));
    const out = values.text('out');
    const settings = {
      sigma: values.number('sigma', real(1e-6, 1000))!,
      n0: values.number('n0', whole(1, 1_000_000_000))!,
      n: values.number('n', whole(1, 1_000_000_000))!,
      alpha: values.number('alpha', real(1e-12, 0.499))!,
      seed: values.number('seed', whole(0, 2 ** 32 - 1)) ?? 0,
      radii,
    };
    const { data } = await modelConfig(context, []);
    const model = values.text('model')!;
    const as = readOptions(values);
    const found = await withEngine(context, (job) =>
      backend.smooth(job.engine, {
        ...job,
        ...settings,
        model,
        as,
        data,
        ...(limit !== undefined && { limit }),
        ...(batch !== undefined && { batch }),
        ...(out !== undefined && { out }),
      }),
    );
    if (values.on('json')) printJson(io, { model, data: data.name, ...settings, ...found });
    else {
      const columns = columnsOf(['L2 radius', 'certified accuracy']);
      const rows = found.certified.map(({ radius, accuracy }) => [
        short(radius),
        `${percent(accuracy.value)} ${interval(accuracy)} n=${accuracy.total}`,
      ]);
      print(io, renderTable({ columns, rows }));
      const { sigma, alpha } = settings;
      const each = found.draws / Math.max(1, found.images.length);
      print(
        io,
        `the smoothed classifier (sigma ${sigma}), not the network itself; each answer holds with probability ${1 - alpha}\n` +
          `mean radius ${short(found.meanRadius)}, abstained ${count(found.abstained)}, ${count(Math.round(each))} draws an image`,
      );
    }
    return EXIT.done;
  },
};

function parseRadii(text: string): number[] {
  const radii = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (!radii.every((r) => Number.isFinite(r) && r >= 0))
    throw new EspalierError(`--eps: expected L2 radii like 0,0.25,0.5, got "${text}".`);
  return radii;
}
