/**
 * The engines that espalier is compared with, as far as they are used here. They live in a package of
 * their own (bench/peers/package.json), so that nobody installs them for the library.
 */
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { EspalierError } from '../../src/errors';

export const INSTALL = 'npm ci --prefix bench/peers --ignore-scripts';

/** A package of bench/peers, seen from the project's root. Raises EspalierError where it is missing. */
export function peerPackage<T>(name: string): T {
  try {
    return createRequire(resolve('bench/peers/package.json'))(name) as T;
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new EspalierError(`bench: expected the package ${name}, got "${why}". Run ${INSTALL}.`);
  }
}

/** Whether all of bench/peers is there. */
export function installed(): boolean {
  const require = createRequire(resolve('bench/peers/package.json'));
  try {
    for (const name of PACKAGES) require.resolve(name);
    return true;
  } catch {
    return false;
  }
}

export const PACKAGES = [
  '@tensorflow/tfjs-core',
  '@tensorflow/tfjs-backend-wasm',
  'onnxruntime-web',
  'onnxruntime-node',
] as const;

/** A network in another engine. */
export interface Peer {
  readonly name: string;
  /** From images [n, ...input], laid out as `images` says, to logits [n, classes]. */
  run(images: Float32Array, batch: number): Float32Array | Promise<Float32Array>;
  readonly async: boolean;
  /** Order of an image's values in memory. */
  readonly layout: 'nchw' | 'nhwc';
  free(): void | Promise<void>;
}
