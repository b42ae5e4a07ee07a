/** A sweep from its plan to its result: `sweep.json` and `report.html` in its folder. */
import { makeFolder, writeAtomic } from '../../io/files';
import { takeLock } from '../../io/lock';
import { renderSweep } from '../../report/sweep-html';
import type { SweepResult } from '../../report/sweep-types';
import { executeSweep, type SweepOptions } from './execute';
import type { Plan } from './plan';
import { sweepResult } from './result';

const WORDS = { where: 'in this folder of a sweep', instead: 'choose another folder with --out' };

/**
 * Does what is not done of a sweep and writes its result. A report that cannot be made is a fault that is
 * told. Raises Interrupted at a signal; the same call goes on.
 */
export async function sweep(plan: Plan, options: SweepOptions): Promise<SweepResult> {
  const { join } = await import('node:path');
  const { dir, onEvent } = options;
  await makeFolder(dir);
  const release = await takeLock(join(dir, 'lock'), WORDS);
  try {
    const faults = await executeSweep(plan, options);
    const result = await sweepResult(plan, dir, faults);
    await writeAtomic(join(dir, 'sweep.json'), `${JSON.stringify(result, null, 2)}\n`);
    const page = join(dir, 'report.html');
    try {
      await writeAtomic(page, await renderSweep(result));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      onEvent?.({ type: 'fault', text: `${page}: expected to make the report, got: ${why}` });
    }
    return result;
  } finally {
    await release();
  }
}
