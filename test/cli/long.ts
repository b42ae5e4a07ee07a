/** Command lines of every kind that compute for long, and short ones with every kind of output. */
import { writeFile } from 'node:fs/promises';
import type { Cli } from './child';

/** Slices of the unit box in which output 0 is above a value; each costs a search of its own. */
const SPEC = (inputs: number, slices: number): string => {
  const every = (count: number, line: (i: number) => string): string[] =>
    Array.from({ length: count }, (_, i) => line(i));
  const cases = every(
    slices,
    (i) => `(and (>= X_0 ${i / slices}) (<= X_0 ${(i + 1) / slices}) (>= Y_0 0.25))`,
  );
  return [
    ...every(inputs, (i) => `(declare-const X_${i} Real)`),
    ...every(10, (i) => `(declare-const Y_${i} Real)`),
    ...every(inputs, (i) => `(assert (>= X_${i} 0))\n(assert (<= X_${i} 1))`),
    `(assert (or ${cases.join('\n')}))`,
  ].join('\n');
};

/** A model trained for a moment on the embedded digits, and a property of it. */
export async function makeModel(
  cli: Cli,
  file: (name: string) => string,
  hidden: readonly number[] = [256, 256],
): Promise<string> {
  const config = {
    network: { name: 'mlp', hidden },
    objective: { name: 'ibp', eps: 0.03 },
    pretrain: { epochs: 1, batch: 64 },
    finetune: { epochs: 0 },
    evaluate: { attack: { name: 'pgd', steps: 2 } },
  };
  await writeFile(file('made.json'), JSON.stringify(config));
  await writeFile(file('p.vnnlib'), SPEC(64, 500));
  await writeFile(file('q.vnnlib'), SPEC(64, 4));
  await writeFile(file('instances.csv'), 'made/dense.safetensors,p.vnnlib,600\n');
  const { code, stderr } = await cli.run(['compress', file('made.json'), '-o', file('made')]);
  if (code !== 0) throw new Error(stderr);
  return file('made/dense.safetensors');
}

type Lines = Readonly<Record<string, (model: string, file: (name: string) => string) => string[]>>;

/** By name of the command; each lasts for minutes unless it is stopped. */
export const LONG: Lines = {
  compress: (_, file) => ['compress', '-o', file('long'), '--set', 'pretrain.epochs=100000'],
  train: (_, file) => [
    ...['train', file('made.json'), '-o', file('train')],
    ...['--set', 'pretrain.epochs=100000'],
  ],
  finetune: (model, file) => [
    ...['finetune', model, '-o', file('f.safetensors')],
    ...['--set', 'finetune.epochs=100000'],
  ],
  compact: (model, file) => ['compact', model, '-o', file('c.compact'), '--epochs', '100000'],
  evaluate: (model) => [
    ...['evaluate', model, '--set', 'evaluate.attack.steps=100000'],
    ...['--set', 'evaluate.batch=1000'],
  ],
  'evaluate --verify': (model, file) => [
    ...['evaluate', model, '--verify', 'alpha-crown', '--radius', '--jobs', '3', '-o', file('e')],
    ...['--set', 'evaluate.verifier={"name":"alpha-crown","steps":1000}'],
  ],
  smooth: (model, file) => ['smooth', model, '--n', '100000000', '-o', file('s.jsonl')],
  bounds: (model) => ['bounds', model, '--index', '0-359', '--method', 'crown'],
  certify: (model, file) => [
    ...['certify', model, '--index', '0-359', '--eps', '0.001'],
    ...['--method', 'crown', '-o', file('certificates')],
  ],
  verify: (model, file) => ['verify', model, file('p.vnnlib'), '--timeout', '600'],
  vnncomp: (_, file) => ['vnncomp', file('.'), '-o', file('v')],
  bench: () => ['bench', '--seconds', '600'],
  'bench --fit': () => ['bench', '--fit', '--seconds', '600'],
  'inspect --plan': (model) => ['inspect', model, '--plan', '--seconds', '600'],
};

/** By name of the command: short ones, with the file or folder each of them writes. */
export const OUTPUTS: Lines = {
  prune: (model, file) => ['prune', model, '--out', file('prune.safetensors')],
  finetune: (model, file) => [
    ...['finetune', model, '--set', 'finetune.epochs=2'],
    ...['--out', file('finetune.safetensors')],
  ],
  compact: (model, file) => ['compact', model, '--limit', '5', '--out', file('compact.compact')],
  convert: (model, file) => ['convert', model, file('convert.onnx')],
  verify: (model, file) => [
    ...['verify', model, file('q.vnnlib'), '--nodes', '20', '--timeout', '0'],
    ...['--out', file('verify.txt')],
  ],
  smooth: (model, file) => [
    ...['smooth', model, '--n', '1000', '--limit', '60', '--out', file('smooth.jsonl')],
  ],
  certify: (model, file) => [
    ...['certify', model, '--index', '0-59', '--eps', '0.001', '--method', 'interval,crown'],
    ...['--out', file('certify')],
  ],
  'evaluate --verify': (model, file) => [
    ...['evaluate', model, '--verify', 'crown-ibp', '--radius', '--jobs', '2', '--limit', '200'],
    ...['--out', file('evaluate')],
  ],
  compress: (_, file) => [
    ...['compress', '--set', 'pretrain.epochs=8', '--set', 'finetune.epochs=4'],
    ...['--set', 'evaluate.attack.steps=3', '--out', file('compress')],
  ],
};
