/**
 * TensorFlow.js with its WebAssembly backend (SIMD, one thread): our network as its operations, on our
 * weights. It works on [h, w, c], so kernels are turned, and the dense layer behind a flatten reads
 * its inputs in that order; bias and relu are fused into convolutions and products.
 */
import type { Graph, GraphNode } from '../../src/nn/graph';
import { both } from '../../src/nn/layers/window';
import type { Model } from '../../src/nn/model';
import type { Shape } from '../../src/tensor/shape';
import { type Peer, peerPackage } from './packages';

interface TfTensor {
  dataSync(): Float32Array;
  dispose(): void;
}
type Activation = 'linear' | 'relu';
interface Tf {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor(values: Float32Array, shape: readonly number[]): TfTensor;
  tidy<T>(fn: () => T): T;
  transpose(x: TfTensor, order: readonly number[]): TfTensor;
  reshape(x: TfTensor, shape: readonly number[]): TfTensor;
  relu(x: TfTensor): TfTensor;
  maxPool(x: TfTensor, kernel: number[], stride: number[], pad: 'valid'): TfTensor;
  readonly fused: {
    conv2d(options: {
      readonly x: TfTensor;
      readonly filter: TfTensor;
      readonly strides: readonly [number, number];
      readonly pad: number;
      readonly dimRoundingMode: 'floor';
      readonly bias?: TfTensor | undefined;
      readonly activation: Activation;
    }): TfTensor;
    matMul(options: {
      readonly a: TfTensor;
      readonly b: TfTensor;
      readonly bias?: TfTensor | undefined;
      readonly activation: Activation;
    }): TfTensor;
  };
}
interface Wasm {
  setThreadsCount(count: number): void;
}

type Operation = (x: TfTensor) => TfTensor;

/** What the builders below get of a node. */
interface Place {
  readonly tf: Tf;
  readonly node: GraphNode;
  /** A weight by local name, turned into another order of axes. */
  weight(local: string, shape: Shape, order: readonly number[]): TfTensor;
  /** Whether a relu follows, which is then part of this operation. */
  readonly activation: Activation;
  /** Shape of the sample that was flattened before this node, if one was. */
  readonly flattened: Shape | undefined;
}

const BUILDERS: Readonly<Record<string, (place: Place) => Operation>> = {
  conv2d({ tf, node: { options: o, params }, weight, activation }) {
    const filter = weight('weight', params.weight!.shape, [2, 3, 1, 0]);
    const bias = o.bias ? weight('bias', params.bias!.shape, [0]) : undefined;
    const strides = both(o.stride as number);
    const pad = o.padding as number;
    const options = { filter, strides, pad, dimRoundingMode: 'floor', bias, activation } as const;
    return (x) => tf.fused.conv2d({ x, ...options });
  },
  dense({ tf, node: { options: o, params }, weight, activation, flattened }) {
    const [units, inputs] = params.weight!.shape as [number, number];
    const [shape, order] = flattened
      ? [
          [units, ...flattened],
          [2, 3, 1, 0],
        ]
      : [
          [units, inputs],
          [1, 0],
        ];
    const b = tf.reshape(weight('weight', shape, order), [inputs, units]);
    const bias = o.bias ? weight('bias', [units], [0]) : undefined;
    return (a) => tf.fused.matMul({ a, b, bias, activation });
  },
  'max-pool'({ tf, node: { options: o } }) {
    const kernel = both(o.kernel as number);
    const stride = both((o.stride ?? o.kernel) as number);
    return (x) => tf.maxPool(x, kernel, stride, 'valid');
  },
  flatten:
    ({ tf, node: { shape } }) =>
    (x) =>
      tf.reshape(x, [-1, ...shape]),
};

/** Its packages, loaded and ready. */
export async function loadTfjs(): Promise<Tf> {
  const tf = peerPackage<Tf>('@tensorflow/tfjs-core');
  peerPackage<Wasm>('@tensorflow/tfjs-backend-wasm').setThreadsCount(1);
  await tf.setBackend('wasm');
  await tf.ready();
  return tf;
}

/** A parameter by name, its values turned into another order of axes. */
type Weight = (name: string, shape: Shape, order: readonly number[]) => TfTensor;

/** A chain of the layers above, with relus behind those that take one in. */
export function operationsOf(tf: Tf, nodes: Graph['nodes'], weight: Weight): Operation[] {
  return nodes.flatMap((node, i) => {
    if (node.kind === 'relu') return [];
    const build = BUILDERS[node.kind];
    if (!build) throw new Error(`tfjs: expected a chain of known layers, got ${node.kind}`);
    return build({
      tf,
      node,
      weight: (local, shape, order) => weight(`${node.name}.${local}`, shape, order),
      activation: nodes[i + 1]?.kind === 'relu' ? 'relu' : 'linear',
      flattened: nodes[i - 1]?.kind === 'flatten' ? nodes[i - 1]!.inputShapes[0] : undefined,
    });
  });
}

export async function tfjsPeer(model: Model): Promise<Peer> {
  const tf = await loadTfjs();
  const { nodes, network } = model.graph;
  const kept: TfTensor[] = [];
  const operations = operationsOf(tf, nodes, (name, shape, order) => {
    const values = model.params.get(name)!.read();
    const turned = tf.tidy(() => tf.transpose(tf.tensor(values, shape), order));
    kept.push(turned);
    return turned;
  });
  const [c, h, w] = network.input as [number, number, number];
  return {
    name: 'tfjs-backend-wasm',
    async: false,
    layout: 'nhwc',
    run: (images, batch) =>
      tf.tidy(() => {
        const x = tf.tensor(images, [batch, h, w, c]);
        return operations.reduce((value, operation) => operation(value), x).dataSync();
      }),
    free() {
      for (const tensor of kept) tensor.dispose();
    },
  };
}
