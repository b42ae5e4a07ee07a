/** ONNX: 200 000 damaged files, none of which may crash, hang or fill the memory. */
import { expect, it } from 'vitest';
import { readOnnx } from '../../src/io/onnx/reader';
import { fuzz } from '../helpers/mutate';
import { onnxSeeds } from '../helpers/onnx-seeds';

it('200 000 damaged files are refused or read, quickly and in 512 MB', () => {
  const { accepted, refused, slowest } = fuzz(200_000, onnxSeeds(), (file) => readOnnx(file, 'x'));
  expect(accepted + refused).toBe(200_000);
  expect(slowest).toBeLessThan(1000);
  expect(process.resourceUsage().maxRSS).toBeLessThan(512 * 1024);
});
