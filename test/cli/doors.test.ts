/** Files after public bug reports (../shared/cases) at the doors of the command line. */
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { backend } from '../../src/cli/wiring';
import { inTemporaryFolder } from '../recipe/temporary';
import { type Outcome, run as runFake } from './fake';

const FOLDER = fileURLToPath(new URL('../../../shared/cases', import.meta.url));

/** Words of a line; those that end in a file's extension are files of the case's folder. */
const run = (folder: string, line: string): Promise<Outcome> =>
  runFake(
    line
      .split(' ')
      .map((word) =>
        existsSync(`${FOLDER}/${folder}/${word}`) ? `${FOLDER}/${folder}/${word}` : word,
      ),
    backend,
  );

const EVALUATE = '--limit 3 --attack fgsm --threads 1 --json';

describe.skipIf(!existsSync(FOLDER))('cases (skipped where ../shared is absent)', () => {
  it('prefixed-names: converted by name', () =>
    inTemporaryFolder(async (file) => {
      const line = `convert prefix_model.pth ${file('out.onnx')} --network net.json`;
      const { code, stdout } = await run('prefixed-names', line);
      expect(code).toBe(0);
      expect(stdout).toMatch(/^Took "model\." off every name of .*prefix_model\.pth\.\n/);
    }));

  it('reparametrised-weights: inspected', async () => {
    const { code, stdout } = await run(
      'reparametrised-weights',
      'inspect prune_masks.pth --network net.json --json',
    );
    expect(code).toBe(0);
    const { layers } = JSON.parse(stdout);
    for (const { weights, nonzero } of layers) expect(nonzero).toBeLessThan(weights);
  });

  it('extra-tensors: --ignore and --key are the way out', async () => {
    const lines = {
      'swa.pth': '',
      'mu_sigma.pth': '--ignore mu --ignore sigma',
      'popup.pth': '--ignore *.popup_scores',
      'list_sd.pth': '--key state_dict.1',
    };
    for (const [file, options] of Object.entries(lines)) {
      const line = `inspect ${file} --network net.json --json ${options}`.trim();
      expect(await run('extra-tensors', line), file).toMatchObject({ code: 0, stderr: '' });
      if (options === '') continue;
      const bare = await run('extra-tensors', `inspect ${file} --network net.json`);
      expect(bare).toMatchObject({ code: 2, stdout: '' });
    }
  });

  it.each(['h640.safetensors', 'h648.safetensors', 'h1152.safetensors'])(
    'safetensors-or-pickle: %s',
    async (file) => {
      const line = `inspect ${file} --network one.json --json`;
      const { stdout } = await run('safetensors-or-pickle', line);
      expect(JSON.parse(stdout)).toMatchObject({ format: 'safetensors', parameters: 2 });
    },
  );

  it.each(['keras_shape.onnx', 'flat_shape.onnx'])('image-shapes: %s', async (file) => {
    const { code, stdout } = await run(
      'image-shapes',
      `evaluate ${file} --data digits --eps 0.02 ${EVALUATE}`,
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ data: 'digits', contradictions: 0 });
  });

  it('npz-labels: arrays beside are left alone, one-hot rows read, a table named', async () => {
    const { npz } = await import('../../src/data/npz');
    const labels = async (name: string) => {
      const { train, test } = await npz.load({ path: `${FOLDER}/npz-labels/${name}` });
      return [...train.labels, ...test.labels];
    };
    const [first, ...others] = await Promise.all(
      ['extra.npz', 'obj.npz', 'onehot.npz'].map(labels),
    );
    expect(new Set(first)).toEqual(new Set([0, 1, 2]));
    for (const other of others) expect(other).toEqual(first);
    for (const file of ['onehot.npz', 'obj.npz', 'extra.npz']) {
      const line = `evaluate bin2.onnx --data npz --path ${file} --eps 0.1 ${EVALUATE}`;
      // The data have three classes, which the network does not tell apart.
      expect((await run('npz-labels', line)).stderr).toMatch(/expected 2 classes, got npz with 3/);
    }
    const table = `evaluate bin2.onnx --data npz --path README.md --eps 0.1 ${EVALUATE}`;
    expect((await run('npz-labels', table)).stderr).toMatch(/README\.md: expected an npz/);
  });

  it('gzipped-vnnlib: property and network, packed or not', () =>
    inTemporaryFolder(async (file) => {
      const plain = await run('gzipped-vnnlib', 'verify gemm2.onnx andor.vnnlib --threads 1');
      expect(plain.stdout).toContain('unsat');
      const packed = await run('gzipped-vnnlib', 'verify gemm2.onnx andor.vnnlib.gz --threads 1');
      expect(packed.stdout).toContain('unsat');
      const model = readFileSync(`${FOLDER}/gzipped-vnnlib/gemm2.onnx`);
      await writeFile(file('net.onnx.gz'), gzipSync(model));
      const both = `verify ${file('net.onnx.gz')} andor.vnnlib.gz --threads 1`;
      expect((await run('gzipped-vnnlib', both)).stdout).toContain('unsat');
    }));

  it('onnx-several-outputs: --output chooses, without it they are listed', async () => {
    const folder = 'onnx-several-outputs';
    for (const [file, names, output] of [
      ['skl_multi.onnx', 'label, probabilities', 'probabilities'],
      ['skl_binary.onnx', 'label, probabilities', 'probabilities'],
      ['twoout.onnx', 'y, z', 'y'],
      ['twoout.onnx', 'y, z', 'z'],
    ] as const) {
      const bare = await run(folder, `inspect ${file}`);
      expect(bare).toMatchObject({ code: 2, stdout: '' });
      expect(bare.stderr).toContain(`got [${names}]. Name one of them: --output NAME.`);
      const odd = await run(folder, `inspect ${file} --output nothing`);
      expect(odd).toMatchObject({ code: 2, stdout: '' });
      expect(odd.stderr).toContain(`expected one of its outputs [${names}], got nothing.`);
      const { code, stdout } = await run(folder, `inspect ${file} --output ${output} --json`);
      expect(code, file).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ format: 'onnx' });
    }
    const label = await run(folder, 'inspect skl_multi.onnx --output label');
    expect(label).toMatchObject({ code: 2, stdout: '' });
    expect(label.stderr).toContain('(ArgMax): expected a known operator, got ArgMax.');
    const inputs = await run(folder, 'inspect z_unusedinput.onnx --json');
    expect(inputs.code).toBe(0);
  });

  it('onnx-several-outputs: verify proves and disproves the output that is named', () =>
    inTemporaryFolder(async (file) => {
      const inputs = ['X_0', 'X_1', 'X_2'];
      const spec = [
        ...[...inputs, 'Y_0', 'Y_1', 'Y_2', 'Y_3'].map((name) => `(declare-const ${name} Real)`),
        ...inputs.map((name) => `(assert (and (>= ${name} 0) (<= ${name} 1)))`),
      ];
      const answers: string[] = [];
      for (const output of ['y', 'z'])
        for (const side of ['(<= Y_0 1000)', '(>= Y_0 1000)']) {
          await writeFile(file('p.vnnlib'), [...spec, `(assert ${side})`].join('\n'));
          const line = `verify twoout.onnx ${file('p.vnnlib')} --output ${output} --threads 1`;
          const { stdout, stderr } = await run('onnx-several-outputs', line);
          answers.push(stdout.match(/\b(un)?sat\b/)?.[0] ?? stderr);
        }
      expect(answers).toEqual(['sat', 'unsat', 'sat', 'unsat']);
    }));

  it('unsound: a half type is refused in words, rounding that is not folded never proved', async () => {
    const half = await run('unsound', 'verify cast16.onnx two.vnnlib --threads 1');
    expect(half).toMatchObject({ code: 2, stdout: '' });
    expect(half.stderr).toContain('The network is read and proved in float32 alone');
    const round = await run('unsound', 'verify round.onnx fold.vnnlib --threads 1 --nodes 200');
    expect(round.stdout).not.toMatch(/\bunsat\b/);
    expect(round.stdout).toMatch(/^(sat|unknown)\b/);
  });
});
