/**
 * Nodes of a search tree that wait: by their bound, the least proven first (queue.ts); once they fill memory
 * depth-first, until the nodes that came since are done. Leaves without a split go together in batches of their own.
 */
import type { Phases } from '../bounds/context';
import type { NodeSplit } from './branching/rule';
import type { Start } from './problem';
import { BestFirst } from './queue';

/** A part of the problem, a node of the search tree: a box of inputs and the phases of the neurons split so far. */
export interface Subproblem {
  readonly lo: Float32Array;
  readonly hi: Float32Array;
  /** Split constraints, by network: the phase of every neuron that was split. */
  readonly phases: readonly Phases[number][];
  readonly depth: number;
  /** Proven lower bound of the distance from unsafe, at least that of its parent: proven safe above 0. */
  readonly slack: number;
  /** Proven lower bound of that distance where its parents were clipped. */
  readonly floor: number;
  /** The disjunct with the lowest bound, and whether the node is about that alone. */
  readonly disjunct: number;
  readonly isOnly: boolean;
  /** Multipliers to begin with, of methods that optimise. */
  readonly start?: Start | undefined;
  /** Times that a node without a split left was bounded with more effort. */
  readonly polished: number;
}

export interface SplitSubproblem extends Subproblem {
  readonly split: NodeSplit;
}

/** Most numbers of all boxes and multipliers in the queue together: 512 MiB. */
const MAX_WAITING = 1 << 27;
export class Waiting {
  readonly #queue = new BestFirst<SplitSubproblem>();
  readonly #stack: SplitSubproblem[] = [];
  #leaves: Subproblem[] = [];
  #numbers = 0;

  get size(): number {
    return this.#queue.size + this.#stack.length + this.#leaves.length;
  }

  /** The least slack of all that waits. */
  get bound(): number {
    const least = (all: readonly Subproblem[]): number =>
      all.reduce((low, { slack }) => Math.min(low, slack), Number.POSITIVE_INFINITY);
    return Math.min(this.#queue.bound, least(this.#stack), least(this.#leaves));
  }

  push(node: SplitSubproblem): void {
    if (this.#stack.length > 0 || this.#numbers > MAX_WAITING) this.#stack.push(node);
    else this.#queue.push(node.slack, node);
    this.#numbers += numbersOf(node);
  }

  pushLeaf(node: Subproblem): void {
    this.#leaves.push(node);
  }

  /** The `count` nodes to go on with; or leaves of one effort, at most `most`, where nothing else or enough waits. */
  take(count: number, most: number): (Subproblem | SplitSubproblem)[] {
    const splits = this.#queue.size + this.#stack.length;
    if (splits === 0 || this.#leaves.length >= most) {
      const { polished } = this.#leaves[0]!;
      const same = this.#leaves.filter((leaf) => leaf.polished === polished).slice(0, most);
      this.#leaves = this.#leaves.filter((leaf) => !same.includes(leaf));
      return same;
    }
    const taken =
      this.#stack.length > 0
        ? this.#stack.splice(Math.max(0, this.#stack.length - count))
        : this.#queue.take(count);
    this.#numbers -= taken.reduce((sum, node) => sum + numbersOf(node), 0);
    return taken;
  }
}

/** Numbers that a node keeps: ends of a box of its own, multipliers and phases. */
const numbersOf = ({ lo, phases, start, split }: SplitSubproblem): number =>
  ('input' in split ? lo.length : 0) +
  phases.reduce((sum, some) => sum + 4 * some.length, 32) +
  (start ?? []).reduce((sum, { alpha, beta }) => sum + (alpha.length + beta.length) / 2, 0);
