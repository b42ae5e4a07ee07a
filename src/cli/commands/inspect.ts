/** `espalier inspect MODEL`: what a model file holds. */
import type { Inspection } from '../../recipe/inspect';
import { bytes, count, percent } from '../../report/format';
import { renderTable } from '../../report/table';
import { modelArg, shared } from '../args';
import { type Command, type Context, EXIT } from '../command';
import { print, printJson } from '../io';
import { withEngine } from '../job';

export const command: Command = {
  args: { ...modelArg, ...shared },
  examples: [
    ['espalier inspect runs/digits/pruned.safetensors', 'a table'],
    ['espalier inspect m.safetensors --json', 'the same as JSON'],
  ],
  async run(context) {
    const model = context.values.text('model')!;
    const found = await withEngine(context, (job) => context.backend.inspect(job.engine, model));
    showModel(context, found, model);
    return EXIT.done;
  },
};

/** Prints a model's layers, and where it is. */
export function showModel({ io, values }: Context, found: Inspection, file: string): void {
  if (values.on('json')) printJson(io, { file, ...found });
  else print(io, inspectionText(found, file));
}

function inspectionText(
  { network, input, layers, parameters, bytes: size }: Inspection,
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
  const rows = layers.map((l) => [
    l.name,
    l.shape.join('x'),
    ...numbers([l.weights, l.nonzero, l.density, l.macs, l.macsNonzero]),
  ]);
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
  const columns = titles.map((title, i) => ({
    title,
    align: i < 2 ? ('left' as const) : ('right' as const),
  }));
  return [
    `${file}: ${network}, input ${input.join('x')}, ${count(parameters)} parameters, ${bytes(size)}`,
    renderTable({ columns, rows }),
  ].join('\n');
}
