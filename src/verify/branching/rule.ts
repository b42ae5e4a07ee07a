/**
 * Branching rules of branch and bound: how a node that its bound leaves open is divided. A rule only
 * chooses; branch-and-bound.ts divides, and sees to it that the parts cover the node.
 */
import type * as v from 'valibot';
import type { Phase } from '../../bounds/context';
import {
  type Callable,
  completing,
  type Entry,
  type Given,
  type OptionsSchema,
} from '../../options';
import type { Parts } from '../../tensor/parts';
import type { Bounds, Wanted } from '../methods';
import type { Problem } from '../problem';

/** A division in two: of an input's interval in its middle, or of a neuron's phases at 0. */
export type NodeSplit =
  | { readonly input: number }
  | { readonly network: number; readonly neuron: Omit<Phase, 'active'> };

/** Nodes that are to be divided. */
export interface OpenNodes {
  /** The nodes, as the samples of one problem. */
  readonly problem: Problem;
  /** Number of divisions behind each node. */
  readonly depth: readonly number[];
  /** Widths of the first region, by input. */
  readonly widths: Float32Array;
  /**
   * Gradient of each node's least proven disjunct at the middle of its region, [nodes, inputs]: that of the
   * disjunct's worst row there.
   */
  readonly gradient: Float32Array;
  /**
   * How much of the looseness of the bounds of each node's disjuncts that are open comes from the width of each
   * input, [nodes, inputs]: estimates, of methods by linear bounds.
   */
  readonly looseness?: Float32Array;
  /**
   * Boxes in front of activations, of rules that split those: [nodes, neurons] by position of the node in the
   * network.
   */
  readonly hidden?: Bounds['hidden'];
  /** How each node's best row depends on unstable neurons, of methods that say so. */
  readonly sensitivity?: Bounds['sensitivity'];
  /** Lower bounds of other problems, for rules that try their candidates. */
  bound(problem: Problem, wanted?: Wanted): Parts<Bounds>;
}

/** Methods of a rule with options O. */
interface RuleMethods<O> {
  /** Kind of divisions. Inputs: only of regions of few; activations: by methods that use phases. */
  readonly splits: 'inputs' | 'activations';
  /** The division of each node; undefined where there is none left. */
  choose(nodes: OpenNodes, o: O): Parts<(NodeSplit | undefined)[]>;
}

/** A branching rule, which completes the options it is given. */
export interface BranchingRule<S extends OptionsSchema = OptionsSchema>
  extends Entry<S>,
    Callable<S>,
    RuleMethods<Given<S>> {}

/** The rule as its author writes it, with options that are complete. */
export const branchingRule = <S extends OptionsSchema>(
  rule: Entry<S> & RuleMethods<v.InferOutput<S>>,
): BranchingRule<S> => completing(rule, { choose: 1 });

/** The float32 number in the middle of two, and whether it lies between them. */
export const middle = (lo: number, hi: number): number => Math.fround(lo / 2 + hi / 2);
export const isDivisible = (lo: number, hi: number): boolean =>
  middle(lo, hi) > lo && middle(lo, hi) < hi;
