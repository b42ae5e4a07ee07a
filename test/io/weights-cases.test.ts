/**
 * Files of weights after public bug reports (../shared/cases): prefixes, pruned and reparametrised
 * weights, tensors beside the weights, several state dicts. Outputs against those of PyTorch.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { logits } from '../../src/domain/classifier';
import { type ReadOptions, readModelFile } from '../../src/io/read';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';

const FOLDER = fileURLToPath(new URL('../../../shared/cases', import.meta.url));
const PRESENT = existsSync(FOLDER);

interface Reference {
  readonly x: readonly number[];
  readonly y: readonly number[];
}

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const json = <T>(path: string): T => JSON.parse(readFileSync(`${FOLDER}/${path}`, 'utf8')) as T;

const open = (folder: string, file: string, options: ReadOptions = {}) =>
  readModelFile(engine, `${FOLDER}/${folder}/${file}`, {
    network: `${FOLDER}/${folder}/net.json`,
    ...options,
  });

async function outputs(folder: string, file: string, x: readonly number[], as: ReadOptions = {}) {
  const { model } = await open(folder, file, as);
  const images = Float32Array.from(x);
  return step(engine, () => logits(model, input(engine, images, [x.length / 4, 4])).read());
}

const refusal = (folder: string, file: string, options?: ReadOptions): Promise<string> =>
  open(folder, file, options).then(
    () => expect.fail('opened'),
    (error: Error) => error.message,
  );

function expectClose(found: Float32Array, { y }: Reference): void {
  expect(found).toHaveLength(y.length);
  y.forEach((value, i) => {
    expect(Math.abs(found[i]! - value)).toBeLessThan(1e-6);
  });
}

describe.skipIf(!PRESENT)('cases (skipped where ../shared is absent)', () => {
  it.each(['plain', 'prefix_model', 'prefix_orig_mod'])('prefixed-names: %s', async (name) => {
    const reference = json<Reference>('prefixed-names/ref.json');
    const { notes } = await open('prefixed-names', `${name}.pth`);
    if (name !== 'plain') expect(notes.join()).toMatch(/Took "(model|_orig_mod)\." off every name/);
    expectClose(await outputs('prefixed-names', `${name}.pth`, reference.x), reference);
  });

  it.each(['prune_masks', 'weight_norm', 'spectral_norm'])(
    'reparametrised-weights: %s',
    async (name) => {
      const reference = json<Record<string, Reference>>('reparametrised-weights/ref.json')[name]!;
      expectClose(await outputs('reparametrised-weights', `${name}.pth`, reference.x), reference);
    },
  );

  it('extra-tensors: the counter of averaged models is left out, "module." taken off', async () => {
    const { notes } = await open('extra-tensors', 'swa.pth');
    expect(notes.join()).toContain('Took "module." off every name');
  });

  it.each([
    ['mu_sigma', ['mu', 'sigma'], /mu \[.*left over \(a constant of input normalisation/],
    ['popup', ['*.popup_scores'], /popup_scores.*left over \(scores of pruning/],
    ['list_sd', ['state_dict.1.*'], /2, under the keys state_dict\.0, state_dict\.1\..*--key/],
  ])('extra-tensors: %s is refused by name, and read without what is ignored', async (...args) => {
    const [name, ignore, said] = args;
    const message = await refusal('extra-tensors', `${name}.pth`);
    expect(message).toMatch(said);
    expect(message).toContain('--ignore PATTERN');
    const { model } = await open('extra-tensors', `${name}.pth`, { ignore });
    expect(model.params.size).toBe(4);
    expect(await refusal('extra-tensors', `${name}.pth`, { ignore: ['nothing*'] })).toMatch(
      /ignore: expected a pattern of its tensors, got nothing\*, which fits none of/,
    );
  });

  it('extra-tensors: the state dict of a key that is chosen', async () => {
    const weights = await Promise.all(
      ['state_dict.0', 'state_dict.1'].map(async (key) => {
        const { model, notes } = await open('extra-tensors', 'list_sd.pth', { key });
        expect(notes.join()).toContain(`Read what is under "${key}"`);
        return [...model.params.get('fc1.weight')!.read()];
      }),
    );
    expect(weights[0]).not.toEqual(weights[1]);
    expect(await refusal('extra-tensors', 'list_sd.pth', { key: 'ema' })).toMatch(
      /tensors under the key ema, got none\. Keys with tensors: state_dict, state_dict\.0/,
    );
  });

  it.each(['h640.safetensors', 'h648.safetensors', 'h1152.safetensors'])(
    'safetensors-or-pickle: %s',
    async (name) => {
      const network = `${FOLDER}/safetensors-or-pickle/one.json`;
      const { format, model } = await open('safetensors-or-pickle', name, { network });
      expect(format).toBe('safetensors');
      expect(model.params.size).toBe(2);
    },
  );

  it('safetensors-or-pickle: fc.compact', async () => {
    const path = `${FOLDER}/safetensors-or-pickle/fc.compact`;
    expect((await readModelFile(engine, path)).format).toBe('compact');
  });
});
