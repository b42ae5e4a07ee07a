/** What the ONNX reader makes of every operator and attribute, with onnxruntime as the judge. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { logits } from '../../src/domain/classifier';
import { operators, readOnnx } from '../../src/io/onnx/reader';
import { freeModel, modelFrom } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { expectClose } from '../helpers/close';
import { onnxFile } from '../helpers/onnx-files';
import { installed, runOrt } from '../helpers/onnxruntime';
import { sampler } from '../helpers/random';
import { OPERATOR_CASES } from './onnx-cases';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

describe('operators', () => {
  it('all have a case', () => {
    const seen = new Set(
      OPERATOR_CASES.flatMap(({ nodes }) =>
        nodes.map(({ op, domain }) => (domain ? `${domain}.${op}` : op)),
      ),
    );
    expect(Object.keys(operators).filter((op) => !seen.has(op))).toEqual([]);
  });

  it.each(OPERATOR_CASES.map((c) => [c.title, c] as const))('%s', async (_, given) => {
    const bytes = onnxFile(given);
    const { network, weights } = readOnnx(bytes, 'made.onnx');
    if (given.layers) expect(network.nodes.map(({ layer }) => layer)).toEqual(given.layers);
    const model = modelFrom(engine, network, (name) => weights.get(name)!.values);
    const shape = given.input.map((size) => size || 1);
    const x = Float32Array.from(sampler(9).away(shape, 0.05, 1).data);
    const y = step(engine, () => logits(model, input(engine, x, [1, ...network.input])).read());
    freeModel(model);
    if (!installed) return;
    const expected = await runOrt(bytes, x, shape);
    expectClose(y, expected.data, { rel: 2e-6, abs: 2e-6 });
  });
});
