/**
 * Other engines from their import to a first prediction, as programs for processes of their own
 * (bench/edge.ts): packages as they are published, one thread, weights as float32 in files of their
 * own layout.
 */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { writeOnnx } from '../../src/io/onnx/writer';
import type { Model } from '../../src/nn/model';
import { OPTIONS } from './ort';
import { loadTfjs, operationsOf } from './tfjs';

/** JavaScript that uses `read(name)`, a file of the folder, and `image`, and leaves `logits`. */
export type Programs = Readonly<Record<string, string>>;

const REQUIRE = `
  const { createRequire } = await import('node:module');
  const require = createRequire(${JSON.stringify(resolve('bench/peers/package.json'))});`;

const ort = (name: string, provider: string, before = ''): string => `${REQUIRE}
  const { InferenceSession, Tensor, env } = require('${name}');
  ${before}
  const options = ${JSON.stringify({ ...OPTIONS, executionProviders: [provider] })};
  const session = await InferenceSession.create(read('network.onnx'), options);
  const input = new Tensor('float32', image, SHAPE);
  const logits = (await session.run({ input })).logits.data;`;

/** Writes what the programs read, next to which they run. */
export async function rivals(folder: string, model: Model): Promise<Programs> {
  writeFileSync(join(folder, 'network.onnx'), writeOnnx(model));
  await writeTfjs(folder, model);
  const { input } = model.graph.network;
  const shaped = (text: string): string => text.replace('SHAPE', JSON.stringify([1, ...input]));
  return {
    'onnxruntime-web': shaped(ort('onnxruntime-web', 'wasm', 'env.wasm.numThreads = 1;')),
    'tfjs-backend-wasm': `
  const { predict } = await import('./tfjs.mjs');
  const logits = await predict(read, image);`,
    'onnxruntime-node': shaped(ort('onnxruntime-node', 'cpu')),
  };
}

/** The network and the weights it asks for, one after the other, and the program that runs them. */
async function writeTfjs(folder: string, { graph, params }: Model): Promise<void> {
  const tf = await loadTfjs();
  const parts: Float32Array[] = [];
  operationsOf(tf, graph.nodes, (name, shape, order) => {
    const turned = tf.transpose(tf.tensor(params.get(name)!.read(), shape), order);
    parts.push(turned.dataSync());
    return turned;
  });
  writeFileSync(join(folder, 'weights.f32'), Buffer.concat(parts.map((part) => bytesOf(part))));
  const nodes = graph.nodes.map(({ name, kind, options, params: specs, inputShapes, shape }) => ({
    ...{ name, kind, options, inputShapes, shape },
    params: Object.fromEntries(
      Object.entries(specs).map(([local, spec]) => [local, { shape: spec.shape }]),
    ),
  }));
  writeFileSync(join(folder, 'network.json'), JSON.stringify({ nodes, network: graph.network }));
  await build({
    entryPoints: ['bench/peers/tfjs-start.ts'],
    outfile: join(folder, 'tfjs.mjs'),
    ...{ bundle: true, format: 'esm', platform: 'node', target: 'node20', logLevel: 'error' },
  });
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
