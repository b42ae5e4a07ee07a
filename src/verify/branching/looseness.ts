/**
 * Input splitting by looseness: the input from whose width most of the looseness of the bounds comes, that is of what
 * the relaxations of unstable neurons may cost them (bounds/attribution.ts). Where nothing is known of it, for want
 * of linear bounds or of unstable neurons, as `smear`.
 */
import * as v from 'valibot';
import type { Boxes } from '../problem';
import { branchingRule, isDivisible, type OpenNodes } from './rule';
import { smearAxis } from './smear';

export const looseness = branchingRule({
  name: 'looseness',
  about:
    'input splitting along the axis from whose width most of the looseness of the bounds comes',
  options: v.strictObject({}),
  splits: 'inputs',
  *choose(nodes) {
    return nodes.depth.map((_, i) => {
      const axis = axisOf(nodes, i);
      return axis < 0 ? undefined : { input: axis };
    });
  },
});

/** The axis to halve, or -1 where the float32 numbers of every axis are used up. */
function axisOf(nodes: OpenNodes, node: number): number {
  const { problem, widths, looseness } = nodes;
  const { lo, hi } = problem.region as Boxes;
  let [best, most] = [-1, 0];
  for (let i = 0; looseness && i < widths.length; i++) {
    const at = node * widths.length + i;
    if (!(looseness[at]! > most) || !isDivisible(lo[at]!, hi[at]!)) continue;
    [best, most] = [i, looseness[at]!];
  }
  return best < 0 ? smearAxis(nodes, node) : best;
}
