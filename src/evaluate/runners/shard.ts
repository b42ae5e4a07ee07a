/** Runs the share of one of several processes, which may be on other machines: every count-th span. */
import * as v from 'valibot';
import { expect } from '../../errors';
import { whole } from '../../options';
import { runner } from '../runner';

export const shard = runner({
  name: 'shard',
  about: 'the spans of process `index` of `count`',
  options: v.strictObject({
    index: v.optional(whole(), 0),
    count: v.optional(whole(1), 1),
  }),
  async run(work, { index, count }) {
    expect(index < count, 'shard: index', `one below ${count}`, index);
    const mine = (await work.missing()).filter(({ number }) => number % count === index);
    for (const span of mine) await work.evaluate(span);
  },
});
