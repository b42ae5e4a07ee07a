/**
 * onnxruntime, in WebAssembly and native: our network as an ONNX file, all of its own optimisations
 * on, one thread.
 */
import { writeOnnx } from '../../src/io/onnx/writer';
import type { Model } from '../../src/nn/model';
import { type Peer, peerPackage } from './packages';

interface OrtTensor {
  readonly data: Float32Array;
}
interface Session {
  run(feeds: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}
interface Ort {
  readonly InferenceSession: { create(bytes: Uint8Array, options: object): Promise<Session> };
  readonly Tensor: new (type: string, data: Float32Array, dims: readonly number[]) => OrtTensor;
  readonly env: { readonly wasm: { numThreads?: number } };
}

export const OPTIONS = {
  graphOptimizationLevel: 'all',
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  logSeverityLevel: 3,
};

/** The model in `onnxruntime-web` (its wasm backend) or `onnxruntime-node` (native, on the CPU). */
export async function ortPeer(
  name: 'onnxruntime-web' | 'onnxruntime-node',
  model: Model,
): Promise<Peer> {
  const { InferenceSession, Tensor, env } = peerPackage<Ort>(name);
  const web = name === 'onnxruntime-web';
  if (web) env.wasm.numThreads = 1;
  const session = await InferenceSession.create(writeOnnx(model), {
    ...OPTIONS,
    executionProviders: [web ? 'wasm' : 'cpu'],
  });
  const sample = model.graph.network.input;
  return {
    name,
    async: true,
    layout: 'nchw',
    async run(images, batch) {
      const { logits } = await session.run({
        input: new Tensor('float32', images, [batch, ...sample]),
      });
      return logits!.data;
    },
    free: () => session.release(),
  };
}
