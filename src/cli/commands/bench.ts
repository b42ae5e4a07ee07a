/**
 * `espalier bench`: the steps and products that the time of a run is made of; with --fit what the forms
 * of a plan cost on this machine.
 */
import { expect } from '../../errors';
import type { BenchRow } from '../../measure/bench';
import type { Fit } from '../../measure/fit';
import { real } from '../../options';
import { count, duration, percent, rate, short } from '../../report/format';
import { columnsOf, renderTable } from '../../report/table';
import { SHIPPED } from '../../runtime/costs';
import { engineArgs, outFile, shared } from '../args';
import { type Command, type Context, EXIT } from '../command';
import { print, printJson } from '../io';
import { freeOutput, withEngine } from '../job';

export const command: Command = {
  args: {
    seconds: {
      type: 'string',
      valueHint: 's',
      default: '20',
      description: 'time for all together',
    },
    fit: { type: 'boolean', description: 'fit the costs by which plans choose, to this machine' },
    out: { ...outFile.out, description: 'where to write the costs (--fit)' },
    force: outFile.force,
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier bench', 'a table'],
    ['espalier bench --threads 1 --seconds 60', 'one thread, longer'],
    ['espalier bench --fit --threads 1 --out costs.json', 'for inspect --plan --costs costs.json'],
  ],
  async run(context) {
    const { io, values, backend } = context;
    const seconds = values.number('seconds', real(0.01, 3600))!;
    const out = values.text('out');
    expect(values.on('fit') || out === undefined, '--out', '--fit with it', 'none');
    if (values.on('fit')) return showFit(context, seconds, out);
    const { info, rows } = await withEngine(context, async ({ engine }) => ({
      info: engine.info(),
      rows: await backend.benchmark(engine, { seconds }),
    }));
    if (values.on('json')) printJson(io, { binary: info.binary, threads: info.threads, rows });
    else {
      const titles = ['subject', 'images/s', 'GFLOP/s', 'a call', 'spread'];
      const columns = columnsOf(titles, 'lr');
      const threads = info.threads === 1 ? '1 thread' : `${info.threads} threads`;
      print(io, `${info.binary} binary, ${threads}`);
      print(io, renderTable({ columns, rows: rows.map(cells) }));
    }
    return EXIT.done;
  },
};

async function showFit(
  context: Context,
  seconds: number,
  out: string | undefined,
): Promise<number> {
  const { io, values, backend } = context;
  const file = out !== undefined && (await freeOutput(out, values, []));
  const found = await withEngine(context, ({ engine }) =>
    backend.fit(engine, { seconds, ...file }),
  );
  if (values.on('json')) printJson(io, { ...found, shipped: SHIPPED, ...(out && { out }) });
  else print(io, fitText(found, out));
  return EXIT.done;
}

function fitText({ costs, unit, forms }: Fit, out: string | undefined): string {
  const factors = Object.entries<Factors>(SHIPPED).flatMap(([form, keys]) =>
    Object.entries(keys).map(([key, shipped]) => [
      form,
      key,
      short(shipped),
      short((costs as Readonly<Record<string, Factors>>)[form]![key]!),
    ]),
  );
  const errors = forms.map(({ form, samples, shipped, fitted }) => [
    form,
    count(samples),
    ...[shipped, fitted].flatMap(({ median, worst }) => [percent(median, 0), percent(worst, 0)]),
  ]);
  return [
    `1 is about a multiply-add of the register tile: ${short(1e12 * unit)} ps here`,
    renderTable({ columns: columnsOf(['form', 'of', 'shipped', 'fitted'], 'llr'), rows: factors }),
    'Errors of the predicted times, in the middle and at worst:',
    renderTable({
      columns: columnsOf(['form', 'layers', 'shipped', 'worst', 'fitted', 'worst'], 'lr'),
      rows: errors,
    }),
    ...(out === undefined
      ? []
      : [`written to ${out}: espalier inspect MODEL --plan --costs ${out}`]),
  ].join('\n');
}

type Factors = Readonly<Record<string, number>>;

function cells({ name, images_per_second: images, gflops, median, spread }: BenchRow): string[] {
  const call = median < 1 ? `${(1000 * median).toPrecision(3)} ms` : duration(median);
  const [perSecond, flops] = [images, gflops].map((x) => (x === undefined ? '' : rate(x)));
  return [name, perSecond!, flops!, call, percent(spread, 1)];
}
