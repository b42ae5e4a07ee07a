/**
 * Compiled plans of masked networks: every product goes over the non-zeros of its weights
 * (assembly/sparse.ts), encoded once, with bias and ReLU in its last write.
 *
 * Up to 16 images lie side by side in the innermost dimension, so that a weight multiplies whole
 * vectors of images whatever the plane and the stride; larger batches run in blocks. With less than
 * 16 images groups go along planes, and planes are split for strides. A value's buffer has the zero
 * margins that the convolutions after it read, and nothing is copied between products. Layers that
 * are neither product nor pooling run as in the value domain, over a copy.
 *
 * Sums run over the layer's own products only, so certificates speak of these plans (`direct`).
 * Cost: chains of 2 flops a non-zero and output, at 0.7 of the speed of a dense product (measured).
 */
import { expect } from '../errors';
import type { GraphNode } from '../nn/graph';
import type { PoolWindow } from '../nn/layer';
import { type Model, nodeParams } from '../nn/model';
import type { Costs } from '../runtime/costs';
import { type Call, type Engine, workspaceOf } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import { sameShape, sizeOf } from '../tensor/shape';
import { phasesOf, planesOf } from '../tensor/sparse';
import { patternOf } from '../tensor/sparse-blocks';
import { encode, productCall, splitCalls, viewOfPlanes } from '../tensor/sparse-calls';
import { step, type Tensor } from '../tensor/tensor';
import {
  compilePlan,
  isRelu,
  type Plan,
  PlanMemory,
  type PlanOptions,
  type PlanStep,
  productOf,
  productStep,
  valueStep,
} from './plan';
import {
  copiedDenseCost,
  denseCost,
  Layout,
  lanesOf,
  type Place,
  type SparseModel,
  sparseCost,
  sparseForm,
} from './sparse-layout';

/** The plan that should take less time: dense, or over the non-zeros. */
export const fastestPlan = (model: Model, options: PlanOptions): Plan =>
  zerosPay(model, options) ? compileSparsePlan(model, options) : compilePlan(model, options);

/** Whether the plan over non-zeros should take less time than the dense one. */
export function zerosPay(model: Model, { batch, direct = false, costs }: PlanOptions): boolean {
  const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
  const products = model.graph.nodes.filter((node) => productOf(node));
  const dense = products.map((node) => denseCost(node, batch, direct, costs));
  const lanes = lanesOf(batch);
  const sparse = products.map((node) =>
    Math.min(sparseCost(model, node, lanes, costs), copiedDenseCost(node, lanes, costs)),
  );
  return sum(dense) >= sum(sparse) * Math.ceil(batch / lanes);
}

/** Compiles a model that `lower` made for its zeros. */
export function compileSparsePlan(
  model: SparseModel,
  { batch, costs }: Omit<PlanOptions, 'direct'>,
): Plan {
  const who = 'compileSparsePlan: batch';
  expect(Number.isInteger(batch) && batch > 0, who, 'a whole number > 0', batch);
  const { engine, graph } = model;
  const memory = new PlanMemory(engine);
  try {
    const lanes = lanesOf(batch);
    const { input, output, steps } = step(engine, () => compile(model, memory, lanes, costs));
    const [samples, classes] = [sizeOf(graph.network.input), sizeOf(graph.output)];
    return {
      model,
      batch,
      steps: steps.slice(1, -1),
      copies: [steps[0]!, steps.at(-1)!],
      passes: Math.ceil(batch / lanes),
      bytes: memory.bytes,
      run(images) {
        expect(
          images.length === batch * samples,
          'plan.run',
          `${batch * samples} numbers`,
          images.length,
        );
        memory.check(model);
        const result = new Float32Array(batch * classes);
        for (let b = 0; b < batch; b += lanes) {
          const count = Math.min(lanes, batch - b);
          const part = images.subarray(b * samples, (b + count) * samples);
          engine.memory.f32(input, part.length).set(part);
          for (const { run } of steps) run();
          result.set(engine.memory.f32(output, count * classes), b * classes);
        }
        return result;
      },
      free: () => memory.free(),
    };
  } catch (error) {
    memory.free();
    throw error;
  }
}

function compile(model: SparseModel, memory: PlanMemory, lanes: number, costs?: Costs) {
  const { engine, graph } = model;
  const layout = new Layout(model, memory, lanes, costs);
  const { input } = graph.network;
  const last = layout.roots.at(-1)!;
  const images = layout.zeros(lanes * sizeOf(input));
  const logits = layout.zeros(lanes * sizeOf(graph.output));
  const copies = (name: string, calls: readonly Call[]): PlanStep =>
    stepOf(engine, memory, name, 'copy', 0, calls);
  const steps = [copies('images', [layout.fromImages(images, -1)])];
  graph.nodes.forEach((node, i) => {
    if (layout.roots[i] !== i) return;
    steps.push(
      sparseStep(layout, node, i) ?? poolStep(layout, node, i) ?? otherStep(layout, node, i),
    );
  });
  steps.push(copies('outputs', [layout.toImages(last, logits)]));
  memory.reserve();
  return { input: images, output: logits, steps };
}

function stepOf(
  engine: Engine,
  memory: PlanMemory,
  node: string,
  form: string,
  bytes: number,
  calls: readonly Call[],
): PlanStep {
  memory.workspace = Math.max(memory.workspace, ...calls.map(workspaceOf));
  const run = (): void => {
    for (const call of calls) engine.start(call, memory.scratch);
  };
  return { node, form, bytes, run };
}

function sparseStep(layout: Layout, node: GraphNode, i: number): PlanStep | undefined {
  const product = layout.product(i);
  if (!product) return undefined;
  const { model, memory, lanes, costs } = layout;
  const { engine, params, graph } = model;
  const { sizes, pass, split, margins } = product;
  const [form] = model.nonZeros ? ['csr'] : sparseForm(model, node, lanes, costs);
  const { weight, bias } = nodeParams(node, params);
  const given = model.nonZeros?.(node.name) ?? weight!;
  const calls: Call[] = [];
  const from = layout.place(layout.source(i));
  const to = layout.place(i);
  const before = memory.bytes;
  let x = from;
  if (split) {
    const [c, h, w, , , , sh, sw] = sizes;
    const planes = planesOf(phasesOf([c, h, w], [sh, sw]), lanes, margins, layout.columns(i));
    x = { planes, ptr: layout.zeros(planes.size) };
    const views = [viewOfPlanes(from.ptr, from.planes), viewOfPlanes(x.ptr, planes)] as const;
    calls.push(...splitCalls(engine, lanes, [c, h, w], [sh, sw], ...views));
  }
  const keep = (bytes: number): Ptr => memory.own(bytes);
  const [source, target] = [x.planes, to.planes];
  const fixed = form === '4x1' ? 'blocks' : 'rows';
  const encoded = encode({ engine, keep, weight: given, sizes, pass, source, target, fixed });
  const relu = graph.nodes.some((n, j) => layout.roots[j] === i && isRelu(n));
  const lo = relu ? 0 : -Infinity;
  calls.push(productCall(engine, encoded, { x: x.ptr, y: to.ptr, bias: bias?.ptr ?? 0, lo }));
  const name = form === '4x1' ? form : (keptOf(model, node) ?? 'csr');
  return stepOf(engine, memory, node.name, name, memory.bytes - before, calls);
}

/** "2:4" where two of every four inputs are kept: rows of one length, for the same kernel. */
function keptOf({ engine, params, nonZeros }: SparseModel, node: GraphNode): string | undefined {
  if (nonZeros) return undefined;
  const { weight } = nodeParams(node, params) as { weight: Tensor };
  const [c, , , , kh, kw] = productOf(node)!;
  return patternOf(engine.memory.f32(weight.ptr, weight.size), c, kh * kw);
}

/** Maxima and means of windows. */
function poolStep(layout: Layout, node: GraphNode, i: number): PlanStep | undefined {
  const { engine } = layout.model;
  const window: PoolWindow | undefined = node.layer.window?.(node.options);
  const from = layout.place(layout.source(i));
  if (!window || !sameShape(from.planes.shape, node.inputShapes[0]!)) return undefined;
  const { planes, ptr } = layout.place(i);
  const at = ({ planes: { origin, channel, line }, ptr: base }: Place) =>
    [base + 4 * origin, 4 * channel, 4 * line] as const;
  const call = engine.prepare(
    ...(['pool_lanes', ...planes.shape, layout.lanes, ...window.kernel, ...window.stride] as const),
    ...([...at(from), ...at({ planes, ptr }), Number(window.average)] as const),
  );
  return stepOf(engine, layout.memory, node.name, 'pool', 0, [call]);
}

/** Any other layer, and products that are better dense, over copies as rows of images. */
function otherStep(layout: Layout, node: GraphNode, i: number): PlanStep {
  const { model, memory, lanes } = layout;
  const sources = node.inputs.map((_, k) => layout.source(i, k));
  const inputs = sources.map((j) => layout.zeros(lanes * sizeOf(layout.shape(j))));
  const y = layout.zeros(lanes * sizeOf(node.shape));
  const relu = model.graph.nodes.some((n, j) => layout.roots[j] === i && isRelu(n));
  const job = { batch: lanes, direct: true, costs: layout.costs, relu, x: inputs[0]!, y };
  const dense = model.nonZeros ? undefined : productStep(model, memory, node, job);
  const inner = dense ?? valueStep(model, node, lanes, inputs, y);
  const before = sources.map((j, k) => layout.toImages(j, inputs[k]!));
  const copies = [before, [layout.fromImages(y, i)]].map((calls) =>
    stepOf(model.engine, memory, node.name, 'copy', 0, calls),
  );
  const run = (): void => {
    copies[0]!.run();
    inner.run();
    if (relu && !dense) model.engine.run('relu', lanes * sizeOf(node.shape), y, y);
    copies[1]!.run();
  };
  return { ...inner, run };
}
