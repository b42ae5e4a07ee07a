/**
 * The ways to compute a product or convolution of a compiled plan, each one a `Form`: what it costs
 * and the kernel calls it consists of. A plan takes the cheapest form for each layer.
 *
 * Costs are those of src/runtime/costs.ts.
 */
import type { ProductSizes } from '../nn/layer';
import {
  type CostForm,
  type Costs,
  costOf,
  gatheredWork,
  linesWork,
  type Work,
  winogradWork,
} from '../runtime/costs';
import type { Call, Engine } from '../runtime/engine';
import { PANEL, type Ptr, packedSize } from '../runtime/kernels';
import { isMatrix } from '../tensor/sparse';
import type { Tensor } from '../tensor/tensor';

/** A layer to be compiled: y [batch, oc, oh, ow] = W x + b, at 0 or more with `relu`. */
export interface FormJob {
  readonly engine: Engine;
  readonly batch: number;
  readonly sizes: ProductSizes;
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  readonly x: Ptr;
  readonly y: Ptr;
  readonly relu: boolean;
  /** Memory of the plan, for prepared weights. */
  keep(bytes: number): Ptr;
}

export interface Form<F extends CostForm = CostForm> {
  readonly about: string;
  /**
   * Whether certificates speak of it: it sums the products of the layer in some order, no other
   * numbers (docs/numerics.md).
   */
  readonly direct: boolean;
  /** What it does, by the keys of its costs; nothing where it does not apply. */
  work(sizes: ProductSizes, batch: number): Work<F>;
  /** Prepares the weights and returns what each run calls. */
  compile(job: FormJob): Call[];
}

const gemm: Form<'gemm'> = {
  about: 'packed product',
  direct: true,
  // Whole panels, of at least 4 rows.
  work: (s, batch) =>
    isMatrix(s)
      ? { product: s[0] * PANEL * Math.ceil(s[3] / PANEL) * Math.max(batch, 4) }
      : undefined,
  compile({ engine, batch, sizes, weight, bias, x, y, relu, keep }) {
    const [k, , , n] = sizes;
    const packed = keep(4 * packedSize(k, n));
    engine.run('pack_b', k, n, weight.ptr, 1, k, packed);
    return [
      engine.prepare(
        ...(['gemm', batch, n, k, x, k, 1, packed, bias?.ptr ?? 0, y, 0, Number(relu)] as const),
      ),
    ];
  },
};

const gemv: Form<'gemv'> = {
  about: 'rows of the weights as they lie',
  direct: true,
  work: (s, batch) => (isMatrix(s) ? { product: s[0] * s[3] * batch } : undefined),
  compile({ engine, batch, sizes: [k, , , n], weight, bias, x, y, relu }) {
    const to = [x, weight.ptr, bias?.ptr ?? 0, y] as const;
    return [engine.prepare('gemv', batch, n, k, ...to, Number(relu))];
  },
};

const conv: Form<'conv'> = {
  about: 'implicit product over gathered windows',
  direct: true,
  work: (s, batch) => (isMatrix(s) ? undefined : gatheredWork(batch, ...s)),
  compile({ engine, batch, sizes, weight, bias, x, y, relu }) {
    const to = [x, weight.ptr, bias?.ptr ?? 0, y] as const;
    return [engine.prepare('conv2d', batch, ...sizes, ...to, Number(relu))];
  },
};

const lines: Form<'lines'> = {
  about: 'taps as offsets into padded planes',
  direct: true,
  work: (s, batch) => (isMatrix(s) ? undefined : linesWork(batch, ...s)),
  compile({ engine, batch, sizes, weight, bias, x, y, relu }) {
    const to = [x, weight.ptr, bias?.ptr ?? 0, y] as const;
    return [engine.prepare('conv2d_lines', batch, ...sizes, ...to, Number(relu))];
  },
};

const winograd: Form<'winograd'> = {
  about: 'minimal filtering on 4 x 4 tiles',
  direct: false,
  work: (s, batch) => winogradWork(batch, ...s),
  compile({ engine, batch, sizes, weight, bias, x, y, relu, keep }) {
    const [c, , , oc, k, , stride] = sizes;
    const u = keep(4 * 16 * oc * c * stride * stride);
    const from = [weight.ptr, c * k * k, k * k, 0] as const;
    engine.run('winograd_weights', oc, c, k, stride, ...from, u);
    const to = [x, u, bias?.ptr ?? 0, y] as const;
    return [engine.prepare('conv2d_winograd', batch, ...sizes, ...to, Number(relu))];
  },
};

/** All forms by name. */
export const forms = { gemm, gemv, conv, lines, winograd };
export type FormName = keyof typeof forms;

/** Infinity where a form does not apply. */
export const formCost = (
  name: FormName,
  sizes: ProductSizes,
  batch: number,
  costs?: Costs,
): number => costOf(name, forms[name].work(sizes, batch), costs);
