/**
 * Where the values of a plan over non-zeros lie, and which of its products go over their non-zeros
 * (domain/sparse-plan.ts): planes with the margins that the convolutions after them read, and lines
 * of one length where groups of outputs go along planes.
 */
import type { GraphNode } from '../nn/graph';
import type { ProductSizes } from '../nn/layer';
import { type Model, nodeParams } from '../nn/model';
import { type Costs, costOf, type Work } from '../runtime/costs';
import type { Call } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import { type Shape, sameShape, sizeOf } from '../tensor/shape';
import {
  forwardPass,
  GROUP,
  isMatrix,
  type Margins,
  marginsOf,
  type Order,
  overSplitInput,
  type Pass,
  type Planes,
  phasesOf,
  planesOf,
  singles,
} from '../tensor/sparse';
import { BLOCK, type Filling, fillingOf } from '../tensor/sparse-blocks';
import { copyCall, type NonZeros, viewOfImages, viewOfPlanes } from '../tensor/sparse-calls';
import type { Tensor } from '../tensor/tensor';
import { chooseForm, type PlanMemory, productOf, rectifiedRoots, rootsOf } from './plan';

/** A value: its planes and where they are. */
export interface Place {
  readonly planes: Planes;
  readonly ptr: Ptr;
}

/** A product over planes: its pass, and whether its input is split for the stride. */
export interface Product {
  readonly sizes: ProductSizes;
  readonly pass: Pass;
  readonly split: boolean;
  readonly margins: Margins;
}

/** A model whose weights of products may be given as their non-zeros, by node, and not in `params`. */
export interface SparseModel extends Model {
  readonly nonZeros?: (node: string) => NonZeros;
}

/** Images side by side in a plan for batches of this size. */
export const lanesOf = (batch: number): number => Math.min(batch, GROUP);

export function denseCost(
  node: GraphNode,
  batch: number,
  winograd: boolean,
  costs?: Costs,
): number {
  return chooseForm(productOf(node)!, batch, winograd, costs)[1];
}

/** What the forms over non-zeros do, by the keys of their costs. */
export function sparseWork(
  { nnz, blocks, size }: Filling,
  rows: number,
  outputs: number,
): Readonly<{ csr: Work<'csr'>; '4x1': Work<'4x1'>; single: Work<'single'> }> {
  const single = outputs === 1;
  const lanes = GROUP * Math.ceil(outputs / GROUP);
  const each = (entries: number) =>
    single ? undefined : { product: lanes * entries, row: lanes * rows };
  return {
    csr: each(nnz),
    // For zeros: full layers stay dense.
    '4x1': 2 * BLOCK * blocks > size ? undefined : each(BLOCK * blocks),
    single: single ? { product: nnz } : undefined,
  };
}

export interface SparseOptions {
  /** Values in pairs (interval plans): only rows, and forms for a whole group whatever the lanes. */
  readonly pairs?: boolean;
  readonly costs?: Costs | undefined;
}

/** The cheapest form of a product over its non-zeros. */
export function sparseForm(
  { engine, params }: Model,
  node: GraphNode,
  lanes: number,
  { pairs = false, costs }: SparseOptions = {},
): readonly [name: 'csr' | '4x1' | 'single', cost: number] {
  const [, , , oc, , , , , , , , , oh, ow] = productOf(node)!;
  const { weight } = nodeParams(node, params) as { weight: Tensor };
  const filling = fillingOf(engine.memory.f32(weight.ptr, weight.size), oc);
  const side = pairs ? GROUP * Math.ceil(lanes / GROUP) : lanes;
  const work = sparseWork(filling, oc, oh * ow * side);
  const names = pairs ? (['csr'] as const) : (['csr', '4x1', 'single'] as const);
  return names
    .map((name) => [name, costOf(name, work[name], costs)] as const)
    .reduce((best, one) => (one[1] < best[1] ? one : best));
}

export const sparseCost = (...of: Parameters<typeof sparseForm>): number => sparseForm(...of)[1];

/** Of a product of a plan over non-zeros that is dense, with copies before and after. */
export function copiedDenseCost(node: GraphNode, lanes: number, costs?: Costs): number {
  const element = lanes * (sizeOf(node.inputShapes[0]!) + sizeOf(node.shape));
  return denseCost(node, lanes, false, costs) + costOf('copy', { element }, costs);
}

/** A sample's shape as [c, h, w]. */
const planeShape = (shape: Shape): Planes['shape'] =>
  shape.length === 3 ? (shape as Shape & Planes['shape']) : [sizeOf(shape), 1, 1];

/** Where every value of a model lies. */
export class Layout {
  readonly roots: readonly number[];
  /** Values that a ReLU is written into. */
  readonly rectified: ReadonlySet<number>;
  /** Nodes that have each value as their first input. */
  readonly #firstReaders = new Map<number, number[]>();
  readonly #columns = new Map<number, number>();
  readonly #places = new Map<number, Place>();
  readonly #products = new Map<number, Product | undefined>();

  constructor(
    readonly model: SparseModel,
    readonly memory: PlanMemory,
    readonly lanes: number,
    readonly options: SparseOptions = {},
  ) {
    const { nodes } = model.graph;
    this.roots = rootsOf(model.graph);
    this.rectified = rectifiedRoots(model.graph, this.roots);
    for (const j of nodes.keys())
      if (this.roots[j] === j) {
        const readers = this.#firstReaders.get(this.source(j)) ?? [];
        readers.push(j);
        this.#firstReaders.set(this.source(j), readers);
      }
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
    if (!sizes || this.#betterDense(node)) return undefined;
    const [c, h, w, , , , sh, sw] = sizes;
    const shape = this.shape(this.source(i));
    const flat = isMatrix(sizes) && c === sizeOf(shape);
    if (!flat && !sameShape(shape, [c, h, w])) return undefined;
    const split = sh * sw > 1 && this.lanes % GROUP !== 0;
    const pass = split ? overSplitInput(forwardPass(sizes)) : forwardPass(sizes);
    const over = split ? phasesOf([c, h, w], [sh, sw]) : ([c, h, w] as const);
    return { sizes, pass, split, margins: marginsOf([pass], over) };
  }

  #betterDense(node: GraphNode): boolean {
    const { model, options } = this;
    if (model.nonZeros) return false;
    const lanes = options.pairs ? GROUP : this.lanes;
    return copiedDenseCost(node, lanes, options.costs) < sparseCost(model, node, lanes, options);
  }

  /** Positions a line of a product's own split input. */
  columns(i: number): number {
    return this.#columns.get(i)!;
  }

  place(i: number): Place {
    const known = this.#places.get(i);
    if (known) return known;
    const [shape, margins] = [this.shape(i), this.#margins(i)];
    const one = this.lanes * shape[1] * shape[2] === 1;
    const single = !this.options.pairs && one && margins.every((m) => m === 0);
    const planes = single
      ? singles(shape)
      : planesOf(shape, this.lanes, margins, this.#columns.get(i), this.#order(i));
    const place = { planes, ptr: this.zeros(planes.size) };
    this.#places.set(i, place);
    return place;
  }

  zeros(size: number): Ptr {
    const ptr = this.memory.own(4 * size);
    this.model.engine.memory.f32(ptr, size).fill(0);
    return ptr;
  }

  /** Of the value's own place, or of one like it, and of all images or the first. */
  fromImages(ptr: Ptr, i: number, to = this.place(i).ptr, count = this.lanes): Call {
    const { planes } = this.place(i);
    const from = viewOfImages(ptr, planes.shape);
    return copyCall(this.model.engine, count, planes.shape, from, viewOfPlanes(to, planes));
  }

  toImages(i: number, ptr: Ptr, from = this.place(i).ptr, count = this.lanes): Call {
    const { planes } = this.place(i);
    const to = viewOfImages(ptr, planes.shape);
    return copyCall(this.model.engine, count, planes.shape, viewOfPlanes(from, planes), to);
  }

  /** The products that read value i where it lies. */
  #readers(i: number): Product[] {
    return (this.#firstReaders.get(i) ?? []).flatMap((j) => {
      const product = this.product(j);
      return product && !product.split ? [product] : [];
    });
  }

  /** What the convolutions after value i read around its planes. */
  #margins(i: number): Margins {
    return this.#readers(i).reduce<Margins>(
      (most, { margins }) => most.map((m, d) => Math.max(m, margins[d]!)) as unknown as Margins,
      [0, 0, 0, 0],
    );
  }

  /** Whether groups of a product's outputs fill its lines. */
  #fillsLines({ sizes }: Product): boolean {
    return (sizes[13] * this.lanes) % GROUP === 0;
  }

  #order(i: number): Order {
    if (this.options.pairs && this.lanes % GROUP === 0) return 'positions';
    const own = i < 0 ? undefined : this.product(i);
    const lined = (product: Product): boolean =>
      this.#fillsLines(product) || (product !== own && product.sizes[12] === 1);
    return [...(own ? [own] : []), ...this.#readers(i)].every(lined) ? 'lines' : 'planes';
  }

  /** Gives input and output of product i lines of one length where groups go along planes. */
  #stretch(i: number): boolean {
    const product = i < 0 ? undefined : this.product(i);
    if (!product || this.lanes % GROUP === 0) return false;
    const { sizes, split, margins } = product;
    if (sizes[12] === 1 || this.#fillsLines(product)) return false;
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
