/** Damaged PyTorch files: whole containers, and sound containers around a damaged pickle. */
import { mutate } from './mutate';
import { floats, ordered, pickle, tensor, torchLegacy, torchZip } from './pickle';
import type { Sampler } from './random';
import { torchFile } from './torch-files';

export function torchSeeds(): (s: Sampler) => Uint8Array {
  const state = pickle(
    ordered({
      a: tensor('0', 'FloatStorage', [2, 3], { strides: [1, 2] }),
      b: tensor('1', 'LongStorage', [1]),
    }),
  );
  const storages = { 0: floats(0, 1, 2, 3, 4, 5), 1: new Uint8Array(8) };
  const files = [
    torchZip(state, storages),
    torchLegacy(state, { 0: [6, storages[0]], 1: [1, storages[1]] }),
    torchFile('moduleZip'),
    torchFile('dtypesLegacy'),
    torchFile('checkpointLegacy'),
  ];
  return (s) =>
    s.whole(3) === 0
      ? torchZip(mutate(state, s), storages)
      : mutate(files[s.whole(files.length)]!, s);
}
