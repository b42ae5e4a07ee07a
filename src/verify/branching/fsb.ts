/**
 * Filtered smart branching (De Palma et al. 2021, arXiv 2104.06718): the neurons of the largest BaBSR scores, and of
 * the largest offsets, are tried. Both children of each are bounded by one pass from their parent's multipliers,
 * and the neuron whose worse child is best is split.
 *
 * Cost: two passes a candidate.
 */
import * as v from 'valibot';
import { whole } from '../../options';
import type { Parts } from '../../tensor/parts';
import { type Problem, provenSlack, select } from '../problem';
import { best, type Candidate, candidatesOf } from './babsr';
import { branchingRule, type NodeSplit, type OpenNodes } from './rule';

export const fsb = branchingRule({
  name: 'fsb',
  about: 'activation splitting at the tried neuron whose worse child is best: candidates',
  options: v.strictObject({
    /** Neurons by each of the two scores that are tried. */
    candidates: v.optional(whole(1), 3),
  }),
  splits: 'activations',
  *choose(nodes, { candidates }) {
    const all = candidatesOf(nodes).map((some) => filtered(some, candidates));
    const gains = yield* tried(nodes, all);
    return all.map((some, i): NodeSplit | undefined => {
      const most = gains[i]!.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      const at = gains[i]!.indexOf(most);
      return (some[at] ?? best(some))?.split;
    });
  },
});

/** The first `count` candidates by score, and by intercept, without repetition. */
function filtered(all: readonly Candidate[], count: number): Candidate[] {
  const first = (key: 'score' | 'intercept'): Candidate[] =>
    [...all].sort((a, b) => b[key] - a[key] || b.area - a.area).slice(0, count);
  return [...new Set([...first('score'), ...first('intercept')])];
}

/** The bound of every candidate's worse child, by open node. */
function* tried(
  nodes: OpenNodes,
  all: readonly (readonly Candidate[])[],
): Parts<readonly number[][]> {
  const { problem } = nodes;
  const tries = all.flatMap((some, i) =>
    some.length < 2
      ? []
      : some.flatMap(({ split }) =>
          [true, false].map((active) => ({ i, phase: { ...split.neuron, active } })),
        ),
  );
  const slack: number[] = [];
  for (let from = 0; from < tries.length; from += AT_ONCE) {
    const part = tries.slice(from, from + AT_ONCE);
    const chosen = select(
      problem,
      part.map(({ i }) => i),
    );
    const phases = part.map(({ i, phase }) => [...(problem.phases?.[0]?.[i] ?? []), phase]);
    const children: Problem = { ...chosen, phases: [phases] };
    const { lower } = yield* nodes.bound(children, { effort: 0 });
    part.forEach((_, k) => {
      slack.push(provenSlack(problem.rows, lower, k, chosen.only?.[k]).slack);
    });
  }
  let at = 0;
  return all.map((some) =>
    some.length < 2 ? [] : some.map(() => Math.min(slack[at++]!, slack[at++]!)),
  );
}

/** Children that are bounded at once. */
const AT_ONCE = 128;
