/**
 * Splitting of the neuron whose relaxation leaves the largest area: over [lo, hi] the triangle between
 * max(x, 0), its chord and the lower line has an area of up to -lo hi / 2.
 */
import * as v from 'valibot';
import { branchingRule, type NodeSplit, type OpenNodes } from '../../src/verify/branching/rule';

export const triangle = branchingRule({
  name: 'triangle',
  about: 'activation splitting at the neuron with the largest triangle',
  options: v.strictObject({}),
  splits: 'activations',
  *choose({ hidden, depth }) {
    return depth.map((_, i) => largest(hidden!, i, depth.length));
  },
});

/** The neuron of the largest triangle in open node i of n; undefined where no neuron is unstable. */
function largest(
  hidden: NonNullable<OpenNodes['hidden']>,
  i: number,
  n: number,
): NodeSplit | undefined {
  let [split, area]: [NodeSplit | undefined, number] = [undefined, 0];
  for (const [node, { lo, hi }] of hidden) {
    const size = lo.length / n;
    for (let neuron = 0; neuron < size; neuron++) {
      const [low, high] = [lo[i * size + neuron]!, hi[i * size + neuron]!];
      if (!(low < 0 && high > 0 && -low * high > area)) continue;
      [split, area] = [{ network: 0, neuron: { node, neuron } }, -low * high];
    }
  }
  return split;
}
