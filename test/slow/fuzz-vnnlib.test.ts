/** VNN-LIB: 200 000 damaged files, none of which may crash, hang or fill the memory. */
import { expect, it } from 'vitest';
import { parseVnnlib } from '../../src/io/vnnlib';
import { vnnlibSeeds } from '../helpers/format-seeds';
import { fuzz } from '../helpers/mutate';

it('200 000 damaged files are refused or read, quickly and in 512 MB', () => {
  const { accepted, refused, slowest } = fuzz(200_000, vnnlibSeeds(), (file) =>
    parseVnnlib(file, 'x'),
  );
  expect(accepted + refused).toBe(200_000);
  expect(slowest).toBeLessThan(1000);
  expect(process.resourceUsage().maxRSS).toBeLessThan(512 * 1024);
});
