/** All pools of the table: see test/io/onnx-pools.test.ts. */
import { expect, it } from 'vitest';
import { load } from '../../src/runtime/engine';
import { FAULTS } from '../helpers/onnx-compare';
import { installed } from '../helpers/onnxruntime';
import { comparePools, poolTable } from '../helpers/pool-table';

it('all pools agree with the standard and with onnxruntime', async () => {
  const engine = await load({ threads: 1 });
  const cases = poolTable();
  const { wrong, unlisted, faults } = await comparePools(engine, cases);
  engine.close();
  console.log(`${cases.length} pools; onnxruntime is at fault at:`, faults);
  expect(wrong.slice(0, 5)).toEqual([]);
  expect(unlisted.slice(0, 5)).toEqual([]);
  // What is listed is met: no fault stays listed after it is mended.
  if (installed) expect([...faults.keys()].sort()).toEqual(FAULTS.map(({ what }) => what).sort());
});
