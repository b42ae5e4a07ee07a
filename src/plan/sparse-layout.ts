/**
 * Where the values of a plan over non-zeros lie, and which of its products go over their non-zeros
 * (plan/sparse-plan.ts): planes with the margins that the convolutions after them read, and lines
 * of one length where tiles of outputs go along planes.
 */
import type { AnyModel } from '../nn/model';
import type { Call } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import { copyCall, viewOfImages, viewOfPlanes } from '../sparse/calls';
import { type SparseOptions, zerosPay } from '../sparse/choice';
import {
  forwardPass,
  type Margins,
  marginsOf,
  type Order,
  overSplitInput,
  type Pass,
  type Planes,
  phasesOf,
  planesOf,
  singles,
  TILE,
} from '../sparse/tables';
import { type ConvShape, inputOf, isMatrix } from '../tensor/convolution';
import { type Shape, sameShape, sizeOf } from '../tensor/shape';
import { type PlanMemory, productOf, rectifiedRoots, rootsOf, weightOf } from './steps';

/** A value: its planes and where they are. */
export interface Place {
  readonly planes: Planes;
  readonly ptr: Ptr;
}

/** A product over planes: its pass, and whether its input is split for the stride. */
export interface Product {
  readonly conv: ConvShape;
  readonly pass: Pass;
  readonly split: boolean;
  readonly margins: Margins;
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
    readonly model: AnyModel,
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
    const conv = productOf(node);
    const side = this.options.pairs ? TILE : this.lanes;
    if (!conv || !zerosPay(weightOf(this.model, node), conv, side, this.options)) return undefined;
    const { strideY: sh, strideX: sw } = conv;
    const shape = this.shape(this.source(i));
    const flat = isMatrix(conv) && conv.inChannels === sizeOf(shape);
    if (!flat && !sameShape(shape, inputOf(conv))) return undefined;
    const split = sh * sw > 1 && this.lanes % TILE !== 0;
    const pass = split ? overSplitInput(forwardPass(conv)) : forwardPass(conv);
    const over = split ? phasesOf(inputOf(conv), [sh, sw]) : inputOf(conv);
    return { conv, pass, split, margins: marginsOf([pass], over) };
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

  /** Copies images to a value's own place, or to one like it: all of them, or the first. */
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

  /** Whether tiles of a product's outputs fill its lines. */
  #fillsLines({ conv }: Product): boolean {
    return (conv.outWidth * this.lanes) % TILE === 0;
  }

  #order(i: number): Order {
    if (this.options.pairs && this.lanes % TILE === 0) return 'positions';
    const own = i < 0 ? undefined : this.product(i);
    const lined = (product: Product): boolean =>
      this.#fillsLines(product) || (product !== own && product.conv.outHeight === 1);
    return [...(own ? [own] : []), ...this.#readers(i)].every(lined) ? 'lines' : 'planes';
  }

  /** Gives input and output of product i lines of one length where tiles go along planes. */
  #stretch(i: number): boolean {
    const product = i < 0 ? undefined : this.product(i);
    if (!product || this.lanes % TILE === 0) return false;
    const { conv, split, margins } = product;
    if (conv.outHeight === 1 || this.#fillsLines(product)) return false;
    const source = this.source(i);
    const splitColumns = Math.ceil(conv.width / conv.strideX) + Math.max(margins[1], margins[3]);
    const before = split ? splitColumns : this.#columns.get(source)!;
    const most = Math.max(before, this.#columns.get(i)!);
    const changes = this.#columns.get(i)! < most || (!split && before < most);
    this.#columns.set(i, most);
    if (!split) this.#columns.set(source, most);
    return changes;
  }
}
