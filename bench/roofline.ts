/**
 * How much of the machine's multiply-add rate arrives: the inner loop of the products on operands
 * that are packed and in cache, and every layer of the networks, each over a loop that touches
 * registers only (peak.ts) in the same race.
 */
import { freeModel, type Model, operatorOf } from '../src/nn/model';
import { type Engine, supports } from '../src/runtime/engine';
import { packedSize } from '../src/runtime/kernels';
import { sizeOf } from '../src/tensor/shape';
import { keep, step } from '../src/tensor/tensor';
import type { Contestant, Quotient } from './harness';
import {
  assertClose,
  CNN_LARGE,
  CNN_SMALL,
  loweredOf,
  noise,
  type Setting,
  VGG16,
  VGG16_TINY,
} from './networks';
import { peak } from './peak';
import type { Subject } from './subject';

interface Case {
  readonly steps: number;
  readonly inner: readonly (readonly [m: number, k: number, n: number])[];
  readonly networks: readonly { readonly setting: Setting; readonly batch: number }[];
  readonly bar: number;
}

const CASES: Readonly<Record<'full' | 'tiny', Case>> = {
  full: {
    steps: 1_000_000,
    // A and the packed B fit a cache of 512 KiB, a panel of B one of 32 KiB.
    inner: [
      [64, 256, 64],
      [64, 512, 64],
      [64, 1024, 32],
    ],
    networks: [
      { setting: CNN_SMALL, batch: 64 },
      { setting: CNN_LARGE, batch: 64 },
      { setting: VGG16, batch: 8 },
    ],
    bar: 0.85,
  },
  tiny: {
    steps: 100,
    inner: [[4, 16, 8]],
    networks: [{ setting: VGG16_TINY, batch: 1 }],
    bar: 0,
  },
};

export const roofline: Subject = {
  about: 'the inner loop and every layer over a loop that touches registers only',
  async *races({ engine, size }) {
    const { steps, inner, networks, bar } = CASES[size];
    const { binary } = engine;
    const other = binary === 'simd' ? 'relaxed' : 'simd';
    const loop = await peak(binary, steps);
    const loops = supports(other) ? [loop, await peak(other, steps)] : [loop];
    const products = inner.map((sizes) => innerLoop(engine, sizes));
    yield {
      title: `inner loop, ${binary} binary`,
      contestants: [...loops, ...products.map(({ contestant }) => contestant)],
      quotients: products.map(({ contestant }) => over(contestant, loop, bar)),
    };
    for (const { free } of products) free();
    for (const { setting, batch } of networks) {
      const model = loweredOf(engine, setting);
      const layers = layersOf(model, batch);
      yield {
        title: `${setting.network}, layer by layer, batch ${batch}`,
        contestants: [loop, ...layers.map(({ contestant }) => contestant)],
        quotients: layers.map(({ contestant }) => over(contestant, loop)),
      };
      for (const { free } of layers) free();
      freeModel(model);
    }
  },
};

const over = ({ name: of }: Contestant, { name: to }: Contestant, bar?: number): Quotient => ({
  of,
  to,
  ...(bar === undefined ? {} : { bar }),
});

interface Kept {
  readonly contestant: Contestant;
  free(): void;
}

/** The kernel `gemm` alone, on a packed B: [m, k] x [k, n]. */
function innerLoop(engine: Engine, [m, k, n]: readonly [number, number, number]): Kept {
  const a = keep(engine, [m, k], noise(m * k));
  const b = keep(engine, [k, n], noise(k * n));
  const packed = keep(engine, [packedSize(k, n)]);
  const y = keep(engine, [m, n]);
  engine.run('pack_b', k, n, b.ptr, n, 1, packed.ptr);
  const run = (): void =>
    step(engine, () => engine.run('gemm', m, n, k, a.ptr, k, 1, packed.ptr, 0, y.ptr, 0, 0));
  const name = `inner loop ${m} x ${k} x ${n}`;
  return {
    contestant: {
      name,
      flops: 2 * m * k * n,
      run,
      check() {
        run();
        const [x, w] = [a.read(), b.read()];
        const last = Array.from({ length: n }, (_, j) =>
          Array.from({ length: k }, (_, p) => x[(m - 1) * k + p]! * w[p * n + j]!).reduce(
            (sum, term) => sum + term,
            0,
          ),
        );
        assertClose(y.read().subarray((m - 1) * n), last, 1e-5, name);
      },
    },
    free: () => {
      for (const t of [a, b, packed, y]) t.free();
    },
  };
}

/** Convolutions and dense layers, each on noise of its input's shape. */
function layersOf(model: Model, batch: number): Kept[] {
  const { engine, graph, params } = model;
  const weighty = graph.nodes.filter((node) =>
    Object.values(node.params).some(({ prunable }) => prunable),
  );
  return weighty.map((node) => {
    const [sample] = node.inputShapes as [readonly number[]];
    const { layer, options } = node;
    const x = keep(engine, [batch, ...sample], noise(batch * sizeOf(sample)));
    const operator = operatorOf(node, params);
    const macs = layer.macs?.(sample, node.shape, options as never) ?? 0;
    const run = (): void => step(engine, () => void operator.apply(x));
    return {
      contestant: {
        name: `${node.name}, [${sample}] to [${node.shape}]`,
        flops: 2 * macs * batch,
        images: batch,
        run,
      },
      free: () => x.free(),
    };
  });
}
