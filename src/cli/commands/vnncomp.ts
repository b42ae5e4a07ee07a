/** `espalier vnncomp FOLDER`: a benchmark of VNN-COMP, instance by instance, with the competition's results. */
import type { VnncompResult } from '../../evaluate/vnncomp';
import { real, whole } from '../../options';
import { short } from '../../report/format';
import { columnsOf, renderTable } from '../../report/table';
import { engineArgs, foreignArgs, shared } from '../args';
import { type Command, EXIT } from '../command';
import { print, printJson } from '../io';
import { readOptions, withEngine } from '../job';

export const command: Command = {
  args: {
    folder: {
      type: 'positional',
      required: true,
      description: 'a benchmark: instances.csv and the files that it names, gzipped or not',
    },
    only: {
      type: 'string',
      valueHint: 'text,...',
      description: 'only instances with one of these texts in the name of network or property',
    },
    timeout: {
      type: 'string',
      valueHint: 'seconds',
      default: '60',
      description: 'of instances for which the list names none',
    },
    nodes: {
      type: 'string',
      valueHint: 'n',
      description: 'ends each search too: parts of the input region to bound (default: no limit)',
    },
    out: {
      type: 'string',
      alias: 'o',
      valueHint: 'folder',
      description:
        'results.csv, counter-examples, and a journal to go on from (default: results in FOLDER)',
    },
    ...foreignArgs,
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier vnncomp benchmarks/acasxu -o acasxu', 'all of it; the same line again goes on'],
    ['espalier vnncomp benchmarks/acasxu -o acasxu --only prop_1,prop_2', 'some of it'],
  ],
  async run(context) {
    const { io, values, backend } = context;
    const { join } = await import('node:path');
    const folder = values.text('folder')!;
    const out = values.text('out') ?? join(folder, 'results');
    const seconds = values.number('timeout', real(1e-3))!;
    const nodes = values.number('nodes', whole(1));
    const seed = values.seed();
    const only = values
      .text('only')
      ?.split(',')
      .filter((text) => text !== '');
    const as = readOptions(values);
    const found = await withEngine(context, (job) =>
      backend.vnncomp(job.engine, {
        ...job,
        ...{ folder, out, seconds, as },
        ...(only && { only }),
        ...(nodes !== undefined && { nodes }),
        ...(seed !== undefined && { seed }),
      }),
    );
    if (values.on('json')) printJson(io, { folder, out, ...found });
    else {
      const columns = columnsOf(['network', 'property', 'result', 'seconds', 'nodes'], 'lllrr');
      const rows = found.rows.map((row) => [
        ...[row.network, row.property, row.result, row.seconds.toFixed(2), `${row.nodes}`],
      ]);
      print(io, renderTable({ columns, rows }));
      print(io, summaryOf(found));
    }
    const { counts, rows, wrong } = found;
    const all = counts.sat + counts.unsat === rows.length;
    return all && wrong === 0 ? EXIT.done : EXIT.badNews;
  },
};

function summaryOf({ rows, counts, wrong, seconds }: VnncompResult): string {
  const answered = counts.sat + counts.unsat;
  const rest = (['unknown', 'timeout', 'error'] as const).flatMap((key) =>
    counts[key] > 0 ? [`${counts[key]} ${key}`] : [],
  );
  const known = rows.filter(({ expected }) => expected !== undefined).length;
  const checked = known > 0 ? [`${wrong} wrong of ${known} known`] : [];
  const parts = [`${answered} of ${rows.length} answered`, ...rest, ...checked];
  return `${parts.join(', ')}; ${short(seconds)} s in all`;
}
