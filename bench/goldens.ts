/**
 * Networks that others trained, and the rates at which auto_LiRPA verified them. The networks lie
 * beside the project (../shared/goldens, third-party data that is not part of it); the rates are CPU
 * ms an image, float32, one thread, batch 4 to 10, from a machine of the same kind on another day:
 * shared with others, so good to 20 %.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mnist } from '../src/data/mnist';
import { readModelFile } from '../src/io/read';
import type { Model } from '../src/nn/model';
import type { Normalisation } from '../src/nn/prepend';
import type { Engine } from '../src/runtime/engine';
import type { VerifyJob } from '../src/verify/verifier';

/** Relative to the root, where benches run. */
export const FOLDER = '../shared/goldens';
export const present = (): boolean => existsSync(`${FOLDER}/models/models.json`);

export interface Question {
  readonly network: string;
  readonly data: 'mnist' | 'cifar';
  readonly eps: number;
}

export type Method = 'interval' | 'CROWN-IBP' | 'CROWN';

export interface Recorded extends Question {
  /** CPU ms an image. */
  readonly ms: Readonly<Record<Method, number>>;
}

const ms = (interval: number, ibp: number, crown: number): Recorded['ms'] => ({
  interval,
  'CROWN-IBP': ibp,
  CROWN: crown,
});

/** auto_LiRPA 0.7.1: the eight networks that it was run on in batches. */
export const RECORDED: readonly Recorded[] = [
  { network: 'kw_mnist', data: 'mnist', eps: 0.1, ms: ms(0.61, 1.6, 27) },
  { network: 'lirpa_mnist_cnn_small', data: 'mnist', eps: 0.02, ms: ms(0.54, 1.2, 3.1) },
  { network: 'lirpa_mnist_fc_3layer', data: 'mnist', eps: 0.02, ms: ms(0.22, 0.43, 1.6) },
  { network: 'eran_mnist_6_100', data: 'mnist', eps: 0.01, ms: ms(0.46, 0.9, 7.3) },
  { network: 'kw_cifar_small_8px', data: 'cifar', eps: 0.139 * 0.225, ms: ms(0.82, 2.4, 9.2) },
  { network: 'lirpa_cifar_2c2f', data: 'cifar', eps: 2 / 255, ms: ms(0.43, 2, 23) },
  { network: 'oval_cifar_base', data: 'cifar', eps: 2 / 255, ms: ms(0.68, 1.8, 28) },
  { network: 'resnet2b', data: 'cifar', eps: 1 / 255, ms: ms(2.1, 4.5, 520) },
];

/** A network behind its input normalisation, so that inputs are in [0, 1]. */
export async function openNetwork(engine: Engine, network: string): Promise<Model> {
  const models = JSON.parse(readFileSync(`${FOLDER}/models/models.json`, 'utf8'));
  const normalise: Normalisation = models[network].input_normalisation;
  return (await readModelFile(engine, `${FOLDER}/models/${network}.onnx`, { normalise })).model;
}

/** The first test images, in [0, 1]. CIFAR-10's are records of a label and 3072 pixels. */
export async function firstOf(
  data: Question['data'],
  count: number,
): Promise<Pick<VerifyJob, 'images' | 'labels'>> {
  if (data === 'mnist') {
    const { test } = await mnist.load({});
    const images = Float32Array.from(test.images.subarray(0, 784 * count), (byte) => byte / 255);
    return { images, labels: Int32Array.from(test.labels.subarray(0, count)) };
  }
  const file = readFileSync(`${FOLDER}/data/cifar10_test_first1017.bin`);
  const records = Array.from({ length: count }, (_, i) => file.subarray(3073 * i, 3073 * (i + 1)));
  const pixels = records.flatMap((record) => [...record.subarray(1)]);
  return {
    images: Float32Array.from(pixels, (byte) => byte / 255),
    labels: Int32Array.from(records, (record) => record[0]!),
  };
}
