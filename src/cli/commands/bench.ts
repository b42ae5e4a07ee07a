/** `espalier bench`: the steps and products that the time of a run is made of. */
import { real } from '../../options';
import type { BenchRow } from '../../recipe/bench';
import { duration, percent, rate } from '../../report/format';
import { renderTable } from '../../report/table';
import { engineArgs, shared } from '../args';
import { type Command, EXIT } from '../command';
import { print, printJson } from '../io';
import { withEngine } from '../job';

export const command: Command = {
  args: {
    seconds: {
      type: 'string',
      valueHint: 's',
      default: '20',
      description: 'time for all together',
    },
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier bench', 'a table'],
    ['espalier bench --threads 1 --seconds 60', 'one thread, longer'],
  ],
  async run(context) {
    const { io, values, backend } = context;
    const seconds = values.number('seconds', real(0.01, 3600))!;
    const { info, rows } = await withEngine(context, async ({ engine }) => ({
      info: engine.info(),
      rows: await backend.benchmark(engine, { seconds }),
    }));
    if (values.on('json')) printJson(io, { binary: info.binary, threads: info.threads, rows });
    else {
      const titles = ['subject', 'images/s', 'GFLOP/s', 'a call', 'spread'];
      const columns = titles.map((title, i) => ({
        title,
        align: i === 0 ? ('left' as const) : ('right' as const),
      }));
      const threads = info.threads === 1 ? '1 thread' : `${info.threads} threads`;
      print(io, `${info.binary} binary, ${threads}`);
      print(io, renderTable({ columns, rows: rows.map(cells) }));
    }
    return EXIT.done;
  },
};

function cells({ name, images_per_second: images, gflops, median, spread }: BenchRow): string[] {
  const call = median < 1 ? `${(1000 * median).toPrecision(3)} ms` : duration(median);
  const [perSecond, flops] = [images, gflops].map((x) => (x === undefined ? '' : rate(x)));
  return [name, perSecond!, flops!, call, percent(spread, 1)];
}
