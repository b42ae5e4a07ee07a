/**
 * Weights that share a value and move as one (Han, Mao, Dally 2016, section 3.3: trained
 * quantization). The gradient of a shared value is the sum of its weights' gradients.
 *
 * Deviation: every weight of a cluster is given the mean, the sum over the cluster's size. That is
 * the projection of the gradient onto tied weights, so learning rates and norms keep their meaning,
 * and equal gradients, moments and weights stay equal under any optimiser here.
 * Cost: the gradient is copied to JavaScript and back once a step.
 */
import type { Model } from '../nn/model';
import { input, type Tensor } from '../tensor/tensor';
import type { Patterns } from './sparse';

/** By parameter: the number of each weight's cluster; weights of cluster 0 are alone and stay. */
export type Ties = ReadonlyMap<string, Uint16Array>;

/** Ties of the weights of `names` that are equal and not zero. */
export function tiesOf(model: Model, names: Iterable<string>): Ties {
  return new Map(
    Array.from(names, (name): [string, Uint16Array] => {
      const clusters = new Map<number, number>();
      const values = model.params.get(name)!.read();
      const numbers = Uint16Array.from(values, (w) => {
        if (w === 0) return 0;
        if (!clusters.has(w)) clusters.set(w, clusters.size + 1);
        return clusters.get(w)!;
      });
      return [name, numbers];
    }),
  );
}

/** Gradients (in the order of `names`, or of a pattern's values) in which tied weights have their mean, those alone 0. */
export function tieGradients(
  names: readonly string[],
  gradients: readonly Tensor[],
  {
    ties,
    patterns,
  }: { readonly ties?: Ties | undefined; readonly patterns?: Patterns | undefined },
): Tensor[] {
  return gradients.map((g, i) => {
    const all = ties?.get(names[i]!);
    const pattern = patterns?.get(names[i]!);
    const clusters = all && pattern ? Uint16Array.from(pattern.places(), (at) => all[at]!) : all;
    return clusters ? input(g.engine, clusterMeans(g.read(), clusters), g.shape) : g;
  });
}

/** Gives tied weights one value again, their mean, where kernels rounded them apart. */
export function retie(model: Model, ties: Ties): void {
  for (const [name, clusters] of ties) {
    const weight = model.params.get(name)!;
    weight.write(clusterMeans(weight.read(), clusters));
  }
}

function clusterMeans(values: Float32Array, clusters: Uint16Array): Float32Array {
  const sums = new Float64Array(2 ** 16);
  const counts = new Float64Array(2 ** 16);
  for (let i = 0; i < values.length; i++) {
    sums[clusters[i]!]! += values[i]!;
    counts[clusters[i]!]!++;
  }
  const means = Float32Array.from(sums, (sum, c) => (c === 0 ? 0 : sum / Math.max(1, counts[c]!)));
  return Float32Array.from(clusters, (c) => means[c]!);
}
