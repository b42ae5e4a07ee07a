/** Public networks as ONNX: all load, and onnxruntime computes what we compute. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { logits } from '../../src/domain/classifier';
import { readOnnx } from '../../src/io/onnx/reader';
import { freeModel, modelFrom } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { sizeOf } from '../helpers/nd';
import { installed, runOrt } from '../helpers/onnxruntime';
import { sampler } from '../helpers/random';

const GOLDENS = new URL('../../../shared/goldens/', import.meta.url);
const files = existsSync(GOLDENS)
  ? ['models', 'vnnlib'].flatMap((folder) =>
      readdirSync(new URL(folder, GOLDENS))
        .filter((name) => name.endsWith('.onnx'))
        .map((name) => `${folder}/${name}`),
    )
  : [];
if (files.length === 0) console.warn('../shared/goldens is absent: its ONNX files are skipped.');

describe.skipIf(files.length === 0)('goldens', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it('are all there', () => {
    expect(files.length).toBeGreaterThanOrEqual(22);
  });

  it.each(files)('%s', async (file) => {
    const bytes = readFileSync(new URL(file, GOLDENS));
    const { network, weights, notes } = readOnnx(bytes, file);
    expect(notes).toEqual([]);
    const model = modelFrom(engine, network, (name) => weights.get(name)!.values);
    const x = Float32Array.from(sampler(5).array(network.input, 0, 1).data);
    const y = step(engine, () => logits(model, input(engine, x, [1, ...network.input])).read());
    freeModel(model);
    expect(y.every(Number.isFinite)).toBe(true);
    if (!installed) return;
    // The sample is the model's input without its batch, if it has one.
    const shape =
      network.input.length === 1 && sizeOf(network.input) === 1 ? [1] : [1, ...network.input];
    const expected = await runOrt(bytes, x, shape);
    const tolerance = /marabou/.test(file) ? 1e-3 : 1e-4;
    for (const [i, value] of expected.data.entries())
      expect(Math.abs(y[i]! - value) / (1 + Math.abs(value)), `output ${i}`).toBeLessThan(
        tolerance,
      );
  });
});
