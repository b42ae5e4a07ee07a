/**
 * onnxruntime as a second opinion on ONNX files. It lives in bench/peers, a package of its own, so
 * that users of the library do not install it; tests that need it are skipped where it is absent.
 */
import { createRequire } from 'node:module';
import { sizeOf } from './nd';

interface OrtTensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}
interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly {
    readonly name: string;
    readonly shape: readonly (number | string)[];
  }[];
  run(feeds: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}
interface Ort {
  readonly InferenceSession: {
    create(model: Uint8Array | string, options: object): Promise<Session>;
  };
  readonly Tensor: new (type: string, data: Float32Array, dims: readonly number[]) => OrtTensor;
  readonly env?: { readonly wasm: { numThreads?: number } };
}

function find(name: string): Ort | undefined {
  try {
    const require = createRequire(new URL('../../bench/peers/package.json', import.meta.url));
    return require(name) as Ort;
  } catch {
    return undefined;
  }
}

/** Native, and the newer one in WebAssembly, which has some faults of the first mended. */
const ort = find('onnxruntime-node');
const newer = ort && find('onnxruntime-web');
if (newer?.env) newer.env.wasm.numThreads = 1;
export const installed = ort !== undefined;
if (!installed)
  console.warn(
    'onnxruntime is not installed (npm ci in bench/peers): its comparisons are skipped.',
  );

/** The first output for one input, run by onnxruntime without its graph optimisations. */
export async function runOrt(
  bytes: Uint8Array,
  values: Float32Array,
  shape: readonly number[],
  options: { readonly web?: boolean } = {},
): Promise<OrtTensor> {
  const [first] = (await runOrtAll(bytes, values, shape, options)).values();
  return first!;
}

/** All outputs by name, in the order of the file. */
export async function runOrtAll(
  bytes: Uint8Array,
  values: Float32Array,
  shape: readonly number[],
  { web = false }: { readonly web?: boolean } = {},
): Promise<Map<string, OrtTensor>> {
  const runtime = web ? newer : ort;
  if (!runtime) throw new Error('onnxruntime is not installed');
  if (values.length !== sizeOf(shape)) throw new Error(`${values.length} values for [${shape}]`);
  const session = await runtime.InferenceSession.create(bytes, {
    executionProviders: [web ? 'wasm' : 'cpu'],
    graphOptimizationLevel: 'disabled',
    logSeverityLevel: 4,
    intraOpNumThreads: 1,
  });
  try {
    const outputs = await session.run({
      [session.inputNames[0]!]: new runtime.Tensor('float32', values, shape),
    });
    return new Map(
      session.outputNames.map((name) => {
        const { dims, data } = outputs[name]!;
        return [name, { dims: [...dims], data: Float32Array.from(data) }];
      }),
    );
  } finally {
    await session.release();
  }
}

/** One output of a file or of the file at a path, the first by default, for an input of any shape that fits. */
export async function runOrtFile(
  file: string | Uint8Array,
  values: Float32Array,
  output?: string,
): Promise<Float32Array> {
  if (!ort) throw new Error('onnxruntime is not installed');
  const session = await ort.InferenceSession.create(file, {
    graphOptimizationLevel: 'disabled',
    logSeverityLevel: 4,
    intraOpNumThreads: 1,
  });
  try {
    const feeds = Object.fromEntries(
      session.inputMetadata.map(({ name, shape }, i) => {
        const sizes = shape.map((size) => (typeof size === 'number' && size > 0 ? size : 1));
        const data = i === 0 ? values : new Float32Array(sizeOf(sizes));
        return [name, new ort.Tensor('float32', data, sizes)];
      }),
    );
    const outputs = await session.run(feeds);
    return Float32Array.from(outputs[output ?? session.outputNames[0]!]!.data);
  } finally {
    await session.release();
  }
}
