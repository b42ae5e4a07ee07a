/** Every kind of hostile file, and a fair share of each. */
import { sampler } from '../random';
import type { Hostile, Kind } from './file';
import {
  compactFiles,
  npzFiles,
  onnxFiles,
  safetensorsFiles,
  strangeFiles,
  torchFiles,
} from './models';
import { longNetworks, networkFiles } from './networks';
import {
  arrayFiles,
  certificateFiles,
  cifarFiles,
  configFiles,
  idxFiles,
  runFiles,
  vnnlibFiles,
} from './others';

export const KINDS: Readonly<Record<string, Kind>> = {
  safetensors: safetensorsFiles,
  compact: compactFiles,
  onnx: onnxFiles,
  torch: torchFiles,
  npz: npzFiles,
  strange: strangeFiles,
  network: networkFiles,
  'long network': longNetworks,
  idx: idxFiles,
  cifar: cifarFiles,
  arrays: arrayFiles,
  vnnlib: vnnlibFiles,
  certificate: certificateFiles,
  config: configFiles,
  run: runFiles,
};

/**
 * `perKind` files of each kind: its traps, spread over the list where they are more, and damaged ones to
 * make up the number. The same seed gives the same files.
 */
export function hostileFiles(perKind: number, seed = 0): Hostile[] {
  return Object.entries(KINDS).flatMap(([kind, { traps, damaged }], k) => {
    const all = traps();
    const step = Math.max(1, all.length / perKind);
    const chosen = Array.from(
      { length: Math.min(perKind, all.length) },
      (_, i) => all[Math.floor((i + (seed % 97) / 97) * step) % all.length]!,
    );
    const s = sampler(1000 * seed + k);
    while (damaged && chosen.length < perKind) chosen.push(damaged(s));
    return chosen.map((file) => ({ ...file, name: `${kind}: ${file.name}` }));
  });
}

/** All traps of all kinds. */
export const allTraps = (): Hostile[] =>
  Object.entries(KINDS).flatMap(([kind, { traps }]) =>
    traps().map((file) => ({ ...file, name: `${kind}: ${file.name}` })),
  );
