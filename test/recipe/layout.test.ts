/** Networks whose input is another shape of the same image: evaluated as the network of [c, h, w] is. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fromArrays } from '../../src/data/arrays';
import type { DataSet } from '../../src/data/types';
import { outputBounds } from '../../src/evaluate/bounds';
import { evaluate } from '../../src/evaluate/evaluate';
import { sequential } from '../../src/nn/graph';
import { createModel, type Model, modelFrom } from '../../src/nn/model';
import { evaluationEps, parseConfig } from '../../src/recipe/config';
import { type Engine, load } from '../../src/runtime/engine';

const [C, H, W] = [3, 4, 5];
let engine: Engine;
let set: DataSet;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  const split = {
    images: Uint8Array.from({ length: 40 * C * H * W }, (_, i) => (i * 7919) % 256),
    labels: Uint8Array.from({ length: 40 }, (_, i) => i % 2),
  };
  set = await fromArrays({
    name: 's',
    shape: [C, H, W],
    classes: ['0', '1'],
    train: split,
    test: split,
  });
});
afterAll(() => engine.close());

it.each<[string, readonly number[], readonly number[] | null, boolean]>([
  ['channels last', [H, W, C], [2, 0, 1], true],
  ['one row of pixels', [H * W, C], [1, 0], true],
  ['joined axes', [C, H * W], null, false],
])('%s', async (_, input, order, told) => {
  const tail = [['flatten'], ['dense', { units: 2 }]] as const;
  const plain = createModel(engine, sequential('plain', [C, H, W], [...tail]), { seed: 4 });
  const front = order ? [['permute', { order }] as const] : [];
  const network = sequential('other', input, [...front, ...tail]);
  const other: Model = modelFrom(engine, network, (name) => plain.params.get(name)!.read());
  const config = parseConfig({ evaluate: { eps: 0.01, attack: 'fgsm' } }, 'test');
  const settings = { ...config.evaluate, eps: evaluationEps(config) };
  const notes: string[] = [];
  const onEvent = (event: { type: string; text?: string }): void => {
    if (event.type === 'note') notes.push(event.text ?? '');
  };
  const found = await evaluate(other, set, set.test, settings, { onEvent });
  const want = await evaluate(plain, set, set.test, settings);
  expect(found.accuracies).toEqual(want.accuracies);
  expect(found.contradictions).toBe(want.contradictions);
  expect(notes.filter((text) => text.includes('NHWC'))).toHaveLength(told ? 1 : 0);
  const job = { indices: [0, 7], eps: 0.01, method: { name: 'interval' } };
  const near = outputBounds(other, set, job).map(({ logits }) => logits);
  outputBounds(plain, set, job).forEach(({ logits }, i) => {
    logits.forEach((value, j) => {
      expect(near[i]![j]).toBeCloseTo(value, 5);
    });
  });
});
