/**
 * The speed of this machine: products, convolutions, forward passes and training steps. Every row is
 * the median of many calls after a warm-up, with the spread of its middle half.
 */

import { createModel, freeModel, type Model } from '../nn/model';
import { freeTraining, leavesOf, parameterise } from '../nn/training-model';
import { buildNetwork } from '../nn/zoo';
import { parseOptions } from '../options';
import { compilePlan } from '../plan/plan';
import type { Engine } from '../runtime/engine';
import { conv2d, matmul } from '../tensor/ops/product';
import { filled, step } from '../tensor/tensor';
import { trainStep } from '../train/loop';
import { objectives } from '../train/objectives/registry';
import { createOptimizer, freeOptimizer } from '../train/optimizers';
import { inspect } from './inspect';

export interface BenchRow {
  readonly name: string;
  readonly images_per_second?: number;
  readonly gflops?: number;
  /** Seconds a call. */
  readonly median: number;
  /** Interquartile range over the median. */
  readonly spread: number;
}

interface Case {
  readonly name: string;
  /** Floating-point operations and images of one call. */
  readonly flops: number;
  readonly images?: number;
  run(): void;
  free?(): void;
}

/** All rows in about `seconds`. */
export async function benchmark(
  engine: Engine,
  { seconds }: { seconds: number },
): Promise<BenchRow[]> {
  const makers = [
    () => product(engine, 128, 1568, 100),
    () => product(engine, 512, 512, 512),
    () => convolution(engine, 128, 16, 14, 32, 4, 2),
    () => convolution(engine, 16, 64, 32, 64, 3, 1),
    () => forward(engine, 'cnn-small', 1),
    () => forward(engine, 'cnn-small', 128),
    () => forward(engine, 'cnn-large', 1),
    () => forward(engine, 'cnn-large', 64),
    () => training(engine, 'cnn-small', 'benign', 128),
    () => training(engine, 'cnn-large', 'benign', 128),
    () => training(engine, 'cnn-small', 'ibp', 128),
  ];
  const rows: BenchRow[] = [];
  for (const make of makers) {
    const one = make();
    rows.push(measure(one, seconds / makers.length));
    one.free?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return rows;
}

/** Float32 matrix product in GFLOP/s, measured for about `seconds`. */
export function productSpeed(engine: Engine, seconds: number): number {
  return measure(product(engine, 512, 512, 512), seconds).gflops;
}

function measure(
  { name, flops, images, run }: Case,
  seconds: number,
): BenchRow & { readonly gflops: number } {
  const times: number[] = [];
  const end = performance.now() + 1000 * seconds;
  for (let call = 0; call < 9 || performance.now() < end; call++) {
    const started = performance.now();
    run();
    if (call >= 3) times.push((performance.now() - started) / 1000);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.floor(share * (times.length - 1))]!;
  const median = at(0.5);
  return {
    name,
    ...(images ? { images_per_second: images / median } : {}),
    gflops: flops / median / 1e9,
    median,
    spread: (at(0.75) - at(0.25)) / median,
  };
}

function product(engine: Engine, m: number, k: number, n: number): Case {
  const run = (): void =>
    step(engine, () => {
      matmul(filled(engine, [m, k], 0.5), filled(engine, [n, k], 0.5), { tb: true });
    });
  return { name: `product ${m} x ${k} x ${n}`, flops: 2 * m * k * n, run };
}

function convolution(
  engine: Engine,
  batch: number,
  channels: number,
  side: number,
  out: number,
  kernel: number,
  stride: number,
): Case {
  const pad = 1;
  const size = Math.floor((side + 2 * pad - kernel) / stride) + 1;
  const options = { stride, pad, dilation: 1 };
  const both = (n: number): [number, number] => [n, n];
  return {
    name: `conv ${kernel}x${kernel}/${stride} ${channels} to ${out}, ${side}x${side}, batch ${batch}`,
    flops: 2 * batch * channels * kernel * kernel * out * size * size,
    run: () =>
      step(engine, () => {
        const x = filled(engine, [batch, channels, side, side], 0.5);
        const w = filled(engine, [out, channels, kernel, kernel], 0.5);
        conv2d(x, w, {
          stride: both(options.stride),
          pad: [pad, pad, pad, pad],
          dilation: both(options.dilation),
        });
      }),
  };
}

function mnistModel(engine: Engine, network: string): { model: Model; macs: number } {
  const model = createModel(engine, buildNetwork(network, {}, [1, 28, 28], 10), { seed: 1 });
  const macs = inspect(model).layers.reduce((total, layer) => total + layer.macs, 0);
  return { model, macs };
}

function images(count: number): Float32Array {
  return Float32Array.from({ length: count * 784 }, (_, i) => ((i * 37) % 256) / 255);
}

function forward(engine: Engine, network: string, batch: number): Case {
  const { model, macs } = mnistModel(engine, network);
  const data = images(batch);
  const plan = compilePlan(model, { batch });
  return {
    name: `forward ${network}, batch ${batch}`,
    flops: 2 * macs * batch,
    images: batch,
    run: () => void plan.run(data),
    free() {
      plan.free();
      freeModel(model);
    },
  };
}

/** Forward passes' worth of one training step. */
const PASSES: Readonly<Record<string, number>> = { benign: 3, ibp: 9 };

function training(engine: Engine, network: string, name: string, batch: number): Case {
  const { model: plain, macs } = mnistModel(engine, network);
  const objective = objectives[name]!;
  const model = parameterise(plain);
  const optimizer = createOptimizer(leavesOf(model), {
    optimizer: 'adam',
    weightDecay: 0,
    momentum: 0.9,
    gradientClip: 10,
  });
  const index = Int32Array.from({ length: batch }, (_, i) => i);
  const data = { images: images(batch), labels: index.map((i) => i % 10), index };
  const job = {
    model,
    optimizer,
    objective,
    options: parseOptions(objective.options, {}, name),
    seed: 1,
    epoch: 0,
    epochs: 1,
    ramp: false,
    batches: 1,
    batch: () => data,
    rate: () => 1e-4,
    after: async () => false,
  };
  return {
    name: `train ${network} ${name}, batch ${batch}`,
    flops: 2 * macs * batch * (PASSES[name] ?? 3),
    images: batch,
    run: () => void trainStep(job, data, 0),
    free() {
      freeOptimizer(optimizer);
      freeTraining(model);
    },
  };
}
