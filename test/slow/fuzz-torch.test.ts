/** PyTorch: 200 000 damaged files, none of which may crash, hang or fill the memory. */
import { expect, it } from 'vitest';
import { readTorch } from '../../src/io/torch/read';
import { fuzz } from '../helpers/mutate';
import { torchSeeds } from '../helpers/torch-seeds';

it('200 000 damaged files are refused or read, quickly and in 512 MB', () => {
  const { accepted, refused, slowest } = fuzz(200_000, torchSeeds(), (file) =>
    // Values are made when asked for.
    [...readTorch(file, 'x').tensors.values()].map(({ values }) => values.length),
  );
  expect(accepted + refused).toBe(200_000);
  expect(slowest).toBeLessThan(1000);
  expect(process.resourceUsage().maxRSS).toBeLessThan(512 * 1024);
});
