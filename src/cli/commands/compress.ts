/** `espalier compress [CONFIG]`: the whole recipe into one run directory. */
import { configArgs, engineArgs, shared } from '../args';
import { type Command, type Context, EXIT } from '../command';
import { print, printJson } from '../io';
import { readConfig, withEngine } from '../job';
import { recipeSections } from '../registries';

export const command: Command = {
  args: {
    config: { type: 'positional', required: false, description: 'a JSON config (default: digits)' },
    out: {
      type: 'string',
      alias: 'o',
      valueHint: 'dir',
      description: 'run directory (default: runs/<name of the config>)',
    },
    from: {
      type: 'string',
      valueHint: 'dir',
      description:
        'a run with the same first phases, such as pre-training: they are not done again',
    },
    ...configArgs,
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier compress', 'the embedded digits, in under a minute'],
    ['espalier compress examples/mnist-ibp.json', 'a config; run it again and it resumes'],
    ['espalier compress --set prune.sparsity=0.95 --out runs/twenty', 'one key changed'],
    ['espalier compress --set objective=adversarial --out runs/adversarial', 'another plug-in'],
    [
      'espalier compress --set prune.sparsity=0.95 --from runs/dense --out runs/twenty',
      'pre-training that `espalier train` has done',
    ],
    ['espalier compress --json > summary.json', 'the summary as JSON'],
  ],
  sections: recipeSections,
  async run(context) {
    const { io, values, backend } = context;
    const { config, dir } = await openRunOf(context);
    try {
      const summary = await withEngine(context, (job) =>
        backend.compress(config, { ...job, dir, from: values.text('from') }),
      );
      if (values.on('json')) printJson(io, summary);
      else {
        const { summaryText } = await import('../../report/table');
        const { paths } = dir;
        print(io, summaryText(summary));
        print(io, ['', paths.summary, paths.report, paths.pruned].join('\n').trimEnd());
      }
      return summary.contradictions > 0 ? EXIT.badNews : EXIT.done;
    } finally {
      await dir.release();
    }
  },
};

/** The config that the arguments stand for, and its run directory, locked. */
export async function openRunOf({ values }: Context) {
  const config = await readConfig(values.text('config'), values);
  const { openRun } = await import('../../recipe/run-dir');
  const dir = await openRun(values.text('out') ?? `runs/${config.name}`, config);
  return { config, dir };
}
