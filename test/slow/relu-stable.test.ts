/** The verifier branch-and-bound against complete verdicts of another solver: the first 200 MNIST images of relu_stable. */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readModelFile } from '../../src/io/read';
import { freezeSparsity } from '../../src/nn/freeze';
import { lower } from '../../src/nn/lower';
import { type Engine, load } from '../../src/runtime/engine';
import { branchAndBound } from '../../src/verify/verifiers/branch-and-bound';
import { FOLDER, images } from '../goldens/goldens';

const RECORD = `${FOLDER}/relu_stable/mnist.json`;
const PRESENT = existsSync(RECORD);
const COUNT = 200;

if (!PRESENT) it.skip('skipped: ../shared/goldens/relu_stable is absent', () => undefined);

describe.skipIf(!PRESENT)('relu_stable, MNIST, eps 0.1', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it(`the first ${COUNT} images: none contradicts, all but two are decided`, async () => {
    const { verdict, predicted } = JSON.parse(readFileSync(RECORD, 'utf8'));
    const file = `${FOLDER}/relu_stable/relustable_mnist.onnx`;
    const model = freezeSparsity(lower((await readModelFile(engine, file, {})).model));
    const { pixels, labels } = await images('mnist', [...Array(COUNT).keys()]);
    const found = branchAndBound.verify(
      { model, images: pixels, labels, eps: 0.1 },
      { nodes: 1500 },
    );
    const wrong = found.flatMap((one, i) => {
      const isRobust = verdict[i] === 'p' && predicted[i] === String(labels[i]);
      return one.verdict === (isRobust ? 'falsified' : 'certified') ? [i] : [];
    });
    expect(wrong).toEqual([]);
    expect(found.filter((one) => one.verdict === 'unknown').length).toBeLessThanOrEqual(2);
  });
});
