/** `espalier inspect MODEL`: what a model file holds. */

import { expect } from '../../errors';
import type { PlanView } from '../../measure/plan-view';
import { choice, parseOptions, real, whole } from '../../options';
import { bytes, count, percent, rate, ratio } from '../../report/format';
import { sensitivityTable, sensitivityText } from '../../report/sensitivity';
import { columnsOf, renderTable } from '../../report/table';
import { configArgs, dataArgs, foreignArgs, modelArg, shared, type Values } from '../args';
import type { Inspected, PlanJob } from '../backend';
import { type Command, type Context, EXIT } from '../command';
import { print, printJson } from '../io';
import { freeOutput, modelConfig, readOptions, withEngine } from '../job';

export const command: Command = {
  args: {
    ...modelArg,
    plan: {
      type: 'boolean',
      description: 'how its layers run, dense and over their non-zeros, measured here and now',
    },
    batch: {
      type: 'string',
      valueHint: 'n',
      default: '16',
      description: 'images of a run (--plan)',
    },
    seconds: {
      type: 'string',
      valueHint: 's',
      default: '2',
      description: 'time for runs (--plan)',
    },
    costs: {
      type: 'string',
      valueHint: 'file',
      description: 'what forms cost here, from bench --fit (--plan; default: as shipped)',
    },
    sensitivity: {
      type: 'string',
      valueHint: 'score',
      description:
        'held-out accuracy as each layer loses the filters of the smallest score: l1, geometric-median or batch-norm',
    },
    page: { type: 'string', valueHint: 'file', description: 'of --sensitivity: charts as HTML' },
    force: { type: 'boolean', description: 'of --page: replace the file if it exists' },
    ...dataArgs,
    ...configArgs,
    ...foreignArgs,
    ...shared,
  },
  examples: [
    ['espalier inspect runs/digits/pruned.safetensors', 'a table'],
    ['espalier inspect m.safetensors --json', 'the same as JSON'],
    ['espalier inspect m.safetensors --plan --batch 64 --threads 1', 'what its zeros are worth'],
    [
      'espalier inspect runs/digits/dense.safetensors --sensitivity l1 --page scan.html',
      'which layers can do without filters',
    ],
    ['espalier inspect net.onnx', 'a network of another tool'],
    ['espalier inspect w.pth --network cnn-small --input 1,28,28', 'weights of a known network'],
  ],
  async run(context) {
    const { values, backend } = context;
    const model = values.text('model')!;
    const as = readOptions(values);
    if (values.text('sensitivity') !== undefined) return scan(context);
    for (const name of ['page', 'data', 'path', 'set'])
      expect(values.all(name).length === 0, `--${name}`, '--sensitivity with it', 'none');
    const plan = planJob(values);
    const found = await withEngine(context, ({ engine }) =>
      backend.inspect(engine, model, as, plan),
    );
    showModel(context, found, model);
    return EXIT.done;
  },
};

/** `--sensitivity`: the scan alone. */
async function scan(context: Context): Promise<number> {
  const { io, values, backend } = context;
  const { CHANNEL_SCORES } = await import('../../prune/channel-scores');
  const score = parseOptions(choice(CHANNEL_SCORES), values.text('sensitivity'), '--sensitivity');
  expect(!values.on('plan'), '--sensitivity', 'no --plan with it', 'both');
  const model = values.text('model')!;
  const page = values.text('page');
  const file = page === undefined ? {} : await freeOutput(page, values, [model]);
  const config = await modelConfig(context, []);
  const as = readOptions(values);
  const found = await withEngine(context, (job) =>
    backend.sensitivity(job.engine, { ...job, ...file, model, as, config, score }),
  );
  if (values.on('json')) printJson(io, { model, ...(page !== undefined && { page }), ...found });
  else
    print(
      io,
      [
        `${model}: ${sensitivityText(found)}`,
        renderTable(sensitivityTable(found)),
        ...(page === undefined ? [] : [`charts: ${page}`]),
      ].join('\n'),
    );
  return EXIT.done;
}

/** Job of `--plan`; its options alone are an error. */
function planJob(values: Values): PlanJob | undefined {
  const costs = values.text('costs');
  if (values.on('plan'))
    return {
      batch: values.number('batch', whole(1, 65_536))!,
      seconds: values.number('seconds', real(0, 3600))!,
      ...(costs !== undefined && { costs }),
    };
  for (const name of ['batch', 'seconds', 'costs'])
    expect(values.all(name).length === 0, `--${name}`, '--plan with it', 'none');
  return undefined;
}

/** Prints a model's layers, and where it is. */
export function showModel({ io, values }: Context, found: Inspected, file: string): void {
  if (values.on('json')) printJson(io, { file, ...found });
  else print(io, inspectionText(found, file));
}

/** Layers a table shows: more than a screen holds, and few enough to scroll. */
const MOST_LAYERS = 80;

function inspectionText(
  { network, input, layers, parameters, bytes: size, edge, format, notes = [], plan }: Inspected,
  file: string,
): string {
  const sum = (key: 'weights' | 'nonzero' | 'macs' | 'macsNonzero') =>
    layers.reduce((total, layer) => total + layer[key], 0);
  const [weights, nonzero] = [sum('weights'), sum('nonzero')];
  const numbers = (n: readonly [number, number, number, number, number]) => [
    count(n[0]),
    count(n[1]),
    percent(n[2]),
    count(n[3]),
    count(n[4]),
  ];
  const rows = layers
    .slice(0, MOST_LAYERS)
    .map((l) => [
      l.name,
      l.shape.join('x'),
      ...numbers([l.weights, l.nonzero, l.density, l.macs, l.macsNonzero]),
    ]);
  const more = layers.length - rows.length;
  if (more > 0) rows.push([`... ${count(more)} more (--json)`, '', '', '', '', '', '']);
  const density = weights === 0 ? 1 : nonzero / weights;
  rows.push(['all', '', ...numbers([weights, nonzero, density, sum('macs'), sum('macsNonzero')])]);
  const titles = [
    'layer',
    'shape',
    'weights',
    'non-zero',
    'density',
    'multiply-adds',
    'on non-zeros',
  ];
  const columns = columnsOf(titles, 'llr');
  return [
    ...notes,
    `${file}${format ? ` (${format})` : ''}: ${network}, input ${input.join('x')}, ${count(parameters)} parameters, ${bytes(size)}`,
    renderTable({ columns, rows }),
    `compact, at the edge: ${bytes(edge.decoded)} decoded, at most ${bytes(edge.peak)} to load and predict`,
    ...(plan ? [planText(plan)] : []),
  ].join('\n');
}

const PLANS = { dense: 'dense', sparse: 'over non-zeros' };

function planText({ batch, threads, runs, chosen, faster, layers, ...plans }: PlanView): string {
  const time = (microseconds: number): string => rate(microseconds);
  const rows = layers
    .slice(0, MOST_LAYERS)
    .map((layer) => [
      layer.name,
      layer.form,
      bytes(layer[chosen].bytes),
      ...(layer.macs === 0 ? ['', ''] : [count(layer.macs), count(layer.macsNonzero)]),
      layer.dense.form,
      time(layer.dense.microseconds),
      layer.sparse.form,
      time(layer.sparse.microseconds),
    ]);
  const { dense, sparse } = plans;
  const sum = (key: 'macs' | 'macsNonzero') => count(layers.reduce((n, one) => n + one[key], 0));
  const whole = [bytes(plans[chosen].bytes), sum('macs'), sum('macsNonzero')];
  const times = (key: 'copies' | 'microseconds') =>
    [dense, sparse].flatMap((side) => ['', time(side[key])]);
  const more = layers.length - rows.length;
  if (more > 0) rows.push([`... ${count(more)} more (--json)`, '', '', '', '', '', '', '', '']);
  rows.push(['copies', '', '', '', '', ...times('copies')]);
  rows.push(['all', '', ...whole, ...times('microseconds')]);
  const titles = ['layer', 'form', 'bytes', 'multiply-adds', 'on non-zeros', 'dense', 'µs'];
  const columns = columnsOf([...titles, PLANS.sparse, 'µs'], 'llrrrlrlr');
  const other = faster === 'dense' ? 'sparse' : 'dense';
  const gain = ratio(plans[other].microseconds, plans[faster].microseconds);
  const here = `Measured: ${PLANS[faster]} takes ${rate(plans[faster].microseconds)} µs, ${PLANS[other]} ${gain} that.`;
  const advice =
    chosen === faster
      ? ''
      : ` By its costs a plan would be ${PLANS[chosen]}; espalier bench --fit measures those of this machine.`;
  return [
    `plan of ${batch === 1 ? '1 image' : `${batch} images`}: ${PLANS[chosen]} (${threads === 1 ? '1 thread' : `${threads} threads`}, the least of ${runs} runs each, in turns)`,
    renderTable({ columns, rows }),
    here + advice,
  ].join('\n');
}
