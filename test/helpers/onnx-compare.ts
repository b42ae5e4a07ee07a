/** Random ONNX graphs through the reader and through onnxruntime. */
import { propagate } from '../../src/domain/domain';
import { value } from '../../src/domain/value';
import { EspalierError } from '../../src/errors';
import { readOnnx } from '../../src/io/onnx/reader';
import { freeModel, type Model, modelFrom } from '../../src/nn/model';
import type { Engine } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { type NodeCase, onnxFile } from './onnx-files';
import { runOrt } from './onnxruntime';
import { sampler } from './random';
import { type RandomFile, randomFile } from './random-onnx';

/** Values of our network for a batch of images. */
export function ours(
  engine: Engine,
  bytes: Uint8Array,
  x: Float32Array,
  batch: number,
  output?: string,
) {
  const { network, weights } = readOnnx(bytes, 'made', output === undefined ? {} : { output });
  const model = modelFrom(engine, network, (name) => weights.get(name)!.values);
  try {
    return valuesOf(engine, model, x, batch);
  } finally {
    freeModel(model);
  }
}

/** Outputs of a model for a batch of images. */
export function valuesOf(
  engine: Engine,
  model: Model,
  x: Float32Array,
  batch: number,
): Float32Array {
  const { graph, params } = model;
  return step(engine, () => {
    const images = input(engine, x, [batch, ...graph.network.input]);
    return propagate(graph, params, value, images).read();
  });
}

export interface Outcome {
  readonly seed: number;
  readonly file: RandomFile;
  /** `theirs`: onnxruntime does not run the file, or has a known fault there. */
  readonly kind: 'same' | 'different' | 'refused' | 'theirs';
  readonly why: string;
}

/** What onnxruntime 1.23 computes otherwise than the ONNX standard says. */
export const FAULTS: readonly {
  readonly what: string;
  /** Whether 1.30 computes what the standard says; it refuses such files else. */
  readonly mended: boolean;
  applies(node: NodeCase, opset: number): boolean;
}[] = [
  {
    what: 'before operator set 19, ceil_mode with count_include_pad divides by what lies beyond the padding',
    mended: true,
    applies: ({ op, attributes: a }, opset) =>
      op === 'AveragePool' && opset < 19 && a?.ceil_mode === 1 && a.count_include_pad === 1,
  },
  {
    what: 'since operator set 19, count_include_pad takes the padding on the left for that below',
    mended: true,
    applies: ({ op, attributes: a }, opset) =>
      op === 'AveragePool' && opset >= 19 && a?.count_include_pad === 1,
  },
  {
    what: 'auto_pad SAME of windows smaller than their strides crops the input',
    mended: false,
    applies: ({ op, attributes: a }) =>
      /Pool$/.test(op) && String(a?.auto_pad).startsWith('SAME') && isSparse(a!),
  },
];

const isSparse = ({
  strides,
  kernel_shape: kernel,
}: NonNullable<NodeCase['attributes']>): boolean =>
  (strides as readonly number[]).some((stride, i) => stride > (kernel as readonly number[])[i]!);

/** Where two results differ by more than rounding, in words; nothing where they do not. */
export function difference(
  found: ArrayLike<number>,
  theirs: ArrayLike<number>,
): string | undefined {
  if (found.length !== theirs.length) return `${found.length} values of ${theirs.length}`;
  const list = Array.from(theirs);
  const size = list.reduce((sum, v) => sum + Math.abs(v), 0) / list.length;
  const near = (a: number, b: number): boolean =>
    Object.is(a, b) || Math.abs(a - b) <= 2e-5 * (Math.abs(b) + size) + 1e-6;
  const odd = list.findIndex((v, i) => !near(found[i] ?? Number.NaN, v));
  return odd < 0 ? undefined : `${found[odd]} for ${list[odd]} at ${odd}`;
}

/** Whether both agree on the file of a seed, besides rounding; ours reads its nodes in another order. */
export async function compare(engine: Engine, seed: number): Promise<Outcome> {
  const file = randomFile(seed);
  const bytes = onnxFile(file);
  const shape = file.input.map((size) => size || file.batch);
  const x = Float32Array.from(sampler(seed + 1).away(shape, 0.05, 1).data);
  const done = (kind: Outcome['kind'], why = ''): Outcome => ({ seed, file, kind, why });
  let theirs: Float32Array;
  try {
    theirs = (await runOrt(bytes, x, shape)).data;
  } catch (error) {
    return done('theirs', (error as Error).message);
  }
  let found: Float32Array;
  try {
    const nodes = [...file.nodes].sort((a, b) => (a.name! < b.name! ? -1 : 1));
    found = ours(engine, onnxFile({ ...file, nodes }), x, file.batch);
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error;
    return done('refused', error.message);
  }
  const why = difference(found, theirs);
  if (why === undefined) return done('same');
  const faults = FAULTS.filter(({ applies }) =>
    file.nodes.some((node) => applies(node, file.opset)),
  );
  if (faults.length === 0) return done('different', why);
  if (faults.some(({ mended }) => !mended)) return done('theirs', faults[0]!.what);
  const again = difference(found, (await runOrt(bytes, x, shape, { web: true })).data);
  return again === undefined ? done('theirs', faults[0]!.what) : done('different', again);
}

/** The operators of a file, for messages. */
export const story = ({ seed, file, why }: Outcome): string =>
  `seed ${seed}, opset ${file.opset}, [${file.input}], batch ${file.batch}: ${why}\n  ${file.nodes
    .map(
      ({ op, in: from, out, attributes }) => `${out}=${op}(${from}) ${JSON.stringify(attributes)}`,
    )
    .join('\n  ')}`;
