/**
 * Weight sharing (Han, Mao, Dally 2016, "Deep Compression", section 3): the weights of a layer take
 * one of 2^bits values, found by k-means from a linear start.
 *
 * Deviations: zeros stay zeros and take no value. The two signs are clustered apart, each from a
 * linear start over its own range, with values in proportion to the ranges: pruning leaves a gap
 * around 0 in which a start over the whole range would waste most of them, and so no weight changes
 * its sign or becomes zero. Layers of no more different weights than values are left as they are.
 * Cost: a sort of the weights, then k binary searches a round.
 */
import { expect } from '../errors';
import { paramSpecs } from '../nn/graph';
import type { Model } from '../nn/model';

/** Bits a weight, by parameter; parameters that are not named stay as they are. */
export type Bits = ReadonlyMap<string, number>;

const MAX_ROUNDS = 1000;

/**
 * Centroids, ascending float32, of at most k clusters of `values` (finite): Lloyd's rounds from k
 * centroids spread evenly over the range, until nothing moves. Clusters that end empty are left out.
 */
export function kmeans(values: Float32Array, k: number): Float32Array {
  const sorted = values.slice().sort();
  const sums = new Float64Array(sorted.length + 1);
  for (let i = 0; i < sorted.length; i++) sums[i + 1] = sums[i]! + sorted[i]!;
  const [lo = 0, hi = 0] = [sorted[0], sorted.at(-1)];
  let centroids = Float32Array.from({ length: k }, (_, i) => lo + ((i + 0.5) / k) * (hi - lo));
  let ends: number[] = [];
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const next = borders(sorted, centroids);
    if (next.every((end, i) => end === ends[i])) break;
    ends = next;
    centroids = centroids.map((old, i) => {
      const from = i === 0 ? 0 : ends[i - 1]!;
      const to = ends[i]!;
      if (to === from) return old;
      // Differences of running sums may lose what is far smaller than the sum.
      const mean = (sums[to]! - sums[from]!) / (to - from);
      return Math.min(sorted[to - 1]!, Math.max(sorted[from]!, mean));
    });
  }
  return centroids.filter((_, i) => ends[i]! > (i === 0 ? 0 : ends[i - 1]!));
}

/** Where each cluster ends in `sorted`: at the first value nearer to the next centroid. */
function borders(sorted: Float32Array, centroids: Float32Array): number[] {
  return Array.from(centroids, (centroid, i) => {
    if (i === centroids.length - 1) return sorted.length;
    const middle = (centroid + centroids[i + 1]!) / 2;
    let [from, to] = [0, sorted.length];
    while (from < to) {
      const at = (from + to) >>> 1;
      if (sorted[at]! <= middle) from = at + 1;
      else to = at;
    }
    return from;
  });
}

/** Place of the nearest of ascending `centroids`, the lower of two equally near. */
export function nearest(centroids: Float32Array, value: number): number {
  let [from, to] = [0, centroids.length - 1];
  while (from < to) {
    const at = (from + to) >>> 1;
    if (value <= (centroids[at]! + centroids[at + 1]!) / 2) to = at;
    else from = at + 1;
  }
  return from;
}

/** The values of a layer's weights, at most 2^bits of them, ascending and without zero. */
export function sharedValues(weights: Float32Array, bits: number): Float32Array {
  const k = 2 ** bits;
  const own = weights.filter((w) => w !== 0);
  const different = new Set<number>();
  for (const w of own) if (different.add(w).size > k) break;
  if (different.size <= k) return Float32Array.from(different).sort();
  const [below, above] = [own.filter((w) => w < 0), own.filter((w) => w > 0)];
  if (below.length === 0 || above.length === 0) return kmeans(own, k);
  const [left, right] = [spread(below), spread(above)];
  const share = left + right > 0 ? left / (left + right) : 0.5;
  const negative = Math.min(k - 1, Math.max(1, Math.round(k * share)));
  return Float32Array.of(...kmeans(below, negative), ...kmeans(above, k - negative));
}

function spread(values: Float32Array): number {
  let [lo, hi] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < lo) lo = value;
    if (value > hi) hi = value;
  }
  return hi - lo;
}

/** Gives every weight of a named parameter the nearest of its layer's shared values, in place. */
export function shareWeights(model: Model, bits: Bits): void {
  for (const [name, width] of bits) {
    const who = `${model.graph.network.name}.${name}`;
    const fits = Number.isInteger(width) && width >= 1 && width <= 8;
    expect(fits, `${who}: bits`, 'a whole number in [1, 8]', width);
    const weight = model.params.get(name);
    expect(weight, who, 'a parameter of the network', 'none');
    const values = weight.read();
    expect(values.every(Number.isFinite), who, 'finite weights', 'others');
    const centroids = sharedValues(values, width);
    const shared = values.map((w) => (w === 0 ? 0 : centroids[nearestOfSign(centroids, w)]!));
    weight.write(shared);
  }
}

/** The nearest centroid on the weight's own side of zero. */
function nearestOfSign(centroids: Float32Array, w: number): number {
  const at = nearest(centroids, w);
  if (Math.sign(centroids[at]!) === Math.sign(w)) return at;
  return w > 0 ? at + 1 : at - 1;
}

/** Bits of every prunable parameter, by the kind of its layer; of kinds that are not named, none. */
export function bitsByKind(model: Model, kinds: Readonly<Record<string, number>>): Bits {
  const { graph } = model;
  const specs = paramSpecs(graph);
  return new Map(
    graph.nodes.flatMap(({ name, kind, params }) =>
      Object.keys(params)
        .map((local) => `${name}.${local}`)
        .filter((full) => specs.get(full)!.prunable && Object.hasOwn(kinds, kind))
        .map((full): [string, number] => [full, kinds[kind]!]),
    ),
  );
}
