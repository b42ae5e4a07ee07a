/**
 * Runs spans in a random order: of machines that share a folder none needs to know how many there are, and
 * each may come and go. After every tenth of what is missing it looks what the others have done meanwhile.
 *
 * Cost: what two of them begin at the same time is evaluated twice, and counts once.
 */
import * as v from 'valibot';
import { runner } from '../../src/evaluate/runner';
import { whole } from '../../src/options';
import { permutation, STREAMS } from '../../src/tensor/philox';

export const anyOrder = runner({
  name: 'any-order',
  about: 'in a random order, which `lot` draws: machines on one folder share the work',
  options: v.strictObject({ lot: v.optional(whole(0, 2 ** 32 - 1), 0) }),
  async run(work, { lot }) {
    for (let round = 0; ; round++) {
      const missing = await work.missing();
      if (missing.length === 0) return;
      const order = permutation(lot, STREAMS.shuffle, round, missing.length);
      for (const at of order.subarray(0, Math.ceil(missing.length / 10)))
        await work.evaluate(missing[at]!);
    }
  },
});
