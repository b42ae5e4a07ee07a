/**
 * 2 000 random ONNX graphs of every operator that is read, of operator sets 7 to 23, in batches of 1
 * to 17: none differs from onnxruntime by more than rounding, and none is refused.
 */
import { expect, it } from 'vitest';
import { operators } from '../../src/io/onnx/reader';
import { load } from '../../src/runtime/engine';
import { compare, story } from '../helpers/onnx-compare';
import { installed } from '../helpers/onnxruntime';

const COUNT = Number(process.env.ONNX_GRAPHS ?? 2000);
const START = Number(process.env.ONNX_START ?? 10_000);

it.skipIf(!installed)(`${COUNT} random graphs agree with onnxruntime`, async () => {
  const engine = await load({ threads: 1 });
  const [seen, sets, theirs] = [new Set<string>(), new Set<number>(), new Map<string, number>()];
  let same = 0;
  for (let seed = START; seed < START + COUNT; seed++) {
    const outcome = await compare(engine, seed);
    if (outcome.kind === 'different' || outcome.kind === 'refused') expect.fail(story(outcome));
    if (outcome.kind === 'theirs') {
      const why = outcome.why.replace(/\d+/g, '#').slice(0, 160);
      theirs.set(why, (theirs.get(why) ?? 0) + 1);
      continue;
    }
    same++;
    sets.add(outcome.file.opset);
    for (const { op, domain } of outcome.file.nodes) seen.add(domain ? `${domain}.${op}` : op);
  }
  engine.close();
  console.log(`${same} of ${COUNT} agree; onnxruntime does not run, or is at fault at:`, theirs);
  expect(same).toBeGreaterThan(0.97 * COUNT);
  expect(sets.size).toBe(17);
  expect(Object.keys(operators).filter((op) => !seen.has(op))).toEqual([]);
});
