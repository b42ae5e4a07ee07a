/** Random ONNX graphs through the reader and through onnxruntime. */
import { propagate } from '../../src/domain/domain';
import { value } from '../../src/domain/value';
import { EspalierError } from '../../src/errors';
import { readOnnx } from '../../src/io/onnx/reader';
import { freeModel, modelFrom } from '../../src/nn/model';
import type { Engine } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { onnxFile } from './onnx-files';
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
    return step(engine, () =>
      propagate(
        model.graph,
        model.params,
        value,
        input(engine, x, [batch, ...network.input]),
      ).read(),
    );
  } finally {
    freeModel(model);
  }
}

export interface Outcome {
  readonly seed: number;
  readonly file: RandomFile;
  /** `theirs`: onnxruntime does not run the file. */
  readonly kind: 'same' | 'different' | 'refused' | 'theirs';
  readonly why: string;
}

/** Whether both agree on the file of a seed, besides rounding. */
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
    found = ours(engine, bytes, x, file.batch);
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error;
    return done('refused', error.message);
  }
  if (found.length !== theirs.length)
    return done('different', `${found.length} of ${theirs.length}`);
  const size = theirs.reduce((sum, v) => sum + Math.abs(v), 0) / theirs.length;
  const odd = theirs.findIndex(
    (v, i) => !(Math.abs(v - found[i]!) <= 2e-5 * (Math.abs(v) + size) + 1e-6),
  );
  return odd < 0 ? done('same') : done('different', `${found[odd]} for ${theirs[odd]} at ${odd}`);
}

/** The operators of a file, for messages. */
export const story = ({ seed, file, why }: Outcome): string =>
  `seed ${seed}, opset ${file.opset}, [${file.input}], batch ${file.batch}: ${why}\n  ${file.nodes
    .map(
      ({ op, in: from, out, attributes }) => `${out}=${op}(${from}) ${JSON.stringify(attributes)}`,
    )
    .join('\n  ')}`;
