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
import type { PoolWindow, ProductSizes } from '../nn/layer';
import { type Model, nodeParams } from '../nn/model';
import { type Call, type Engine, workspaceOf } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import {
  copyCall,
  encode,
  productCall,
  splitCalls,
  viewOfImages,
  viewOfPlanes,
} from '../tensor/ops/sparse';
import { type Shape, sameShape, sizeOf } from '../tensor/shape';
import {
  forwardPass,
  GROUP,
  type Margins,
  marginsOf,
  overSplitInput,
  type Pass,
  type Planes,
  phasesOf,
  planesOf,
} from '../tensor/sparse';
import { step, type Tensor } from '../tensor/tensor';
import {
  chooseForm,
  compilePlan,
  isRelu,
  type Plan,
  PlanMemory,
  type PlanOptions,
  type PlanStep,
  productOf,
  productStep,
  rootsOf,
  valueStep,
} from './plan';

/** A value: its planes and where they are. */
interface Place {
  readonly planes: Planes;
  readonly ptr: Ptr;
}

/** A product over planes: its pass, and whether its input is split for the stride. */
interface Product {
  readonly sizes: ProductSizes;
  readonly pass: Pass;
  readonly split: boolean;
  readonly margins: Margins;
}

/** Images side by side in a plan for batches of this size. */
export const lanesOf = (batch: number): number => Math.min(batch, GROUP);

/**
 * Costs as those of forms.ts, in multiply-adds of the register tile that take as long: of a
 * non-zero and output; of a row and output, in non-zeros; of a non-zero for single outputs; of an
 * element copied between layouts. Measured (bench/sparse.ts).
 */
const COST = { output: 1.5, row: 2, single: 9, copied: 37 };

/** The plan that should take less time: dense, or over the non-zeros. */
export function fastestPlan(model: Model, { batch, direct = false }: PlanOptions): Plan {
  const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
  const products = model.graph.nodes.filter((node) => productOf(node));
  const dense = products.map((node) => denseCost(node, batch, direct));
  const lanes = lanesOf(batch);
  const sparse = products.map((node) => sparseCost(model, node, lanes));
  return sum(dense) < sum(sparse) * Math.ceil(batch / lanes)
    ? compilePlan(model, { batch, direct })
    : compileSparsePlan(model, { batch });
}

function denseCost(node: GraphNode, batch: number, direct: boolean): number {
  const sizes = productOf(node)!;
  return chooseForm(sizes, batch, direct)[1].cost(sizes, batch);
}

function sparseCost({ engine, params }: Model, node: GraphNode, lanes: number): number {
  const [, , , oc, , , , , , , , , oh, ow] = productOf(node)!;
  const { weight } = nodeParams(node, params) as { weight: Tensor };
  const nnz = engine.memory.f32(weight.ptr, weight.size).reduce((n, v) => (v === 0 ? n : n + 1), 0);
  const outputs = oh * ow * lanes;
  if (outputs === 1) return COST.single * nnz;
  return COST.output * GROUP * Math.ceil(outputs / GROUP) * (nnz + COST.row * oc);
}

/** Whether a product of a plan over non-zeros is better dense, with copies before and after. */
function betterDense({ model, lanes }: Layout, node: GraphNode): boolean {
  const copied = lanes * (sizeOf(node.inputShapes[0]!) + sizeOf(node.shape));
  const dense = denseCost(node, lanes, true) + COST.copied * copied;
  return dense < sparseCost(model, node, lanes);
}

/** Compiles a model that `lower` made for its zeros. */
export function compileSparsePlan(model: Model, { batch }: Pick<PlanOptions, 'batch'>): Plan {
  const who = 'compileSparsePlan: batch';
  expect(Number.isInteger(batch) && batch > 0, who, 'a whole number > 0', batch);
  const { engine, graph } = model;
  const memory = new PlanMemory(engine);
  try {
    const lanes = lanesOf(batch);
    const { input, output, steps } = step(engine, () => compile(model, memory, lanes));
    const [samples, classes] = [sizeOf(graph.network.input), sizeOf(graph.output)];
    return {
      model,
      batch,
      steps: steps.filter(({ node }) => node !== ''),
      bytes: memory.bytes,
      run(images) {
        expect(
          images.length === batch * samples,
          'plan.run',
          `${batch * samples} numbers`,
          images.length,
        );
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

function compile(model: Model, memory: PlanMemory, lanes: number) {
  const { engine, graph } = model;
  const layout = new Layout(model, memory, lanes);
  const { input } = graph.network;
  const last = layout.roots.at(-1)!;
  const images = layout.zeros(lanes * sizeOf(input));
  const logits = layout.zeros(lanes * sizeOf(graph.output));
  const copies = (name: string, calls: readonly Call[]): PlanStep =>
    stepOf(engine, memory, name, 'copy', 0, calls);
  const steps = [copies('', [layout.fromImages(images, -1)])];
  graph.nodes.forEach((node, i) => {
    if (layout.roots[i] !== i) return;
    steps.push(
      sparseStep(layout, node, i) ?? poolStep(layout, node, i) ?? otherStep(layout, node, i),
    );
  });
  steps.push(copies('', [layout.toImages(last, logits)]));
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

/** A sample's shape as [c, h, w]. */
const planeShape = (shape: Shape): Planes['shape'] =>
  shape.length === 3 ? (shape as Shape & Planes['shape']) : [sizeOf(shape), 1, 1];

/** Where every value of a model lies. */
class Layout {
  readonly roots: readonly number[];
  readonly #columns = new Map<number, number>();
  readonly #places = new Map<number, Place>();
  readonly #products = new Map<number, Product | undefined>();

  constructor(
    readonly model: Model,
    readonly memory: PlanMemory,
    readonly lanes: number,
  ) {
    const { nodes } = model.graph;
    this.roots = rootsOf(model.graph);
    const own = [-1, ...nodes.keys()].filter((i) => i < 0 || this.roots[i] === i);
    for (const i of own) {
      const [, left, , right] = this.#margins(i);
      this.#columns.set(i, this.shape(i)[2] + Math.max(left, right));
    }
    while (own.some((i) => this.#stretch(i)));
  }

  shape(i: number): Planes['shape'] {
    const { network, nodes } = this.model.graph;
    return planeShape(i < 0 ? network.input : nodes[i]!.shape);
  }

  /** The value that is the first input of node i. */
  source(i: number, input = 0): number {
    const j = this.model.graph.nodes[i]!.inputs[input]!;
    return j < 0 ? j : this.roots[j]!;
  }

  /** Node i as a product over the planes of its input. */
  product(i: number): Product | undefined {
    if (!this.#products.has(i)) this.#products.set(i, this.#productOf(i));
    return this.#products.get(i);
  }

  #productOf(i: number): Product | undefined {
    const node = this.model.graph.nodes[i]!;
    const sizes = productOf(node);
    if (!sizes || betterDense(this, node)) return undefined;
    const [c, h, w, , kh, kw, sh, sw] = sizes;
    const shape = this.shape(this.source(i));
    const flat = h * w * kh * kw === 1 && c === sizeOf(shape);
    if (!flat && !sameShape(shape, [c, h, w])) return undefined;
    const split = sh * sw > 1 && this.lanes % GROUP !== 0;
    const pass = split ? overSplitInput(forwardPass(sizes)) : forwardPass(sizes);
    const over = split ? phasesOf([c, h, w], [sh, sw]) : ([c, h, w] as const);
    return { sizes, pass, split, margins: marginsOf([pass], over) };
  }

  /** Positions a line of a product's own split input. */
  columns(i: number): number {
    return this.#columns.get(i)!;
  }

  place(i: number): Place {
    const known = this.#places.get(i);
    if (known) return known;
    const planes = planesOf(this.shape(i), this.lanes, this.#margins(i), this.#columns.get(i));
    const place = { planes, ptr: this.zeros(planes.size) };
    this.#places.set(i, place);
    return place;
  }

  zeros(size: number): Ptr {
    const ptr = this.memory.own(4 * size);
    this.model.engine.memory.f32(ptr, size).fill(0);
    return ptr;
  }

  fromImages(ptr: Ptr, i: number): Call {
    const { planes, ptr: to } = this.place(i);
    const from = viewOfImages(ptr, planes.shape);
    return copyCall(this.model.engine, this.lanes, planes.shape, from, viewOfPlanes(to, planes));
  }

  toImages(i: number, ptr: Ptr): Call {
    const { planes, ptr: from } = this.place(i);
    const to = viewOfImages(ptr, planes.shape);
    return copyCall(this.model.engine, this.lanes, planes.shape, viewOfPlanes(from, planes), to);
  }

  /** What the convolutions after value i read around its planes. */
  #margins(i: number): Margins {
    const after = this.model.graph.nodes.flatMap((_, j) => {
      if (this.roots[j] !== j || this.source(j) !== i) return [];
      const product = this.product(j);
      return product && !product.split ? [product.margins] : [];
    });
    return after.reduce<Margins>(
      (most, one) => most.map((m, d) => Math.max(m, one[d]!)) as unknown as Margins,
      [0, 0, 0, 0],
    );
  }

  /** Gives input and output of product i lines of one length where groups go along planes. */
  #stretch(i: number): boolean {
    const product = i < 0 ? undefined : this.product(i);
    if (!product || this.lanes % GROUP === 0) return false;
    const { sizes, split, margins } = product;
    const [oh, ow] = [sizes[12], sizes[13]];
    if (oh === 1 || (ow * this.lanes) % GROUP === 0) return false;
    const source = this.source(i);
    const splitColumns = Math.ceil(sizes[2] / sizes[7]) + Math.max(margins[1], margins[3]);
    const before = split ? splitColumns : this.#columns.get(source)!;
    const most = Math.max(before, this.#columns.get(i)!);
    const changes = this.#columns.get(i)! < most || (!split && before < most);
    this.#columns.set(i, most);
    if (!split) this.#columns.set(source, most);
    return changes;
  }
}

function sparseStep(layout: Layout, node: GraphNode, i: number): PlanStep | undefined {
  const product = layout.product(i);
  if (!product) return undefined;
  const { model, memory, lanes } = layout;
  const { engine, params, graph } = model;
  const { sizes, pass, split, margins } = product;
  const { weight, bias } = nodeParams(node, params) as { weight: Tensor; bias?: Tensor };
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
  const encoded = encode({ engine, keep, weight, sizes, pass, source, target });
  const relu = graph.nodes.some((n, j) => layout.roots[j] === i && isRelu(n));
  const lo = relu ? 0 : -Infinity;
  calls.push(productCall(engine, encoded, { x: x.ptr, y: to.ptr, bias: bias?.ptr ?? 0, lo }));
  return stepOf(engine, memory, node.name, 'csr', memory.bytes - before, calls);
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
  const job = { batch: lanes, direct: true, relu, x: inputs[0]!, y };
  const inner = productStep(model, memory, node, job) ?? valueStep(model, node, lanes, inputs, y);
  const before = sources.map((j, k) => layout.toImages(j, inputs[k]!));
  const copies = [before, [layout.fromImages(y, i)]].map((calls) =>
    stepOf(model.engine, memory, node.name, 'copy', 0, calls),
  );
  const run = (): void => {
    copies[0]!.run();
    inner.run();
    copies[1]!.run();
  };
  return { ...inner, run };
}
