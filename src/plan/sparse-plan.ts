/**
 * Compiled plans of masked networks: every product goes over the non-zeros of its weights
 * (assembly/sparse.ts), encoded once, with bias and ReLU in its last write.
 *
 * Up to 16 images lie side by side in the innermost dimension, so that a weight multiplies whole
 * vectors of images whatever the plane and the stride; larger batches run in blocks. With less than
 * 16 images tiles go along planes, and planes are split for strides. A value's buffer has the zero
 * margins that the convolutions after it read, and nothing is copied between products. Layers that
 * are neither product nor pooling run as in the value domain, over a copy.
 *
 * Sums run over the layer's own products only, so certificates speak of these plans (docs/numerics.md).
 * Cost: 2 flops a non-zero and output, each 1.2 (blocks) or 1.5 times (rows) as long as one of a dense
 * product (`SHIPPED` of runtime/costs.ts, measured).
 */
import { expect } from '../errors';
import type { GraphNode } from '../nn/graph';
import type { PoolWindow } from '../nn/layer';
import { type AnyModel, operatorOf } from '../nn/model';
import type { Costs } from '../runtime/costs';
import { type Call, type Engine, workspaceOf } from '../runtime/engine';
import { element, type Ptr } from '../runtime/kernels';
import { keptOf } from '../sparse/blocks';
import { encode, productCall, type SparsePass, splitCalls, viewOfPlanes } from '../sparse/calls';
import { copiedDenseCost, isBare, lanesOf, type SparseOptions, sparseForm } from '../sparse/choice';
import { type Planes, phasesOf, planesOf } from '../sparse/tables';
import { cheapestDense } from '../tensor/algorithms';
import { inputOf } from '../tensor/convolution';
import { sameShape, sizeOf } from '../tensor/shape';
import { step } from '../tensor/tensor';
import { productStep } from './dense-product';
import { compilePlan, type Plan, type PlanOptions } from './plan';
import { Layout } from './sparse-layout';
import { compiled, type PlanMemory, type PlanStep, productOf, valueStep, weightOf } from './steps';

/** Whether the plan over non-zeros should take less time than the dense one. */
export function sparsePlanPays(
  model: AnyModel,
  { batch, ...options }: PlanOptions & SparseOptions,
): boolean {
  const lanes = lanesOf(batch);
  let [dense, sparse] = [0, 0];
  for (const node of model.graph.nodes) {
    const conv = productOf(node);
    if (!conv) continue;
    dense += cheapestDense(conv, batch, options)[1];
    const [, cost] = sparseForm(weightOf(model, node), conv, lanes, options);
    sparse += Math.min(cost, copiedDenseCost(conv, lanes, options.costs));
  }
  return dense >= sparse * Math.ceil(batch / lanes);
}

/** The plan that should take less time: dense, or over the non-zeros. */
export const fastestPlan = (model: AnyModel, options: PlanOptions): Plan =>
  sparsePlanPays(model, options) ? compileSparsePlan(model, options) : compilePlan(model, options);

/** Compiles a model that `lower` made for its zeros; its tensors refuse writes until the plan is freed. */
export function compileSparsePlan(
  model: AnyModel,
  { batch, costs }: Omit<PlanOptions, 'allowWinograd'>,
): Plan {
  const who = 'compileSparsePlan: batch';
  expect(Number.isInteger(batch) && batch > 0, who, 'a whole number > 0', batch);
  const { engine, graph } = model;
  const lanes = lanesOf(batch);
  const [samples, classes] = [sizeOf(graph.network.input), sizeOf(graph.output)];
  return compiled(model, (memory) => {
    const { input, output, steps } = step(engine, () => compile(model, memory, lanes, costs));
    return {
      ...{ model, batch, bytes: memory.bytes, passes: Math.ceil(batch / lanes) },
      steps: steps.slice(1, -1),
      copies: [steps[0]!, steps.at(-1)!],
      run(images: Float32Array) {
        const what = `${batch * samples} numbers`;
        expect(images.length === batch * samples, 'plan.run', what, images.length);
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
  });
}

function compile(model: AnyModel, memory: PlanMemory, lanes: number, costs?: Costs) {
  const { engine, graph } = model;
  const layout = new Layout(model, memory, lanes, { costs });
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

export function stepOf(
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

/** Where a ReLU is written along with the sums of value i: its least value. */
export const floorOf = ({ rectified }: Layout, i: number): number =>
  rectified.has(i) ? 0 : -Infinity;

/**
 * The non-zeros of node i, encoded, and where a pass reads what lies at `from`: elsewhere after the
 * calls that split it for a stride.
 */
export function encodeProduct(
  layout: Layout,
  node: GraphNode,
  i: number,
  from: readonly Ptr[],
  form: 'rows' | 'blocks' = 'rows',
): { readonly pass: SparsePass; readonly xs: readonly Ptr[]; readonly calls: readonly Call[] } {
  const { model, memory, lanes } = layout;
  const { engine } = model;
  const { conv, pass, split, margins } = layout.product(i)!;
  const weight = weightOf(model, node);
  const { planes: whole } = layout.place(layout.source(i));
  const { planes: target } = layout.place(i);
  const [shape, steps] = [inputOf(conv), [conv.strideY, conv.strideX] as const];
  const source = split
    ? planesOf(phasesOf(shape, steps), lanes, margins, layout.columns(i))
    : whole;
  const xs = split ? from.map(() => layout.zeros(source.size)) : from;
  const calls = from.flatMap((ptr, k) => {
    if (!split) return [];
    const views = [viewOfPlanes(ptr, whole), viewOfPlanes(xs[k]!, source)] as const;
    return splitCalls(engine, lanes, shape, steps, ...views);
  });
  const keep = (bytes: number): Ptr => memory.own(bytes);
  const encoded = encode({ engine, keep, weight, conv, pass, source, target, form });
  return { pass: encoded, xs, calls };
}

function sparseStep(layout: Layout, node: GraphNode, i: number): PlanStep | undefined {
  if (!layout.product(i)) return undefined;
  const { model, memory, lanes, options } = layout;
  const { engine, params } = model;
  const [weight, conv] = [weightOf(model, node), productOf(node)!];
  const [form] = sparseForm(weight, conv, lanes, options);
  const [from, to] = [layout.place(layout.source(i)), layout.place(i)];
  const before = memory.bytes;
  const { pass, xs, calls } = encodeProduct(
    layout,
    node,
    i,
    [from.ptr],
    form === '4x1' ? 'blocks' : 'rows',
  );
  const { bias } = operatorOf(node, params);
  const call = productCall(engine, pass, {
    x: xs[0]!,
    y: to.ptr,
    bias: bias ? bias.ptr : 0,
    lo: floorOf(layout, i),
  });
  const name = form === '4x1' ? form : (!isBare(weight) && keptOf(weight, conv)) || 'csr';
  return stepOf(engine, memory, node.name, name, memory.bytes - before, [...calls, call]);
}

/** Maxima and means of windows. */
function poolStep(layout: Layout, node: GraphNode, i: number): PlanStep | undefined {
  const [from, to] = [layout.place(layout.source(i)), layout.place(i)];
  const call = poolCall(layout, node, i, from.ptr, to.ptr);
  return call && stepOf(layout.model.engine, layout.memory, node.name, 'pool', 0, [call]);
}

/** The call, where node i is a pooling of planes. */
export function poolCall(
  layout: Layout,
  node: GraphNode,
  i: number,
  from: Ptr,
  to: Ptr,
): Call | undefined {
  const { model, lanes } = layout;
  const window: PoolWindow | undefined = node.layer.window?.(node.options);
  const { planes: source } = layout.place(layout.source(i));
  if (!window || !sameShape(source.shape, node.inputShapes[0]!)) return undefined;
  const { planes } = layout.place(i);
  const at = ({ origin, channel, line }: Planes, ptr: Ptr) =>
    [element(ptr, origin), 4 * channel, 4 * line] as const;
  // Channels side by side are lanes, too.
  const [c, ...lines] = planes.shape;
  const [channels, across] = planes.column === lanes ? [c, lanes] : [1, planes.column];
  return model.engine.prepare(
    ...(['pool_lanes', channels, ...lines, across, ...window.kernel, ...window.stride] as const),
    ...([...at(source, from), ...at(planes, to), Number(window.average)] as const),
  );
}

/** Any other layer, and products that are better dense, over copies as rows of images. */
function otherStep(layout: Layout, node: GraphNode, i: number): PlanStep {
  const { model, memory, lanes } = layout;
  const sources = node.inputs.map((_, k) => layout.source(i, k));
  const inputs = sources.map((j) => layout.zeros(lanes * sizeOf(layout.shape(j))));
  const y = layout.zeros(lanes * sizeOf(node.shape));
  const relu = floorOf(layout, i) === 0;
  const job = {
    batch: lanes,
    costs: layout.options.costs,
    relu,
    x: inputs[0]!,
    y,
  };
  const dense = productStep(model, memory, node, job);
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
