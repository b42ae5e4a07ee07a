/** `espalier sweep CONFIG`: many runs in one folder, compared. */
import { whole } from '../../options';
import type { JobEstimate } from '../../recipe/sweep/estimate';
import type { Plan } from '../../recipe/sweep/plan';
import { duration, short } from '../../report/format';
import { columnsOf, renderTable, type Table } from '../../report/table';
import { configArgs, engineArgs, shared } from '../args';
import type { Hooks } from '../backend';
import { type Command, type Context, EXIT } from '../command';
import { print, printJson } from '../io';
import { withEngine } from '../job';
import { createProgress } from '../progress';
import { recipeSections } from '../registries';
import { inProcesses } from '../run-process';

export const command: Command = {
  args: {
    config: { type: 'positional', required: true, description: 'a JSON config of a sweep' },
    out: {
      type: 'string',
      alias: 'o',
      valueHint: 'dir',
      description: 'folder of the sweep (default: runs/<name of the config>)',
    },
    jobs: {
      type: 'string',
      valueHint: 'n',
      description: 'runs at a time, each a process (default: one a processor)',
    },
    'dry-run': {
      type: 'boolean',
      description: 'print the runs, their multiply-adds and the time they should take, do none',
    },
    ...configArgs,
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier sweep examples/sweep-digits.json --dry-run', 'what it would do, and how long'],
    ['espalier sweep examples/sweep-digits.json', 'all of it; run it again and it resumes'],
    ['espalier sweep s.json --jobs 4 --set pretrain.epochs=10', 'one key of the base changed'],
  ],
  sections: async () => [
    {
      title: 'KEYS OF THE CONFIG',
      lines: [
        ['name, base', 'of the sweep; a config as compress takes it, for every run'],
        ['networks, objectives, strategies', 'lists of what base names once'],
        ['controls, sparsities, seeds', 'lists of prune.control, prune.sparsity, seed'],
        ['grid', 'lists of any other keys: {"pretrain.epochs": [10, 20]}'],
      ],
    },
    ...(await recipeSections()),
  ],
  async run(context) {
    const { values } = context;
    const plan = await planOf(context);
    const jobs = values.number('jobs', whole(1, 256)) ?? (await processors());
    return values.on('dry-run') ? estimate(context, plan, jobs) : sweep(context, plan, jobs);
  },
};

async function planOf({ values }: Context): Promise<Plan> {
  const { readJson } = await import('../../io/files');
  const { parseSweep } = await import('../../recipe/sweep/config');
  const { planSweep } = await import('../../recipe/sweep/plan');
  const path = values.text('config')!;
  const seed = values.seed();
  const sets = [...values.all('set'), ...(seed === undefined ? [] : [`seed=${seed}`])];
  return planSweep(await parseSweep(await readJson(path), path, sets));
}

async function processors(): Promise<number> {
  const os = await import('node:os');
  return Math.min(64, os.availableParallelism());
}

async function sweep(context: Context, plan: Plan, jobs: number): Promise<number> {
  const { io, values, backend, faults } = context;
  const dir = values.text('out') ?? `runs/${plan.name}`;
  const progress = await createProgress(io, values.on('json'));
  const hooks: Hooks = {
    onEvent: (event) => {
      if (event.type === 'fault') faults.push(event.text);
      progress.listener(event);
    },
    signal: {
      get aborted() {
        return io.asked() !== 0;
      },
    },
  };
  try {
    const executor = inProcesses({
      self: io.self ?? [],
      options: await optionsOf(context, jobs),
      signal: hooks.signal,
    });
    const result = await backend.sweep(plan, { dir, jobs, executor, ...hooks });
    progress.stop();
    if (values.on('json')) printJson(io, result);
    else {
      const { sweepText } = await import('../../report/sweep');
      print(io, sweepText(result));
      print(io, `\n${dir}/sweep.json\n${dir}/report.html`);
    }
    const bad = result.runs.some((run) => run.error !== null || run.result!.contradictions > 0);
    return bad ? EXIT.badNews : EXIT.done;
  } finally {
    progress.stop();
  }
}

/** Options of each process: processors are shared out, unless --threads says otherwise. */
async function optionsOf({ values }: Context, jobs: number): Promise<string[]> {
  const share = Math.max(1, Math.min(8, Math.floor((await processors()) / jobs)));
  const { threads, binary } = values.engine();
  return ['--threads', `${threads === 'auto' ? share : threads}`, '--binary', binary];
}

async function estimate(context: Context, plan: Plan, jobs: number): Promise<number> {
  const { io, values, backend } = context;
  const found = await withEngine(context, (job) => backend.estimate(job.engine, plan, job), 1);
  const seconds = found.reduce((sum, one) => sum + one.seconds, 0) / jobs;
  if (values.on('json')) {
    const faulty = plan.rows.flatMap(({ labels, seed, error }) =>
      error === null ? [] : [{ labels, seed, error }],
    );
    const list = found.map(({ job: { kind, dir, after }, ...rest }) => ({
      ...{ dir, kind, after: after?.dir ?? null },
      ...rest,
    }));
    printJson(io, { name: plan.name, runs: plan.rows.length, jobs: list, faulty, seconds });
  } else {
    print(io, renderTable(estimateTable(found, plan)));
    const about = `${jobs} at a time; training alone counts its passes as three forward ones`;
    print(io, `about ${duration(seconds)} on this machine: ${about}. Nothing was begun.`);
  }
  const bad = plan.rows.some(({ error }) => error) || found.some(({ error }) => error);
  return bad ? EXIT.badNews : EXIT.done;
}

function estimateTable(found: readonly JobEstimate[], { rows }: Plan): Table {
  const lines = found.map(({ job, operations, seconds, error }) => [
    job.dir,
    job.after?.dir ?? '',
    short(operations / 1e9),
    error ?? duration(seconds),
  ]);
  const faulty = rows.flatMap(({ labels, seed, error }) => {
    if (error === null) return [];
    const about = Object.values(labels).filter((one) => one !== 'none');
    return [[[...about, `s${seed}`].join('-'), '', '', error]];
  });
  return {
    columns: columnsOf(['job', 'begins with', 'G multiply-adds', 'one thread'], 'llrr'),
    rows: [...lines, ...faulty],
  };
}
