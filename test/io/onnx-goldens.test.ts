/** Public networks as ONNX, packed ones too: all are read, and onnxruntime computes what we compute. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readModelFile } from '../../src/io/read';
import { freeModel } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { valuesOf } from '../helpers/onnx-compare';
import { installed, runOrtFile } from '../helpers/onnxruntime';
import { sampler } from '../helpers/random';

const SHARED = fileURLToPath(new URL('../../../shared', import.meta.url));
/** Those of `cases` have a test of their own, which knows which of them are refused. */
const files = existsSync(SHARED)
  ? readdirSync(SHARED, { recursive: true, encoding: 'utf8' })
      .map((file) => file.replaceAll('\\', '/'))
      .filter((file) => /\.onnx(\.gz)?$/.test(file) && !file.startsWith('cases/'))
      .sort()
  : [];
if (files.length === 0) console.warn('../shared/goldens is absent: its ONNX files are skipped.');

describe.skipIf(files.length === 0)('goldens', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it('are all there', () => {
    const packed = files.filter((file) => file.endsWith('.gz'));
    expect(packed.length).toBeGreaterThanOrEqual(45);
    expect(files.length - packed.length).toBeGreaterThanOrEqual(25);
  });

  it.each(files)('%s', async (file) => {
    const path = `${SHARED}/${file}`;
    const { model, notes } = await readModelFile(engine, path);
    expect(notes).toEqual([]);
    const stored = readFileSync(path);
    const bytes = file.endsWith('.gz') ? gunzipSync(stored) : stored;
    const tolerance = /marabou/.test(file) ? 1e-3 : 1e-4;
    try {
      for (const seed of [5, 6, 7]) {
        const x = Float32Array.from(sampler(seed).array(model.graph.network.input, 0, 1).data);
        const y = valuesOf(engine, model, x, 1);
        expect(y.every(Number.isFinite)).toBe(true);
        if (!installed) return;
        const expected = await runOrtFile(bytes, x);
        expect(y.length).toBe(expected.length);
        for (const [i, value] of expected.entries())
          expect(Math.abs(y[i]! - value) / (1 + Math.abs(value)), `output ${i}`).toBeLessThan(
            tolerance,
          );
      }
    } finally {
      freeModel(model);
    }
  });
});
