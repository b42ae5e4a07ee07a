/**
 * The goldens: networks trained elsewhere and numbers that other tools computed of them in float64.
 * They lie beside the project (../shared/goldens, third-party data that is not part of it); its
 * README says what each number is.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { mnist } from '../../src/data/mnist';
import type { Norm } from '../../src/domain/balls';
import { decode, type TensorEntry } from '../../src/io/safetensors';
import type { Network, NodeSpec } from '../../src/nn/graph';
import type { Normalisation } from '../../src/nn/prepend';
import type { Shape } from '../../src/tensor/shape';
import { sizeOf } from '../../src/tensor/shape';

export const FOLDER = fileURLToPath(new URL('../../../shared/goldens', import.meta.url));
export const PRESENT = existsSync(`${FOLDER}/models/models.json`);

interface LayerRecord {
  readonly name: string;
  readonly op: string;
  readonly out?: number;
  readonly kernel?: [number, number];
  readonly stride?: [number, number];
  readonly padding?: [number, number];
  readonly dilation?: [number, number];
  readonly input?: string;
  readonly inputs?: readonly string[];
}

export interface ModelRecord {
  readonly file_onnx: string;
  readonly file_safetensors: string;
  readonly input_shape: Shape;
  readonly classes: number;
  readonly layers: readonly LayerRecord[];
  readonly input_normalisation: Normalisation;
}

/** [input][class] or [input][row]. */
type Table = readonly (readonly number[])[];

export interface BoundRecord {
  readonly logits_lb: Table;
  readonly logits_ub: Table;
  readonly margins_lb: Table;
  /** Of the dual of Wong and Kolter none. */
  readonly margins_ub?: Table;
  /** Run on the first so many inputs alone. */
  readonly n_inputs?: number;
}

export interface CaseRecord {
  readonly norm: 'inf' | 1 | 2;
  readonly eps_pixel?: number;
  /** Of L2 and L1. */
  readonly eps_model_space?: number;
  readonly clip_to_pixel_box: boolean;
  readonly dtype: 'f32' | 'f64';
  /** Hidden values that intervals settle keep their intervals. */
  readonly sparse_intermediate_bounds: boolean;
  readonly methods: Readonly<Record<string, BoundRecord>>;
  readonly attacks?: { readonly fgsm_logits: Table; readonly pgd10_logits: Table };
}

export interface GradientRecord {
  readonly loss: number;
  readonly l2norm: Readonly<Record<string, number>>;
  readonly sum: Readonly<Record<string, number>>;
}

export interface RobustLossRecord extends GradientRecord {
  readonly eps_pixel: number;
  readonly clip_to_pixel_box: boolean;
}

export interface BoundsFile {
  readonly model: string;
  readonly dataset: 'mnist' | 'cifar';
  readonly indices: readonly number[];
  readonly y: readonly number[];
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly cases: readonly CaseRecord[];
  readonly logits_f64: Table;
  readonly ce_loss_f64: readonly number[];
  readonly input_grad_ce_l1norm_f64: readonly number[];
  readonly input_grad_ce_sum_f64: readonly number[];
  readonly param_grad_mean_ce_f64: GradientRecord;
  readonly robust_loss_IBP_f64: RobustLossRecord;
  readonly 'robust_loss_CROWN-IBP_f64': RobustLossRecord;
}

export interface DatasetFile {
  readonly model: string;
  readonly dataset: 'mnist' | 'cifar';
  readonly first_index: number;
  readonly n: number;
  readonly eps: number;
  readonly eps_units: string;
  readonly clip_to_pixel_box: boolean;
  readonly clean_errors: number;
  readonly methods: Readonly<
    Record<string, { readonly verified: number; readonly min_margin_lb: readonly number[] }>
  >;
}

const json = (path: string): unknown => JSON.parse(readFileSync(`${FOLDER}/${path}`, 'utf8'));

export const MODELS = (PRESENT ? json('models/models.json') : {}) as Readonly<
  Record<string, ModelRecord>
>;
export const modelFile = (file: string): string => `${FOLDER}/models/${file}`;
export const boundsOf = (model: string): BoundsFile => json(`bounds/${model}.json`) as BoundsFile;
export const datasetFile = (name: string): DatasetFile =>
  json(`dataset_level/${name}.json`) as DatasetFile;
export const tensorsOf = (model: string): ReadonlyMap<string, TensorEntry> =>
  decode(readFileSync(`${FOLDER}/bounds/${model}.tensors.safetensors`), model).tensors;

/** The values of an F64 tensor, as recorded. */
export function f64({ data }: TensorEntry): Float64Array {
  return new Float64Array(new Uint8Array(data).buffer);
}

/** The values of an F32 tensor, as recorded. */
export function f32({ data }: TensorEntry): Float32Array {
  return new Float32Array(new Uint8Array(data).buffer);
}

/** The network of a models.json record; node names take "-" for ".". */
export function networkOf(name: string, { layers, input_shape }: ModelRecord): Network {
  const plain = (layer: string): string => layer.replaceAll('.', '-');
  const nodes = layers.map((layer): NodeSpec => {
    const from = layer.inputs ?? (layer.input === undefined ? undefined : [layer.input]);
    return {
      name: plain(layer.name),
      ...KINDS[layer.op]!(layer),
      ...(from && { inputs: from.map(plain) }),
    };
  });
  return { name, input: input_shape, nodes };
}

type Kind = (layer: LayerRecord) => Pick<NodeSpec, 'layer' | 'options'>;

const KINDS: Readonly<Record<string, Kind>> = {
  conv2d: ({ out, kernel, stride, padding, dilation = [1, 1] }) => ({
    layer: 'conv2d',
    options: { channels: out, kernel, stride, padding, dilation },
  }),
  linear: ({ out }) => ({ layer: 'dense', options: { units: out } }),
  relu: () => ({ layer: 'relu' }),
  flatten: () => ({ layer: 'flatten' }),
  add: () => ({ layer: 'add' }),
};

/** A ball in pixel units. */
export interface NormBall {
  readonly eps: number;
  readonly norm: Norm;
  readonly clip: boolean;
}

/** The inputs of a case; all channels of the networks with L2 and L1 cases have one scale. */
export function setOf(model: string, record: CaseRecord): NormBall {
  const [std] = MODELS[model]!.input_normalisation.std;
  const eps = record.eps_pixel ?? record.eps_model_space! * std!;
  const norm = ({ inf: 'linf', 2: 'l2', 1: 'l1' } as const)[record.norm];
  return { eps, norm, clip: record.clip_to_pixel_box };
}

/** Images by index as float32 in [0, 1], and their labels. */
export async function images(
  dataset: 'mnist' | 'cifar',
  indices: readonly number[],
): Promise<{ readonly pixels: Float32Array; readonly labels: Int32Array }> {
  const { bytes, label, size } = await (dataset === 'mnist' ? digits() : pictures());
  const pixels = new Float32Array(indices.length * size);
  indices.forEach((index, i) => {
    for (let p = 0; p < size; p++) pixels[i * size + p] = bytes(index, p) / 255;
  });
  return { pixels, labels: Int32Array.from(indices, label) };
}

interface Pixels {
  readonly size: number;
  bytes(index: number, pixel: number): number;
  label(index: number): number;
}

let digitsOnce: Promise<Pixels> | undefined;

function digits(): Promise<Pixels> {
  digitsOnce ??= mnist.load({}).then(({ test, shape }) => {
    const size = sizeOf(shape);
    return {
      size,
      bytes: (index, pixel) => test.images[index * size + pixel]!,
      label: (index) => test.labels[index]!,
    };
  });
  return digitsOnce;
}

let records: Uint8Array | undefined;

/** Records of one label byte and 3072 pixels. */
async function pictures(): Promise<Pixels> {
  records ??= readFileSync(`${FOLDER}/data/cifar10_test_first1017.bin`);
  const file = records;
  const size = 3072;
  return {
    size,
    bytes: (index, pixel) => file[index * (1 + size) + 1 + pixel]!,
    label: (index) => file[index * (1 + size)]!,
  };
}

/** The golden tolerance: 1e-4 relative to 1 + |value|, 1e-3 for the two marabou networks. */
export const toleranceOf = (model: string): number => (model.startsWith('marabou') ? 1e-3 : 1e-4);

/** The largest |got - want| / (1 + |want|), and where. */
export function worst(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
): { readonly error: number; readonly at: number } {
  if (got.length !== want.length)
    throw new Error(`expected ${want.length} values, got ${got.length}`);
  let found = { error: 0, at: -1 };
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs(got[i]! - want[i]!) / (1 + Math.abs(want[i]!));
    if (!(error <= found.error)) found = { error, at: i };
  }
  return found;
}
