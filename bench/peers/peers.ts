/**
 * Forward passes beside the engines that users would pick instead: the same networks, weights and
 * images, one thread each, in one interleaved race. Every engine goes from an array of images to one
 * of logits; batch norm is folded away for all of them; the outputs have to be equal to 1e-4.
 */

import { freeModel, type Model } from '../../src/nn/model';
import { compilePlan } from '../../src/plan/plan';
import type { Binary } from '../../src/runtime/engine';
import { sizeOf } from '../../src/tensor/shape';
import { NETWORKS } from '../forward';
import type { Contestant, Quotient } from '../harness';
import { assertClose, forwardFlops, loweredOf, noise, outputs, planned } from '../networks';
import type { Subject } from '../subject';
import { ortPeer } from './ort';
import type { Peer } from './packages';
import { tfjsPeer } from './tfjs';

const OURS = 'espalier';
const TOLERANCE = 1e-4;

/** Ratios that are wanted: `simd` on Node 20, `relaxed` on Node 24; one image counts apart. */
const BARS: Readonly<
  Record<Binary, Readonly<Record<string, readonly [many: number, one: number]>>>
> = {
  simd: { 'tfjs-backend-wasm': [1.1, 1], 'onnxruntime-web': [1.6, 1.6] },
  relaxed: { 'tfjs-backend-wasm': [1.4, 1.4], 'onnxruntime-web': [2, 2] },
};

export const peers: Subject = {
  about: 'forward passes beside tfjs-backend-wasm, onnxruntime-web and onnxruntime-node',
  async *races({ engine, size }) {
    for (const { setting, batches } of NETWORKS[size]) {
      const model = loweredOf(engine, setting);
      const others = await peersOf(model);
      for (const batch of batches) {
        const plan = compilePlan(model, { batch, allowWinograd: true });
        yield {
          title: `${setting.network}, forward, batch ${batch}`,
          contestants: [planned(OURS, plan), ...others.map((peer) => rival(peer, model, batch))],
          quotients: others.map(({ name }) => quotient(name, engine.binary, batch)),
        };
        plan.free();
      }
      for (const other of others) await other.free();
      freeModel(model);
    }
  },
};

function quotient(name: string, binary: Binary, batch: number): Quotient {
  const bar = BARS[binary][name]?.[batch === 1 ? 1 : 0];
  return { of: OURS, to: name, ...(bar === undefined ? {} : { bar }) };
}

export const peersOf = async (model: Model): Promise<Peer[]> => [
  await tfjsPeer(model),
  await ortPeer('onnxruntime-web', model),
  await ortPeer('onnxruntime-node', model),
];

/** A forward pass of another engine, checked against ours in the value domain. */
export function rival(peer: Peer, model: Model, batch: number): Contestant {
  const sample = model.graph.network.input;
  const images = noise(batch * sizeOf(sample));
  const own = peer.layout === 'nchw' ? images : channelsLast(images, sample);
  const run = () => peer.run(own, batch);
  return {
    name: peer.name,
    flops: batch * forwardFlops(model),
    images: batch,
    run,
    async: peer.async,
    check: async () => assertClose(await run(), outputs(model, images), TOLERANCE, peer.name),
  };
}

/** [n, c, h, w] -> [n, h, w, c]. */
function channelsLast(images: Float32Array, sample: readonly number[]): Float32Array {
  const [c, h, w] = sample as [number, number, number];
  const plane = h * w;
  return Float32Array.from(images, (_, i) => {
    const [image, place, channel] = [Math.floor(i / (c * plane)), Math.floor(i / c) % plane, i % c];
    return images[(image * c + channel) * plane + place]!;
  });
}
