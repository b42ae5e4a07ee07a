/**
 * Input splitting by smear: the axis of the largest product of width and gradient, here at the middle of
 * the box (ReluVal, Wang et al. 2018). Every fourth division takes the axis that is widest in relation to
 * the first box, so that no axis is starved.
 */
import * as v from 'valibot';
import type { Boxes } from '../problem';
import { branchingRule, isDivisible, type OpenNodes } from './rule';

const FAIR = 4;

export const smear = branchingRule({
  name: 'smear',
  about: 'input splitting along the axis of the largest width times gradient',
  options: v.strictObject({}),
  splits: 'inputs',
  *choose(nodes) {
    return nodes.depth.map((_, i) => {
      const axis = smearAxis(nodes, i);
      return axis < 0 ? undefined : { input: axis };
    });
  },
});

/** The axis to halve, or -1 where the float32 numbers of every axis are used up. */
export function smearAxis({ problem, depth, widths, gradient }: OpenNodes, node: number): number {
  const { lo, hi } = problem.region as Boxes;
  const size = widths.length;
  let [best, most, widest, width] = [-1, 0, -1, 0];
  for (let i = 0; i < size; i++) {
    const at = node * size + i;
    if (!isDivisible(lo[at]!, hi[at]!)) continue;
    const relative = (hi[at]! - lo[at]!) / widths[i]!;
    const smear = (hi[at]! - lo[at]!) * Math.abs(gradient[at]!);
    if (relative > width) [widest, width] = [i, relative];
    if (smear > most) [best, most] = [i, smear];
  }
  return depth[node]! % FAIR === FAIR - 1 || best < 0 ? widest : best;
}
