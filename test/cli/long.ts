/** Command lines of every kind that compute for long, and short ones with every kind of output. */
import { writeFile } from 'node:fs/promises';
import type { Cli } from './child';

const SPEC = (inputs: number) =>
  [
    ...Array.from({ length: inputs }, (_, i) => `(declare-const X_${i} Real)`),
    ...Array.from({ length: 10 }, (_, i) => `(declare-const Y_${i} Real)`),
    ...Array.from({ length: inputs }, (_, i) => `(assert (>= X_${i} 0))\n(assert (<= X_${i} 1))`),
    '(assert (<= Y_0 -1.5))',
    '(assert (>= Y_1 1000000))',
  ].join('\n');

/** A model trained for a moment on the embedded digits, and a property of it. */
export async function makeModel(cli: Cli, file: (name: string) => string): Promise<string> {
  const config = {
    network: { name: 'mlp', hidden: [256, 256] },
    objective: { name: 'ibp', eps: 0.03 },
    pretrain: { epochs: 1, batch: 64 },
    finetune: { epochs: 0 },
    evaluate: { attack: { name: 'pgd', steps: 2 } },
  };
  await writeFile(file('made.json'), JSON.stringify(config));
  await writeFile(file('p.vnnlib'), SPEC(64));
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
    ...['--set', 'evaluate.verifier={"name":"alpha-crown","iterations":5000}'],
  ],
  smooth: (model, file) => ['smooth', model, '--n', '100000000', '-o', file('s.jsonl')],
  bounds: (model) => ['bounds', model, '--index', '0-359', '--method', 'alpha-crown'],
  certify: (model, file) => [
    ...['certify', model, '--index', '0-359', '--eps', '0.001'],
    ...['--method', 'crown', '-o', file('certificates')],
  ],
  verify: (model, file) => ['verify', model, file('p.vnnlib'), '--timeout', '600'],
  bench: () => ['bench', '--seconds', '600'],
  'bench --fit': () => ['bench', '--fit', '--seconds', '600'],
  'inspect --plan': (model) => ['inspect', model, '--plan', '--seconds', '600'],
};
