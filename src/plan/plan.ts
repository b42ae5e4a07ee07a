/**
 * Compiled plans: inference of a model in canonical form at a fixed batch size, as a list of prepared kernel
 * calls over static buffers. Each product uses its cheapest algorithm (plan/dense-product.ts), with bias and
 * ReLU fused into its last write. A run neither allocates nor chooses anything.
 *
 * Layers that are no product run as in the value domain. Values that are not alive at the same time share
 * buffers.
 */
import { expect, fail } from '../errors';
import type { AnyModel } from '../nn/model';
import type { Costs } from '../runtime/costs';
import type { Ptr } from '../runtime/kernels';
import type { SumOptions } from '../tensor/ops/product';
import { sizeOf } from '../tensor/shape';
import { step } from '../tensor/tensor';
import { productStep } from './dense-product';
import {
  compiled,
  type PlanMemory,
  type PlanStep,
  rectifiedRoots,
  rootsOf,
  valueStep,
} from './steps';

export interface PlanOptions extends SumOptions {
  /** Samples per run. */
  readonly batch: number;
  /** Cost model by which algorithms are chosen, measured on this machine by `fitCosts`. Default: as shipped. */
  readonly costs?: Costs | undefined;
}

/** A compiled model, whose memory is held until `free`. */
export interface Plan {
  readonly model: AnyModel;
  readonly batch: number;
  readonly steps: readonly PlanStep[];
  /** Copies of images into the layout that the first step reads, and of outputs back: the rest of a run. */
  readonly copies: readonly PlanStep[];
  /** How often a run executes the steps: once, or once for every block of images. */
  readonly passes: number;
  /** Bytes of buffers, workspace and prepared weights. */
  readonly bytes: number;
  /** Computes the outputs [batch, ...output] of images [batch, ...input], row-major. */
  run(images: Float32Array): Float32Array;
  /** Frees the plan's memory; the model stays. */
  free(): void;
}

/** Compiles a model in canonical form (made by `lower`), whose tensors refuse writes until the plan is freed. */
export function compilePlan(model: AnyModel, options: PlanOptions): Plan {
  const { batch } = options;
  expect(Number.isInteger(batch) && batch > 0, 'compilePlan: batch', 'a whole number > 0', batch);
  const { engine, graph } = model;
  const samples = batch * sizeOf(graph.network.input);
  return compiled(model, (memory) => {
    const { input, output, steps } = step(engine, () => compile(model, memory, options));
    return {
      ...{ model, batch, steps, copies: [], passes: 1, bytes: memory.bytes },
      run(images: Float32Array) {
        if (images.length !== samples) fail('plan.run', `${samples} numbers`, images.length);
        memory.check(model);
        engine.memory.f32(input, samples).set(images);
        for (const { run } of steps) run();
        return engine.memory.f32(output, batch * sizeOf(graph.output)).slice();
      },
      free: () => memory.free(),
    };
  });
}

function compile(model: AnyModel, memory: PlanMemory, { batch, ...options }: PlanOptions) {
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
      productStep(model, memory, node, { batch, ...options, relu, x: xs[0]!, y }) ??
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
