/** A golden network in an engine, from either of its files, with all that is recorded of it. */
import { readFileSync } from 'node:fs';
import { readModelFile } from '../../src/io/read';
import { decode, type TensorEntry } from '../../src/io/safetensors';
import { type Model, trainableNames } from '../../src/nn/model';
import type { Engine } from '../../src/runtime/engine';
import { sameShape } from '../../src/tensor/shape';
import { bits } from '../helpers/engine';
import type { Batch } from './compute';
import { type BoundsFile, boundsOf, f32, images, MODELS, modelFile, networkOf } from './goldens';

export const FORMATS = ['safetensors', 'onnx'] as const;
export type Format = (typeof FORMATS)[number];

export interface Golden {
  readonly model: Model;
  readonly record: BoundsFile;
  readonly batch: Batch;
  /** Recorded parameter name -> ours: the parameter with the very same bits. */
  readonly names: ReadonlyMap<string, string>;
}

/** The network behind its input normalisation, so that inputs are in [0, 1]. */
export async function openModel(engine: Engine, name: string, format: Format): Promise<Model> {
  const entry = MODELS[name]!;
  const normalise = entry.input_normalisation;
  const file = modelFile(format === 'onnx' ? entry.file_onnx : entry.file_safetensors);
  const network = format === 'onnx' ? {} : { network: networkOf(name, entry) };
  return (await readModelFile(engine, file, { ...network, normalise })).model;
}

export async function openGolden(engine: Engine, name: string, format: Format): Promise<Golden> {
  const record = boundsOf(name);
  const { pixels } = await images(record.dataset, record.indices);
  const model = await openModel(engine, name, format);
  const batch = { pixels, labels: Int32Array.from(record.y) };
  return { model, record, batch, names: sameBits(model, name) };
}

function sameBits(model: Model, name: string): Map<string, string> {
  const file = readFileSync(modelFile(MODELS[name]!.file_safetensors));
  const ours = trainableNames(model.graph);
  const names = [...decode(file, name).tensors].map(([recorded, tensor]): [string, string] => {
    const found = ours.find((own) => isSame(model, own, tensor));
    if (!found) throw new Error(`${name}: no parameter has the values of ${recorded}`);
    return [recorded, found];
  });
  if (new Set(names.map(([, own]) => own)).size !== ours.length)
    throw new Error(`${name}: expected ${names.length} parameters, got ${ours.join(', ')}`);
  return new Map(names);
}

function isSame({ params }: Model, own: string, tensor: TensorEntry): boolean {
  const t = params.get(own)!;
  if (!sameShape(t.shape, tensor.shape)) return false;
  const want = bits(f32(tensor));
  return bits(t.read()).every((word, i) => word === want[i]);
}
