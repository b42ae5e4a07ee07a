/** Random ONNX graphs: what onnxruntime computes is what we compute. More of them in test/slow. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { compare, story } from '../helpers/onnx-compare';
import { installed } from '../helpers/onnxruntime';

describe.skipIf(!installed)('random graphs', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it('agree with onnxruntime', async () => {
    let same = 0;
    for (let seed = 0; seed < 200; seed++) {
      const outcome = await compare(engine, seed);
      if (outcome.kind === 'different' || outcome.kind === 'refused') expect.fail(story(outcome));
      if (outcome.kind === 'same') same++;
    }
    expect(same).toBeGreaterThan(190);
  });
});
