/** ONNX files after those of the world: what is read is what onnxruntime computes; the rest is refused in words. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { filesBeside } from '../../src/io/onnx/external';
import { readOnnx } from '../../src/io/onnx/reader';
import { freeModel, modelFrom } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { difference, valuesOf } from '../helpers/onnx-compare';
import { installed, runOrtFile } from '../helpers/onnxruntime';
import { sampler } from '../helpers/random';

const CASES = new URL('../../../shared/cases/', import.meta.url);
const present = existsSync(CASES);
if (!present) console.warn('../shared/cases is absent: its ONNX files are skipped.');

const PRECISION = 'The network is read and proved in float32 alone';
/** Files that are refused, and the words. */
const REFUSED: Readonly<Record<string, string>> = {
  'onnx-input-forms/fp16_cast.onnx': PRECISION,
  'onnx-several-outputs/skl_binary.onnx':
    'expected one output, got [label, probabilities]. Name one of them: --output NAME.',
  'onnx-several-outputs/skl_multi.onnx':
    'expected one output, got [label, probabilities]. Name one of them: --output NAME.',
  'onnx-several-outputs/twoout.onnx': 'expected one output, got [y, z]. Name one of them',
  'unsound/cast16.onnx': PRECISION,
};

const files = present
  ? readdirSync(CASES).flatMap((folder) =>
      folder.endsWith('.md')
        ? []
        : readdirSync(new URL(folder, CASES))
            .filter((name) => name.endsWith('.onnx'))
            .map((name) => `${folder}/${name}`),
    )
  : [];

/** Files that onnxruntime refuses, and what else judges them. */
const UNRUN = ['same-padding-dilation/dil_same.onnx'];

describe.skipIf(!present)('cases', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  const read = async (file: string, output?: string) => {
    const path = new URL(file, CASES);
    const external = await filesBeside(path.pathname, 2 ** 31);
    return readOnnx(readFileSync(path), file, { external, ...(output && { output }) });
  };

  /** Our values of the file for a batch of its input, and the input. */
  const run = async (file: string, output?: string, seed = 3) => {
    const { network, weights, leftOut } = await read(file, output);
    const x = Float32Array.from(sampler(seed).array(network.input, -1, 1).data);
    const model = modelFrom(engine, network, (name) => weights.get(name)!.values);
    const y = valuesOf(engine, model, x, 1);
    freeModel(model);
    return { x, y: leftOut ? share(y, leftOut) : y, network };
  };

  /** What a softmax that was left out makes of the outputs. */
  const share = (y: Float32Array, leftOut: string): Float32Array => {
    const total = y.reduce((sum, v) => sum + Math.exp(v), 0);
    return y.map((v) => (leftOut === 'softmax' ? Math.exp(v) / total : v - Math.log(total)));
  };

  it('are all there', () => {
    expect(files.length).toBeGreaterThanOrEqual(38);
    expect([...Object.keys(REFUSED), ...UNRUN].filter((file) => !files.includes(file))).toEqual([]);
  });

  it.each(files.filter((file) => !REFUSED[file]))(
    '%s computes what onnxruntime does',
    async (file) => {
      for (const seed of [3, 4, 5]) {
        const { x, y } = await run(file, undefined, seed);
        expect(y.every(Number.isFinite)).toBe(true);
        if (!installed || UNRUN.includes(file)) return;
        const theirs = await runOrtFile(new URL(file, CASES).pathname, x);
        expect(difference(y, theirs)).toBeUndefined();
      }
    },
  );

  it.each(Object.entries(REFUSED))('%s is refused in words', async (file, words) => {
    await expect(read(file)).rejects.toThrow(words);
  });

  it.each([
    ['skl_binary.onnx', 'probabilities'],
    ['skl_multi.onnx', 'probabilities'],
    ['twoout.onnx', 'y'],
    ['twoout.onnx', 'z'],
    ['skl_multi.onnx', 'a1'],
  ])('%s gives its output %s', async (name, output) => {
    const file = `onnx-several-outputs/${name}`;
    const { x, y } = await run(file, output);
    const outputs = output === 'a1' ? undefined : output;
    if (!installed || !outputs) return expect(y.length).toBe(3);
    expect(
      difference(y, await runOrtFile(new URL(file, CASES).pathname, x, outputs)),
    ).toBeUndefined();
  });

  it('name the outputs there are for one that is not', async () => {
    const file = 'onnx-several-outputs/skl_multi.onnx';
    await expect(read(file, 'probability')).rejects.toThrow(
      'expected one of its outputs [label, probabilities], got probability. Did you mean "probabilities"?',
    );
    await expect(read(file, 'label')).rejects.toThrow(
      '(ArgMax): expected a known operator, got ArgMax.',
    );
  });

  it('pads a dilated convolution by itself as explicit pads do', async () => {
    const [own, told] = await Promise.all(
      ['dil_same', 'dil_expl'].map((name) => run(`same-padding-dilation/${name}.onnx`)),
    );
    expect(own!.y).toEqual(told!.y);
  });

  it('keep arithmetic that rounds apart', async () => {
    const { network, weights } = await read('unsound/round.onnx');
    expect(network.nodes.map(({ layer }) => layer)).toEqual(['dense', 'scale', 'scale']);
    expect([...weights.get('y.shift')!.values]).toEqual([-12582912, -0]);
  });
});
