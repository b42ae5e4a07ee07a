/**
 * The ways to compute a product or convolution of a compiled plan, each one a `Form`: what it costs
 * and the kernel calls it consists of. A plan takes the cheapest form for each layer.
 *
 * Costs are those of src/runtime/costs.ts.
 */
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
import { type ConvShape, depthOf, geometryOf, isMatrix } from '../tensor/convolution';
import type { Tensor } from '../tensor/tensor';

/** A layer to be compiled: y [batch, oc, oh, ow] = W x + b, at 0 or more with `relu`. */
export interface FormJob {
  readonly engine: Engine;
  readonly batch: number;
  readonly conv: ConvShape;
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
  work(conv: ConvShape, batch: number): Work<F>;
  /** Prepares the weights and returns what each run calls. */
  compile(job: FormJob): Call[];
}

/** Whether gathering takes it: a convolution without groups that is no plain matrix. */
const isPlain = (s: ConvShape): boolean => s.groups === 1 && !isMatrix(s);

const gemm: Form<'gemm'> = {
  about: 'packed product',
  direct: true,
  // Whole panels, of at least 4 rows.
  work: (s, batch) =>
    isMatrix(s)
      ? {
          product: s.inChannels * PANEL * Math.ceil(s.outChannels / PANEL) * Math.max(batch, 4),
        }
      : undefined,
  compile({ engine, batch, conv, weight, bias, x, y, relu, keep }) {
    const { inChannels: k, outChannels: n } = conv;
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
  work: (s, batch) => (isMatrix(s) ? { product: s.inChannels * s.outChannels * batch } : undefined),
  compile({ engine, batch, conv, weight, bias, x, y, relu }) {
    const { inChannels: k, outChannels: n } = conv;
    const to = [x, weight.ptr, bias?.ptr ?? 0, y] as const;
    return [engine.prepare('gemv', batch, n, k, ...to, Number(relu))];
  },
};

const conv: Form<'conv'> = {
  about: 'implicit product over gathered windows',
  direct: true,
  work: (s, batch) => (isPlain(s) ? gatheredWork(...geometryOf(s, batch)) : undefined),
  compile({ engine, batch, conv, weight, bias, x, y, relu }) {
    const to = [x, weight.ptr, bias?.ptr ?? 0, y] as const;
    return [engine.prepare('conv2d', ...geometryOf(conv, batch), ...to, Number(relu))];
  },
};

const lines: Form<'lines'> = {
  about: 'taps as offsets into padded planes',
  direct: true,
  work: (s, batch) => (isPlain(s) ? linesWork(...geometryOf(s, batch)) : undefined),
  compile({ engine, batch, conv, weight, bias, x, y, relu }) {
    const to = [x, weight.ptr, bias?.ptr ?? 0, y] as const;
    return [engine.prepare('conv2d_lines', ...geometryOf(conv, batch), ...to, Number(relu))];
  },
};

const winograd: Form<'winograd'> = {
  about: 'minimal filtering on 4 x 4 tiles',
  direct: false,
  work: (s, batch) => (s.groups === 1 ? winogradWork(...geometryOf(s, batch)) : undefined),
  compile({ engine, batch, conv, weight, bias, x, y, relu, keep }) {
    const { inChannels: c, outChannels: oc, kernelHeight: k, strideY: stride } = conv;
    const u = keep(4 * 16 * oc * c * stride * stride);
    const from = [weight.ptr, c * k * k, k * k, 0] as const;
    engine.run('winograd_weights', oc, c, k, stride, ...from, u);
    const to = [x, u, bias?.ptr ?? 0, y] as const;
    return [engine.prepare('conv2d_winograd', ...geometryOf(conv, batch), ...to, Number(relu))];
  },
};

const grouped: Form<'lines'> = {
  about: 'sums over padded planes, group by group',
  direct: true,
  work(s, batch) {
    if (s.groups === 1) return undefined;
    const positions = batch * s.outHeight * 4 * Math.ceil(s.outWidth / 4);
    const product = positions * s.outChannels * depthOf(s);
    const input = batch * s.inChannels * s.height * s.width;
    return { product, tap: 0, output: positions * s.outChannels, input };
  },
  compile({ engine, batch, conv, weight, bias, x, y, relu }) {
    const to = [x, weight.ptr, bias?.ptr ?? 0, y] as const;
    const sizes = [...geometryOf(conv, batch), conv.groups] as const;
    return [engine.prepare('conv2d_grouped', ...sizes, ...to, Number(relu))];
  },
};

/** All forms by name. */
export const forms = { gemm, gemv, conv, lines, winograd, grouped };
export type FormName = keyof typeof forms;

/** The costs a form goes by: its own, but for that of groups, which nothing else competes with. */
export const costsOf = (name: FormName): CostForm => (name === 'grouped' ? 'lines' : name);

/** Infinity where a form does not apply. */
export const formCost = (name: FormName, conv: ConvShape, batch: number, costs?: Costs): number =>
  costOf(costsOf(name), forms[name].work(conv, batch), costs);
