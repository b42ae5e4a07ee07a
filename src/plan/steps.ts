/**
 * What all plans are made of: steps, the memory behind them, and what they ask of a graph.
 */
import { interpret, newPass } from '../domain/domain';
import { value } from '../domain/value';
import { expect } from '../errors';
import { type Graph, type GraphNode, readers } from '../nn/graph';
import { type AnyModel, operatorOf } from '../nn/model';
import { KEPT } from '../runtime/arena';
import type { Engine } from '../runtime/engine';
import type { OptionalPtr, Ptr } from '../runtime/kernels';
import { isSparse, type Weight } from '../sparse/weight';
import type { ConvShape } from '../tensor/convolution';
import { Tensor } from '../tensor/tensor';

/** What happens at one node (and the ReLU after it). */
export interface PlanStep {
  readonly node: string;
  /** Name of an algorithm or form, or `value` for layers that run as in the value domain. */
  readonly form: string;
  /** Bytes of prepared weights. */
  readonly bytes: number;
  run(): void;
}

export const isRelu = ({ layer }: GraphNode): boolean =>
  layer.role === 'pointwise' && layer.isReLU === true;

export const productOf = ({ structure }: GraphNode): ConvShape | undefined => structure?.conv;

/** The weight of a product. */
export const weightOf = ({ params }: AnyModel, node: GraphNode): Weight =>
  operatorOf(node, params).weight!;

/**
 * The root of each node: the node whose buffer holds its value. Its own, or for a reshape and a fused ReLU the root of
 * its input (-1: the images).
 */
export function rootsOf(graph: Graph): number[] {
  const reads = readers(graph);
  const roots: number[] = [];
  graph.nodes.forEach((node, i) => {
    const before = node.inputs[0]!;
    const joined = node.structure?.reshapes === true;
    const fused =
      isRelu(node) && before >= 0 && reads[before] === 1 && productOf(graph.nodes[before]!);
    roots.push(joined || fused ? (roots[before] ?? before) : i);
  });
  return roots;
}

/** The roots that a ReLU is fused into. */
export const rectifiedRoots = ({ nodes }: Graph, roots: readonly number[]): ReadonlySet<number> =>
  new Set(roots.filter((_, j) => isRelu(nodes[j]!)));

/** A layer as the value domain runs it. */
export function valueStep(
  { engine, params }: AnyModel,
  node: GraphNode,
  batch: number,
  xs: readonly Ptr[],
  y: Ptr,
): PlanStep {
  const inputs = xs.map(
    (ptr, i) => new Tensor(engine, [batch, ...node.inputShapes[i]!], ptr, KEPT),
  );
  const run = (): void => {
    engine.arena.enter();
    try {
      const result = interpret(node, params, value, inputs, newPass());
      engine.run('copy', result.size, result.ptr, y);
    } finally {
      engine.arena.leave();
    }
  };
  return { node: node.name, form: 'value', bytes: 0, run };
}

/** The blocks of a plan; those of dead values are used again. */
export class PlanMemory {
  /** Bytes of workspace that the largest call needs, and where it is after `reserve`. */
  workspace = 0;
  scratch: OptionalPtr = 0;
  bytes = 0;
  readonly #engine: Engine;
  readonly #blocks = new Map<Ptr, number>();
  readonly #idle = new Set<Ptr>();
  readonly #thaw: readonly (() => void)[];
  #freed = false;

  /** Freezes the model: what is made of its weights and biases would not see a write. */
  constructor({ engine, params }: AnyModel) {
    this.#engine = engine;
    this.#thaw = Array.from(params.values(), (w) => (isSparse(w) ? w.values : w).freeze());
  }

  /** A block that nothing else will use. */
  own(bytes: number): Ptr {
    const ptr = this.#engine.memory.alloc(bytes);
    this.#blocks.set(ptr, bytes);
    this.bytes += bytes;
    return ptr;
  }

  /** Room for a value: the smallest idle block that is large enough, or a new one. */
  take(bytes: number): Ptr {
    const size = (ptr: Ptr): number => this.#blocks.get(ptr)!;
    const fitting = [...this.#idle].filter((ptr) => size(ptr) >= bytes);
    const best = fitting.sort((a, b) => size(a) - size(b))[0];
    if (best === undefined) return this.own(bytes);
    this.#idle.delete(best);
    return best;
  }

  release(ptr: Ptr): void {
    this.#idle.add(ptr);
  }

  reserve(): void {
    this.scratch = this.own(this.workspace);
  }

  /** Raises an error where a run would use memory that was given back, of the plan or of the model. */
  check(model: AnyModel): void {
    expect(!this.#freed, 'plan.run', 'a plan that was not freed', 'a freed one');
    // A freed tensor has no address, and says so.
    for (const weight of model.params.values()) {
      const { ptr } = isSparse(weight) ? weight.values : weight;
      expect(ptr > 0, 'plan.run', 'an address', ptr);
    }
  }

  free(): void {
    if (!this.#freed) for (const release of this.#thaw) release();
    this.#freed = true;
    for (const ptr of this.#blocks.keys()) this.#engine.memory.free(ptr);
    this.#blocks.clear();
    this.#idle.clear();
  }
}

/** What `make` compiles over a plan's memory, which is given back where it fails. */
export function compiled<T>(model: AnyModel, make: (memory: PlanMemory) => T): T {
  const memory = new PlanMemory(model);
  try {
    return make(memory);
  } catch (error) {
    memory.free();
    throw error;
  }
}
