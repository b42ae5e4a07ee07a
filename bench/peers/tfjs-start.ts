/** In a process of its own: a network and weights of files (start.ts) in TensorFlow.js. */
import type { Graph } from '../../src/nn/graph';
import { loadTfjs, operationsOf } from './tfjs';

/** From one image, the same for every order of its axes. */
export async function predict(
  read: (name: string) => Uint8Array,
  image: Float32Array,
): Promise<Float32Array> {
  const tf = await loadTfjs();
  const { nodes, network } = JSON.parse(String(read('network.json'))) as Graph;
  const bytes = read('weights.f32');
  let at = bytes.byteOffset;
  const operations = operationsOf(tf, nodes, (_, shape, order) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = new Float32Array(bytes.buffer, at, size);
    at += 4 * size;
    return tf.tensor(
      values,
      order.map((axis) => shape[axis]!),
    );
  });
  const [c, h, w] = network.input as [number, number, number];
  const x = tf.tensor(image, [1, h, w, c]);
  return operations.reduce((value, operation) => operation(value), x).dataSync();
}
