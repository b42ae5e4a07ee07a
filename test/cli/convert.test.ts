/** Models of other tools on the command line: convert, and every command that takes a model. */
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backend } from '../../src/cli/wiring';
import { kindOf } from '../../src/io/files';
import { kindOfModel } from '../../src/io/kind';
import { loadModel, saveModel } from '../../src/io/model';
import { createModel, type Model } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { type Engine, load } from '../../src/runtime/engine';
import { bits } from '../helpers/engine';
import { inTemporaryFolder } from '../recipe/temporary';
import { run as runFake } from './fake';

const run = (line: readonly string[]) =>
  runFake([...line, '--threads', '1'].filter(Boolean), backend);
/** Without --threads, for commands that start no engine of their own choice. */
const convert = (...line: readonly string[]) => runFake(['convert', ...line], backend);

const ZOO = ['--network', 'mlp', '--input', '1,8,8'];
let engine: Engine;
let model: Model;

beforeAll(async () => {
  engine = await load({ threads: 1 });
  model = createModel(engine, buildNetwork('mlp', {}, [1, 8, 8], 10), { seed: 5 });
});
afterAll(() => engine.close());

/** A folder with the model as m.safetensors, remembering a config. */
function withModel(test: (file: (name: string) => string) => Promise<void>): Promise<void> {
  return inTemporaryFolder(async (file) => {
    await saveModel(file('m.safetensors'), model, { config: { data: 'digits', seed: 7 } });
    await test(file);
  });
}

async function equalWeights(path: string): Promise<void> {
  const other = await loadModel(engine, path);
  for (const [name, t] of model.params)
    expect(bits(other.params.get(name)!.read()), name).toEqual(bits(t.read()));
}

describe('convert', () => {
  it('goes to NumPy and back without changing a bit', () =>
    withModel(async (file) => {
      const out = await convert(file('m.safetensors'), file('w.npz'));
      expect(out).toMatchObject({ code: 0, stderr: '' });
      expect(out.stdout).toMatch(/m\.safetensors \(espalier\) -> .*w\.npz \(npz\)\nmlp, 17,610/);
      expect(kindOfModel(await readFile(file('w.npz')))).toBe('npz');
      const back = await convert(file('w.npz'), file('n.safetensors'), ...ZOO, '--json');
      expect(JSON.parse(back.stdout)).toMatchObject({
        in: file('w.npz'),
        out: file('n.safetensors'),
        from: 'npz',
        to: 'espalier',
        notes: [],
        inspection: { network: 'mlp', parameters: 17_610 },
      });
      await equalWeights(file('n.safetensors'));
    }));

  it('goes to ONNX and back without changing a bit, the normalisation in front if asked', () =>
    withModel(async (file) => {
      const out = await convert(file('m.safetensors'), file('m.onnx'));
      expect(out).toMatchObject({ code: 0, stderr: '' });
      expect(kindOfModel(await readFile(file('m.onnx')))).toBe('onnx');
      expect(await convert(file('m.onnx'), file('n.safetensors'))).toMatchObject({ code: 0 });
      const back = await loadModel(engine, file('n.safetensors'));
      const weights = ({ params }: Model) =>
        [...params.values()].map((t) => [...t.shape, ...bits(t.read())].join()).sort();
      expect(weights(back)).toEqual(weights(model));
      const normalise = ['--mean', '0.5', '--std', '0.25', '--json'];
      const normed = await convert(file('m.onnx'), file('normed.onnx'), ...normalise);
      expect(JSON.parse(normed.stdout).inspection.parameters).toBe(17_612);
      const again = await runFake(['inspect', file('normed.onnx'), '--json'], backend);
      expect(JSON.parse(again.stdout)).toMatchObject({ format: 'onnx', input: [1, 8, 8] });
    }));

  it('keeps what a file of ours remembers', () =>
    withModel(async (file) => {
      await convert(file('m.safetensors'), file('copy.safetensors'));
      expect(await backend.recordedConfig(file('copy.safetensors'))).toMatchObject({ seed: 7 });
    }));

  it('replaces nothing unasked, and writes nothing it cannot', () =>
    withModel(async (file) => {
      await writeFile(file('there.npz'), 'precious');
      const refused = await convert(file('m.safetensors'), file('there.npz'));
      expect(refused).toMatchObject({ code: 2 });
      expect(await readFile(file('there.npz'), 'utf8')).toBe('precious');
      const forced = await convert(file('m.safetensors'), file('there.npz'), '--force');
      expect(forced.code).toBe(0);
      const odd = await convert(file('m.safetensors'), file('m.h5'));
      expect(odd.stderr).toMatch(/ends with \.safetensors, \.compact, \.onnx, \.npz, got \.h5/);
      await writeFile(file('odd.bin'), 'GGUF and more');
      const unknown = await convert(file('odd.bin'), file('o.npz'));
      expect(unknown).toMatchObject({ code: 2 });
      expect(unknown.stderr).toMatch(/starts with 47 47 55 46 .*\("GGUF and more"\): GGUF/);
      expect(await kindOf(file('o.npz'))).toBeUndefined();
    }));

  it('checks the options', () =>
    withModel(async (file) => {
      const options = [
        ['--mean 0.1', /both or none/],
        ['--mean 0.1 --std 0', /--std: expected a number/],
        ['--mean a,b --std 1', /--mean: expected numbers like 1,28,28, got a,b/],
        ['--input 1,0', /--input: expected a whole number >= 1/],
        ['--network mlp', /expected no network/],
        ['--classes x', /--classes/],
      ] as const;
      for (const [line, said] of options) {
        const { code, stderr } = await convert(
          file('m.safetensors'),
          file('o.npz'),
          ...line.split(' '),
        );
        expect(stderr).toMatch(said);
        expect(code).toBe(2);
      }
    }));
});

describe('commands on weights of other tools', () => {
  it('inspect, bounds, prune and evaluate take them', () =>
    withModel(async (file) => {
      await convert(file('m.safetensors'), file('w.npz'));
      const inspected = await runFake(['inspect', file('w.npz'), ...ZOO], backend);
      expect(inspected.stdout).toMatch(/w\.npz \(npz\): mlp, input 1x8x8, 17,610 parameters/);

      const own = ['bounds', file('m.safetensors'), '--eps', '0.01', '--json'];
      const other = [
        'bounds',
        file('w.npz'),
        ...ZOO,
        '--data',
        'digits',
        '--eps',
        '0.01',
        '--json',
      ];
      const [mine, theirs] = [await run(own), await run(other)];
      expect(JSON.parse(theirs.stdout).images).toEqual(JSON.parse(mine.stdout).images);
      const unnamed = await run(['bounds', file('w.npz'), ...ZOO]);
      expect(unnamed.stderr).toMatch(/--data: expected a data set/);

      const pruned = await run(['prune', file('w.npz'), ...ZOO, '--sparsity', '0.5']);
      expect(pruned).toMatchObject({ code: 0 });
      expect(await kindOf(file('w-pruned.safetensors'))).toBe('file');

      const line = [
        'evaluate',
        file('w.npz'),
        ...ZOO,
        '--data',
        'digits',
        '--limit',
        '5',
        '--json',
      ];
      const evaluated = await run([...line, '--attack', 'fgsm', '--mean', '0', '--std', '1']);
      expect(evaluated).toMatchObject({ code: 0 });
      expect(JSON.parse(evaluated.stdout)).toMatchObject({ data: 'digits', contradictions: 0 });
    }));

  it('tells what was matched by order', () =>
    withModel(async (file) => {
      const { writeNpz } = await import('../../src/io/npz');
      const arrays = [...model.params.values()].map(
        (t, i) =>
          [
            `l${i >> 1}.${i % 2 ? 'bias' : 'weight'}`,
            { values: t.read(), shape: t.shape },
          ] as const,
      );
      await writeFile(file('l.npz'), writeNpz(new Map(arrays)));
      const refused = await convert(file('l.npz'), file('o.safetensors'), ...ZOO);
      expect(refused).toMatchObject({ code: 2, stdout: '' });
      expect(refused.stderr).toMatch(
        /dense1\.weight \[.*\] +<- l0\.weight \[.*\]\n[\s\S]*--by-order/,
      );
      const asked = [...ZOO, '--by-order'];
      const { stdout } = await convert(file('l.npz'), file('o.safetensors'), ...asked);
      expect(stdout).toContain('matched by order and shape, not by name: dense1 <- l0');
      const pruned = await run(['prune', file('l.npz'), ...asked]);
      expect(pruned.stderr).toContain('dense1 <- l0');
      await equalWeights(file('o.safetensors'));
    }));
});
