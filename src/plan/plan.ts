/**
 * Compiled plans: a model in canonical form and a batch size become a list of prepared kernel calls
 * over static buffers, each product in its cheapest algorithm (plan/dense-product.ts) with bias and
 * ReLU in its last write. A run allocates nothing and decides nothing.
 *
 * Layers that are no product run as in the value domain. Buffers are shared by values that are not alive
 * at the same time.
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
  /** Samples of a run. */
  readonly batch: number;
  /** What forms cost on this machine, as `fitCosts` finds it. Default: as shipped. */
  readonly costs?: Costs | undefined;
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

/** Compiles a model that `lower` made, whose tensors refuse writes until the plan is freed. */
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
