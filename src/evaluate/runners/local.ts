/** Runs all spans in this process, one after the other. */
import * as v from 'valibot';
import { runner } from '../runner';

export const local = runner({
  name: 'local',
  about: 'in this process',
  options: v.strictObject({}),
  async run(work) {
    for (const span of await work.missing()) await work.evaluate(span);
  },
});
