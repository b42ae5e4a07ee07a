/** Compact models for the tests of the edge: pruned networks, coded, and the same dense. */
import { compactFile } from '../../src/io/compact-write';
import type { Network } from '../../src/nn/graph';
import { createModel, freeModel } from '../../src/nn/model';
import { prune } from '../../src/prune/prune';
import { bitsByKind, shareWeights } from '../../src/prune/share';
import { strategies } from '../../src/prune/strategies/registry';
import type { Engine } from '../../src/runtime/engine';
import { sampler } from '../helpers/random';

/** The bytes of a pruned network whose weights share values. */
export async function compactOf(
  engine: Engine,
  network: Network,
  sparsity: number,
): Promise<Uint8Array> {
  const model = createModel(engine, network, { seed: 1 });
  await prune(model, strategies.magnitude!, {}, { sparsity, seed: 1 });
  shareWeights(model, bitsByKind(model, { conv2d: 8, dense: 5 }));
  const bytes = await compactFile(model, { network });
  freeModel(model);
  return bytes;
}

/** Numbers in [0, 1]. */
export const imageOf = (size: number, seed: number): Float32Array =>
  Float32Array.from(sampler(seed).array([size], 0, 1).data);
