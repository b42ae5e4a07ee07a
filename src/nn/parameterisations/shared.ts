/**
 * Entries that share few values and move as one (Han, Mao, Dally 2016, "Deep Compression", section 3.3):
 * the leaf is the codebook, and the gradient of a value is the sum of its entries' gradients.
 *
 * Adam's steps do not depend on that sum's size; a rate of SGD has to be small accordingly.
 * Cost: a gather of the entries a step, and a sum over them.
 */

import { expect } from '../../errors';
import type { Ptr } from '../../runtime/kernels';
import { reshape } from '../../tensor/ops/core';
import { record } from '../../tensor/tape';
import { empty, filled, type Tensor } from '../../tensor/tensor';
import type { ParameterData, ParameterisationKind } from '../parameterisation';

export const shared: ParameterisationKind = {
  about: 'few values that the entries share',
  tensors: {
    codebook: { role: 'weight', perEntry: false },
    clusters: { role: 'constant', perEntry: true },
  },
  entries: ({ codebook, clusters }) => takeValues(codebook!, clusters!),
  check({ tensors: { codebook, clusters } }, _, who) {
    const below = codebook!.length;
    const wrong = clusters!.find((c) => !Number.isInteger(c) || c < 0 || c >= below);
    expect(wrong === undefined, `${who}: clusters`, `whole numbers in [0, ${below})`, wrong);
  },
};

/** Ties the entries of a weight that are equal; those that are 0 stay so. */
export function sharedData(weight: Float32Array): ParameterData {
  const values = new Map<number, number>();
  const mask = new Uint8Array(weight.length);
  weight.forEach((w, place) => {
    mask[place] = Number(w !== 0);
    if (w !== 0 && !values.has(w)) values.set(w, values.size);
  });
  const clusters = weight.filter((w) => w !== 0).map((w) => values.get(w)!);
  const codebook = Float32Array.from(values.keys());
  return { kind: 'shared', mask, settings: {}, tensors: { codebook, clusters } };
}

/** The value of each cluster, shaped like `clusters`. */
function takeValues(codebook: Tensor, clusters: Tensor): Tensor {
  const entries = empty(codebook.engine, clusters.shape);
  const { engine, size } = entries;
  engine.run('take_rows', size, 1, codebook.ptr, numbers(clusters), entries.ptr);
  return record(entries, [codebook], [(g) => sumClusters(g, clusters, codebook.size)]);
}

/** The sum of the entries of each cluster: the transpose of `takeValues`. */
function sumClusters(entries: Tensor, clusters: Tensor, count: number): Tensor {
  const sums = filled(entries.engine, [count], 0);
  entries.engine.run('add_rows', entries.size, 1, entries.ptr, numbers(clusters), sums.ptr);
  return record(sums, [entries], [(g) => reshape(takeValues(g, clusters), entries.shape)]);
}

/** Whole numbers as the kernels take them. */
function numbers({ engine, size, ptr }: Tensor): Ptr {
  const at = engine.arena.alloc(4 * size);
  engine.memory.i32(at, size).set(engine.memory.f32(ptr, size));
  return at;
}
