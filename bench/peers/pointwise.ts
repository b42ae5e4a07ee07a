/**
 * How far the pointwise functions of runtimes are from exact: sigmoid and tanh of onnxruntime (native and
 * in WebAssembly), of TensorFlow.js (WebAssembly) and of both of our binaries, against float64, over
 * float32 numbers of every size and both signs. What docs/numerics.md says of executions is measured here.
 *
 * usage: node scripts/pointwise.mjs
 */
import { writeOnnx } from '../../src/io/onnx/writer';
import { sequential } from '../../src/nn/graph';
import { createModel, freeModel } from '../../src/nn/model';
import { type Binary, type Engine, load, supports } from '../../src/runtime/engine';
import { sigmoid, tanh } from '../../src/tensor/ops/elementwise';
import { input, step } from '../../src/tensor/tensor';
import { OPTIONS } from './ort';
import { peerPackage } from './packages';

type Name = 'sigmoid' | 'tanh';
const EXACT: Readonly<Record<Name, (x: number) => number>> = {
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
};
const OURS = { sigmoid, tanh } as const;
const U = 2 ** -24;
const COUNT = 1 << 16;

/** Float32 numbers from 2^-30 to 128, 2^10 in each octave, and 2^18 evenly in [0, 32]; both signs. */
function samples(): Float32Array {
  const sizes: number[] = [0];
  for (let exponent = -30; exponent < 7; exponent++)
    for (let i = 0; i < 1024; i++) sizes.push(2 ** exponent * (1 + (i + 0.37) / 1024));
  for (let i = 0; i < 1 << 18; i++) sizes.push((32 * (i + 0.61)) / (1 << 18));
  return Float32Array.from(sizes.flatMap((size) => [size, -size]));
}

interface Worst {
  error: number;
  at: number;
}

/** The largest relative and absolute error, in units of 2^-24. */
function worst(name: Name, xs: Float32Array, ys: ArrayLike<number>): { rel: Worst; abs: Worst } {
  const [rel, abs]: Worst[] = [
    { error: 0, at: 0 },
    { error: 0, at: 0 },
  ];
  for (let i = 0; i < xs.length; i++) {
    const want = EXACT[name](xs[i]!);
    const off = Math.abs(ys[i]! - want) / U;
    if (!(off <= abs!.error)) Object.assign(abs!, { error: off, at: xs[i] });
    // Results below the normal numbers underflow, which is counted apart.
    if (Math.abs(want) < 2 ** -126) continue;
    if (!(off / Math.abs(want) <= rel!.error))
      Object.assign(rel!, { error: off / Math.abs(want), at: xs[i] });
  }
  return { rel: rel!, abs: abs! };
}

type Run = (name: Name, xs: Float32Array) => Promise<ArrayLike<number>>;

interface OrtTensor {
  readonly data: Float32Array;
}
interface Ort {
  readonly InferenceSession: {
    create(
      bytes: Uint8Array,
      options: object,
    ): Promise<{ run(feeds: object): Promise<Readonly<Record<string, OrtTensor>>> }>;
  };
  readonly Tensor: new (type: string, data: Float32Array, dims: readonly number[]) => OrtTensor;
  readonly env: { readonly wasm: { numThreads?: number } };
}

function inOrt(engine: Engine, name: 'onnxruntime-web' | 'onnxruntime-node'): Run {
  const ort = peerPackage<Ort>(name);
  const web = name === 'onnxruntime-web';
  if (web) ort.env.wasm.numThreads = 1;
  return async (layer, xs) => {
    const model = createModel(engine, sequential('f', [xs.length], [[layer]]));
    const options = { ...OPTIONS, executionProviders: [web ? 'wasm' : 'cpu'] };
    const session = await ort.InferenceSession.create(writeOnnx(model), options);
    freeModel(model);
    const found = await session.run({ input: new ort.Tensor('float32', xs, [1, xs.length]) });
    return found.logits!.data;
  };
}

interface Tf {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor(values: Float32Array): object;
  sigmoid(x: object): { dataSync(): Float32Array };
  tanh(x: object): { dataSync(): Float32Array };
}

async function inTf(): Promise<Run> {
  const tf = peerPackage<Tf>('@tensorflow/tfjs-core');
  peerPackage<{ setThreadsCount(n: number): void }>(
    '@tensorflow/tfjs-backend-wasm',
  ).setThreadsCount(1);
  await tf.setBackend('wasm');
  await tf.ready();
  return async (name, xs) => tf[name](tf.tensor(xs)).dataSync();
}

const ours =
  (engine: Engine): Run =>
  async (name, xs) =>
    step(engine, () => OURS[name](input(engine, xs, [xs.length])).read());

async function main(): Promise<void> {
  const xs = samples();
  const engines = await Promise.all(
    (['simd', 'relaxed'] as Binary[])
      .filter((binary) => supports(binary))
      .map((binary) => load({ threads: 1, binary })),
  );
  const runs: (readonly [string, Run])[] = [
    ...engines.map((engine) => [`espalier, ${engine.binary}`, ours(engine)] as const),
    ['onnxruntime-node', inOrt(engines[0]!, 'onnxruntime-node')],
    ['onnxruntime-web, wasm', inOrt(engines[0]!, 'onnxruntime-web')],
    ['TensorFlow.js, wasm', await inTf()],
  ];
  console.log('| function | runtime | relative error, u | at | absolute error, u | at |');
  console.log('|---|---|---|---|---|---|');
  for (const name of ['sigmoid', 'tanh'] as const)
    for (const [runtime, run] of runs) {
      const ys = new Float32Array(xs.length);
      for (let i = 0; i < xs.length; i += COUNT) ys.set(await run(name, xs.slice(i, i + COUNT)), i);
      const { rel, abs } = worst(name, xs, ys);
      const row = [name, runtime, ...[rel, abs].flatMap((w) => [w.error, w.at])];
      console.log(
        `| ${row.map((v) => (typeof v === 'number' ? v.toPrecision(3) : v)).join(' | ')} |`,
      );
    }
  for (const engine of engines) engine.close();
}

await main();
