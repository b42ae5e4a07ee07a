/**
 * Entries that share few values and move as one (Han, Mao, Dally 2016, "Deep Compression", section 3.3):
 * the leaf is the codebook.
 *
 * Deviation: a value moves by the mean of its entries' gradients, where the derivative is their sum. That is
 * the projection of the gradient onto tied weights, so that learning rates keep their meaning.
 * Cost: a gather of the entries a step, and two sums over them.
 */
import { expect } from '../../errors';
import type { Ptr } from '../../runtime/kernels';
import { div, maximum } from '../../tensor/ops/core';
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
  return record(entries, [codebook], [(g) => meanOfClusters(g, clusters, codebook.size)]);
}

/** The mean of the entries of each cluster; 0 of a cluster that has none. Not differentiated. */
function meanOfClusters(entries: Tensor, clusters: Tensor, count: number): Tensor {
  const { engine } = entries;
  const sumOf = (x: Tensor): Tensor => {
    const sums = filled(engine, [count], 0);
    engine.run('add_rows', x.size, 1, x.ptr, numbers(clusters), sums.ptr);
    return sums;
  };
  const sizes = sumOf(filled(engine, entries.shape, 1));
  return div(sumOf(entries), maximum(sizes, filled(engine, [1], 1)));
}

/** Whole numbers as the kernels take them. */
function numbers({ engine, size, ptr }: Tensor): Ptr {
  const at = engine.arena.alloc(4 * size);
  engine.memory.i32(at, size).set(engine.memory.f32(ptr, size));
  return at;
}
