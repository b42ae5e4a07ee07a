/** ACAS Xu whole, as a benchmark folder: 93 instances at 60 seconds each on two threads, all of them right. */
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { vnncomp } from '../../src/evaluate/vnncomp';
import { load } from '../../src/runtime/engine';
import { inTemporaryFolder } from '../recipe/temporary';

const FOLDER = '../shared/goldens/acasxu';

describe.skipIf(!existsSync(FOLDER))('ACAS Xu (skipped where ../shared/goldens is absent)', () => {
  it('answers all, and none wrongly', () =>
    inTemporaryFolder(async (file) => {
      const engine = await load({ threads: 2 });
      const options = { folder: FOLDER, out: file('r'), seconds: 60, as: {} };
      const { rows, counts, wrong, seconds } = await vnncomp(engine, options);
      engine.close();
      const slowest = rows.reduce((a, b) => (a.seconds > b.seconds ? a : b));
      console.info(
        `${seconds} s in all; ${slowest.network} ${slowest.property} ${slowest.seconds} s`,
      );
      expect(rows).toHaveLength(93);
      expect(wrong).toBe(0);
      expect(rows.filter(({ result, expected }) => result !== expected)).toEqual([]);
      expect(counts.sat + counts.unsat).toBe(93);
    }));
});
