/** Compact models: 200 000 damaged files, none of which may crash, hang or fill the memory. */
import { expect, it } from 'vitest';
import { readCompact } from '../../src/io/compact';
import { inflater } from '../../src/io/inflate';
import { compactSeeds } from '../helpers/format-seeds';
import { fuzz } from '../helpers/mutate';

it('200 000 damaged files are refused or read, quickly and in 512 MB', async () => {
  const inflate = await inflater();
  const { accepted, refused, slowest } = fuzz(200_000, compactSeeds(), (file) => {
    const { names, tensor } = readCompact(file, 'x', inflate, { maxBytes: 2 ** 24 });
    for (const name of names) tensor(name).values.at(-1);
  });
  expect(accepted + refused).toBe(200_000);
  expect(accepted).toBeGreaterThan(1000);
  expect(slowest).toBeLessThan(1000);
  expect(process.resourceUsage().maxRSS).toBeLessThan(512 * 1024);
});
