/**
 * Compiled plans: a model in canonical form and a batch size become a list of prepared kernel calls
 * over static buffers, each product in its cheapest form (plan/algorithms.ts) with bias and ReLU in its
 * last write. A run allocates nothing and decides nothing.
 *
 * Layers without a form run as in the value domain. Buffers are shared by values that are not alive
 * at the same time.
 */

import { interpret, newPass } from '../domain/domain';
import { value } from '../domain/value';
import { expect, fail } from '../errors';
import { type Graph, type GraphNode, readers } from '../nn/graph';
import { type AnyModel, operatorOf } from '../nn/model';
import { KEPT } from '../runtime/arena';
import type { Costs } from '../runtime/costs';
import { type Engine, workspaceOf } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import { isSparse } from '../sparse/weight';
import type { ConvShape } from '../tensor/convolution';
import { sizeOf } from '../tensor/shape';
import { step, Tensor } from '../tensor/tensor';
import { type FormName, formCost, forms } from './algorithms';

export interface PlanOptions {
  /** Samples of a run. */
  readonly batch: number;
  /**
   * Allow Winograd's convolutions, too, which sum other numbers than the layer's own products: faster for
   * 3 x 3 kernels, but no certificate speaks of what they give (docs/numerics.md). Default: false.
   */
  readonly winograd?: boolean;
  /** What forms cost on this machine, as `fitCosts` finds it. Default: as shipped. */
  readonly costs?: Costs | undefined;
}

/** What happens at one node (and the ReLU after it). */
export interface PlanStep {
  readonly node: string;
  /** Name of a form, or `value` for layers that run as in the value domain. */
  readonly form: string;
  /** Bytes of prepared weights. */
  readonly bytes: number;
  run(): void;
}

export interface Plan {
  readonly model: AnyModel;
  readonly batch: number;
  readonly steps: readonly PlanStep[];
  /** What else a run does: images to where the first step reads them, outputs back. */
  readonly copies: readonly PlanStep[];
  /** How often a run goes through them: once, or for every block of images. */
  readonly passes: number;
  /** Bytes of buffers, workspace and prepared weights. */
  readonly bytes: number;
  /** images [batch, ...input], row-major -> the outputs, [batch, ...output]. */
  run(images: Float32Array): Float32Array;
  /** Gives its memory back. The model is not touched. */
  free(): void;
}

/** The cheapest form of a product. */
export function chooseForm(
  conv: ConvShape,
  batch: number,
  winograd: boolean,
  costs?: Costs,
): readonly [name: FormName, cost: number] {
  return (Object.keys(forms) as FormName[])
    .filter((name) => forms[name].direct || winograd)
    .map((name) => [name, formCost(name, conv, batch, costs)] as const)
    .reduce((best, one) => (one[1] < best[1] ? one : best));
}

/** Compiles a model that `lower` made. */
export function compilePlan(model: AnyModel, options: PlanOptions): Plan {
  const { batch } = options;
  expect(Number.isInteger(batch) && batch > 0, 'compilePlan: batch', 'a whole number > 0', batch);
  const { engine, graph } = model;
  const memory = new PlanMemory(engine);
  try {
    const { input, output, steps } = step(engine, () => compile(model, memory, options));
    const samples = batch * sizeOf(graph.network.input);
    return {
      model,
      batch,
      steps,
      copies: [],
      passes: 1,
      bytes: memory.bytes,
      run(images) {
        if (images.length !== samples) fail('plan.run', `${samples} numbers`, images.length);
        memory.check(model);
        engine.memory.f32(input, samples).set(images);
        for (const { run } of steps) run();
        return engine.memory.f32(output, batch * sizeOf(graph.output)).slice();
      },
      free: () => memory.free(),
    };
  } catch (error) {
    memory.free();
    throw error;
  }
}

function compile(
  model: AnyModel,
  memory: PlanMemory,
  { batch, winograd = false, costs }: PlanOptions,
) {
  const { graph } = model;
  const roots = rootsOf(graph);
  const rectified = rectifiedRoots(graph, roots);
  const root = (i: number): number => (i < 0 ? i : roots[i]!);
  const uses = new Map<number, number>([[roots.at(-1)!, 1]]);
  graph.nodes.forEach(({ inputs }, i) => {
    if (roots[i] === i) for (const j of inputs) uses.set(root(j), (uses.get(root(j)) ?? 0) + 1);
  });
  const input = memory.take(4 * batch * sizeOf(graph.network.input));
  const places = new Map<number, Ptr>([[-1, input]]);
  const steps: PlanStep[] = [];
  graph.nodes.forEach((node, i) => {
    if (roots[i] !== i) return;
    const y = memory.take(4 * batch * sizeOf(node.shape));
    places.set(i, y);
    const relu = rectified.has(i);
    const xs = node.inputs.map((j) => places.get(root(j))!);
    steps.push(
      productStep(model, memory, node, { batch, winograd, costs, relu, x: xs[0]!, y }) ??
        valueStep(model, node, batch, xs, y),
    );
    for (const j of node.inputs) {
      uses.set(root(j), uses.get(root(j))! - 1);
      if (uses.get(root(j)) === 0) memory.release(places.get(root(j))!);
    }
  });
  memory.reserve();
  return { input, output: places.get(roots.at(-1)!)!, steps };
}

export const isRelu = ({ layer }: GraphNode): boolean =>
  layer.role === 'pointwise' && layer.isReLU === true;

export const productOf = ({ structure }: GraphNode): ConvShape | undefined => structure?.conv;

/** For each node the one whose buffer holds its value: its own, or that of its only input (-1: images). */
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

/** The roots into which a ReLU is written. */
export const rectifiedRoots = ({ nodes }: Graph, roots: readonly number[]): ReadonlySet<number> =>
  new Set(roots.filter((_, j) => isRelu(nodes[j]!)));

interface StepJob {
  readonly batch: number;
  readonly winograd: boolean;
  readonly costs?: Costs | undefined;
  readonly relu: boolean;
  readonly x: Ptr;
  readonly y: Ptr;
}

/** A product in its cheapest form. */
export function productStep(
  { engine, params }: AnyModel,
  memory: PlanMemory,
  node: GraphNode,
  { batch, winograd, costs, ...places }: StepJob,
): PlanStep | undefined {
  const conv = productOf(node);
  if (!conv) return undefined;
  const { weight: own, bias } = operatorOf(node, params);
  const [name] = chooseForm(conv, batch, winograd, costs);
  const weight = own && isSparse(own) ? own.dense : own;
  if (!(weight instanceof Tensor)) return fail(node.name, 'all entries of its weight', 'non-zeros');
  const before = memory.bytes;
  const keep = (bytes: number): Ptr => memory.own(bytes);
  const calls = forms[name].compile({ engine, batch, conv, weight, bias, ...places, keep });
  memory.workspace = Math.max(memory.workspace, ...calls.map(workspaceOf));
  // Bound at the first run, when the place of the workspace is known.
  let bound: readonly (() => void)[] | undefined;
  const run = (): void => {
    bound ??= calls.map((call) => engine.bind(call, memory.scratch));
    for (const start of bound) start();
  };
  return { node: node.name, form: name, bytes: memory.bytes - before, run };
}

/** Any other layer, as the value domain runs it. */
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
  scratch: Ptr = 0;
  bytes = 0;
  readonly #engine: Engine;
  readonly #blocks = new Map<Ptr, number>();
  readonly #idle = new Set<Ptr>();
  #freed = false;

  constructor(engine: Engine) {
    this.#engine = engine;
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
    this.#freed = true;
    for (const ptr of this.#blocks.keys()) this.#engine.memory.free(ptr);
    this.#blocks.clear();
    this.#idle.clear();
  }
}
