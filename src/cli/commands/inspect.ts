/** `espalier inspect MODEL`: what a model file holds. */
import { bytes, count, percent } from '../../report/format';
import { renderTable } from '../../report/table';
import { foreignArgs, modelArg, shared } from '../args';
import type { Inspected } from '../backend';
import { type Command, type Context, EXIT } from '../command';
import { print, printJson } from '../io';
import { readOptions, withEngine } from '../job';

export const command: Command = {
  args: { ...modelArg, ...foreignArgs, ...shared },
  examples: [
    ['espalier inspect runs/digits/pruned.safetensors', 'a table'],
    ['espalier inspect m.safetensors --json', 'the same as JSON'],
    ['espalier inspect net.onnx', 'a network of another tool'],
    ['espalier inspect w.pth --network cnn-small --input 1,28,28', 'weights of a known network'],
  ],
  async run(context) {
    const { values, backend } = context;
    const model = values.text('model')!;
    const as = readOptions(values);
    const found = await withEngine(context, (job) => backend.inspect(job.engine, model, as));
    showModel(context, found, model);
    return EXIT.done;
  },
};

/** Prints a model's layers, and where it is. */
export function showModel({ io, values }: Context, found: Inspected, file: string): void {
  if (values.on('json')) printJson(io, { file, ...found });
  else print(io, inspectionText(found, file));
}

function inspectionText(
  { network, input, layers, parameters, bytes: size, edge, format, notes = [] }: Inspected,
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
    ...notes,
    `${file}${format ? ` (${format})` : ''}: ${network}, input ${input.join('x')}, ${count(parameters)} parameters, ${bytes(size)}`,
    renderTable({ columns, rows }),
    `compact, at the edge: ${bytes(edge.decoded)} decoded, at most ${bytes(edge.peak)} to load and predict`,
  ].join('\n');
}
