/**
 * Dense products of compiled plans: the calls that each algorithm (tensor/algorithms.ts) consists of, and the
 * step of a product in its cheapest algorithm, with bias and ReLU in its last write.
 */
import type { GraphNode } from '../nn/graph';
import { type AnyModel, operatorOf } from '../nn/model';
import type { Costs } from '../runtime/costs';
import { type Call, type Engine, workspaceOf } from '../runtime/engine';
import { type OptionalPtr, type Ptr, packedSize } from '../runtime/kernels';
import { isSparse } from '../sparse/weight';
import { type AlgorithmName, cheapestDense } from '../tensor/algorithms';
import { type ConvShape, geometryOf } from '../tensor/convolution';
import type { SumOptions } from '../tensor/ops/product';
import { Tensor } from '../tensor/tensor';
import { type PlanMemory, type PlanStep, productOf } from './steps';

/** A product to be compiled: y [batch, oc, oh, ow] = W x + b, at 0 or more with `relu` 1. */
export interface ProductJob {
  readonly engine: Engine;
  readonly batch: number;
  readonly conv: ConvShape;
  readonly weight: Ptr;
  readonly bias: OptionalPtr;
  readonly x: Ptr;
  readonly y: Ptr;
  readonly relu: number;
  /** Memory of the plan, for prepared weights. */
  keep(bytes: number): Ptr;
}

/** By algorithm: prepares the weight and returns what each run calls. */
export const denseCalls: Readonly<Record<AlgorithmName, (job: ProductJob) => Call>> = {
  gemm({ engine, batch, conv, weight, bias, x, y, relu, keep }) {
    const { inChannels: k, outChannels: n } = conv;
    const packed = keep(4 * packedSize(k, n));
    engine.run('pack_b', k, n, weight, 1, k, packed);
    return engine.prepare('gemm', batch, n, k, x, k, 1, packed, bias, y, 0, relu);
  },
  gemv({ engine, batch, conv: { inChannels: k, outChannels: n }, weight, bias, x, y, relu }) {
    return engine.prepare('gemv', batch, n, k, x, weight, bias, y, relu);
  },
  conv({ engine, batch, conv, weight, bias, x, y, relu }) {
    return engine.prepare('conv2d', ...geometryOf(conv, batch), x, weight, bias, y, relu);
  },
  direct({ engine, batch, conv, weight, bias, x, y, relu }) {
    return engine.prepare('conv2d_direct', ...geometryOf(conv, batch), x, weight, bias, y, relu);
  },
  winograd({ engine, batch, conv, weight, bias, x, y, relu, keep }) {
    const { inChannels: c, outChannels: oc, kernelHeight: k, strideY: stride } = conv;
    const u = keep(4 * 16 * oc * c * stride * stride);
    engine.run('winograd_weights', oc, c, k, stride, weight, c * k * k, k * k, 0, u);
    return engine.prepare('conv2d_winograd', ...geometryOf(conv, batch), x, u, bias, y, relu);
  },
  grouped({ engine, batch, conv, weight, bias, x, y, relu }) {
    const sizes = [...geometryOf(conv, batch), conv.groups] as const;
    return engine.prepare('conv2d_grouped', ...sizes, x, weight, bias, y, relu);
  },
};

interface StepJob extends SumOptions {
  readonly batch: number;
  readonly costs?: Costs | undefined;
  readonly relu: boolean;
  readonly x: Ptr;
  readonly y: Ptr;
}

/** The step of a product in its cheapest algorithm; none of other nodes, and where only non-zeros are at hand. */
export function productStep(
  { engine, params }: AnyModel,
  memory: PlanMemory,
  node: GraphNode,
  { batch, relu, x, y, ...options }: StepJob,
): PlanStep | undefined {
  const conv = productOf(node);
  if (!conv) return undefined;
  const { weight: own, bias } = operatorOf(node, params);
  const weight = own && isSparse(own) ? own.dense : own;
  if (!(weight instanceof Tensor)) return undefined;
  const [name] = cheapestDense(conv, batch, options);
  const before = memory.bytes;
  const keep = (bytes: number): Ptr => memory.own(bytes);
  const call = denseCalls[name]({
    ...{ engine, batch, conv, x, y, keep },
    ...{ weight: weight.ptr, bias: bias ? bias.ptr : 0, relu: Number(relu) },
  });
  memory.workspace = Math.max(memory.workspace, workspaceOf(call));
  // Bound at the first run, when the place of the workspace is known.
  let bound: (() => void) | undefined;
  const run = (): void => {
    bound ??= engine.bind(call, memory.scratch);
    bound();
  };
  return { node: node.name, form: name, bytes: memory.bytes - before, run };
}
