/**
 * One door for model files: finds out by content what a file is, reads it, and puts the model into
 * an engine. Files of weights alone (plain safetensors, PyTorch, NumPy) need a network beside them.
 *
 * Readers are loaded when a file of their kind is met, so a program that opens no files carries none
 * of them.
 */
import { expect, fail } from '../errors';
import { parseJson } from '../json';
import { compile, type Network, paramSpecs } from '../nn/graph';
import { type Model, modelFrom } from '../nn/model';
import { type Normalisation, prependNormalise } from '../nn/prepend';
import { buildNetwork, zoo } from '../nn/zoo';
import type { Engine } from '../runtime/engine';
import type { Shape } from '../tensor/shape';
import { clipList } from '../text';
import { kindOf, readPlainOrGzip } from './files';
import { COMPACT, isCompact, type Metadata, parseMetadata } from './metadata';
import { checkNetwork, isOwn, type LoadedTensors, MAX_BYTES, tensorsIn, weightsIn } from './model';
import type { LeftOut } from './onnx/build';
import { decode, toFloat32 } from './safetensors';
import { likeliestKey, matchWeights } from './weights/match';
import { listTensors, type TensorOrder, type WeightFile, type WeightTensor } from './weights/types';

/** `espalier` is safetensors with the network inside, `compact` the same with coded weights. */
export type Format = 'espalier' | 'compact' | 'safetensors' | 'onnx' | 'torch' | 'npz';

export interface ReadOptions {
  /** For files of weights alone: a network, a name of the zoo, or the path of a JSON network. */
  readonly network?: Network | string;
  /** With a name of the zoo: shape of one input, [c, h, w] or [features]. */
  readonly input?: Shape;
  /** With a name of the zoo; by default the outputs of the last weight matrix. */
  readonly classes?: number;
  /** For files of weights alone: take order and shape where names do not fit. Default: an error. */
  readonly byOrder?: boolean;
  /** For files of weights alone: the dotted key (or prefix of names) under which the weights are. */
  readonly key?: string;
  /** For files of weights alone: patterns of tensors to leave out; `*` stands for any text. */
  readonly ignore?: readonly string[];
  /** Put in front of a network that takes (x - mean) / std, so that its inputs are in [0, 1]. */
  readonly normalise?: Normalisation;
  /** Of ONNX files: the output that the network ends in; by default the only one. */
  readonly output?: string;
}

export interface ModelFile {
  readonly model: Model;
  readonly format: Format;
  /** What was matched by guess, dropped or changed, one sentence each. */
  readonly notes: readonly string[];
  /** What the file computes of the model's outputs: its labels are the model's, its outputs are not. */
  readonly leftOut?: LeftOut;
  /** What a file of ours remembers (config, ...); empty for others. */
  readonly metadata: Metadata;
}

/** A network and its weights, before they are in an engine. */
interface Parts extends Omit<ModelFile, 'model'> {
  readonly network: Network;
  /** Undefined for the constants of `normalise`, which the network's own options give. */
  readonly weight: (name: string) => Float32Array | undefined;
}

/**
 * The model in a file of any format that is understood.
 *
 * Raises EspalierError for a file of an unknown kind (saying what stands at its start), one that its
 * reader refuses, weights without a network, and weights that do not fit it (listing both sides).
 */
export async function readModelFile(
  engine: Engine,
  path: string,
  options: ReadOptions = {},
): Promise<ModelFile> {
  const { network, weight, notes, ...rest } = await readParts(path, options);
  const full = options.normalise ? prependNormalise(network, options.normalise) : network;
  const specs = paramSpecs(compile(full));
  const value = (name: string): ArrayLike<number> => {
    const init = specs.get(name)!.init;
    return weight(name) ?? (typeof init === 'object' ? init : fail(path, name, 'nothing'));
  };
  return { model: modelFrom(engine, full, value), ...rest, notes: clipList(notes, 40, 2000) };
}

/** What a model file of ours remembers beside its weights; empty for files of other formats. */
export async function readRecord(path: string): Promise<Metadata> {
  const { kindOfModel } = await import('./kind');
  const bytes = await readPlainOrGzip(path, MAX_BYTES);
  if (kindOfModel(bytes) !== 'safetensors') return {};
  const decoded = decode(bytes, path);
  if (isCompact(decoded)) return parseMetadata(decoded, COMPACT, path);
  return isOwn(decoded) ? tensorsIn(decoded, path).metadata : {};
}

async function readParts(path: string, options: ReadOptions): Promise<Parts> {
  const { describeStart, kindOfModel, UNDERSTOOD } = await import('./kind');
  const bytes = await readPlainOrGzip(path, MAX_BYTES);
  const kind = kindOfModel(bytes);
  const chosen = options.output === undefined || kind === 'onnx';
  expect(chosen, path, 'no output, as only ONNX files have names for theirs', options.output);
  switch (kind) {
    case 'safetensors': {
      const decoded = decode(bytes, path);
      if (isCompact(decoded)) {
        const { readCompact } = await import('./compact');
        const { inflater } = await import('./inflate');
        return ownParts('compact', readCompact(bytes, path, await inflater()), path, options);
      }
      if (isOwn(decoded)) return ownParts('espalier', tensorsIn(decoded, path), path, options);
      const file = new Map(
        [...decoded.tensors].map(([name, t]) => [name, lazy(t.shape, () => toFloat32(t))]),
      );
      return plainParts({ format: 'safetensors', file, order: 'name', notes: [] }, path, options);
    }
    case 'onnx':
      return onnxParts(bytes, path, options);
    case 'torch':
      return torchParts(bytes, path, options);
    case 'npz': {
      const { readNumbers } = await import('./npz');
      const { arrays, notes } = readNumbers(bytes, path);
      const file = new Map(
        [...arrays].map(([name, { shape, values }]) => [
          name,
          lazy(shape, () => Float32Array.from(values)),
        ]),
      );
      return plainParts({ format: 'npz', file, order: 'file', notes }, path, options);
    }
    default:
      return fail(path, `a model: ${UNDERSTOOD}`, describeStart(bytes));
  }
}

function lazy(shape: Shape, make: () => Float32Array): WeightTensor {
  return {
    shape,
    get values() {
      return make();
    },
  };
}

async function torchParts(bytes: Uint8Array, path: string, options: ReadOptions): Promise<Parts> {
  const { readTorch } = await import('./torch/read');
  const { tensors, keys, modules, notes } = readTorch(bytes, path);
  const plain = { format: 'torch', file: tensors, order: 'file', notes, keys } as const;
  if (modules.size === 0 || options.network !== undefined) return plainParts(plain, path, options);
  const key = options.key ?? likeliestKey([...modules.keys()]);
  const module = modules.get(key);
  if (!module) return plainParts(plain, path, options);
  const { networkOfModules } = await import('./modules');
  const { effectiveWeights } = await import('./weights/effective');
  const names = effectiveWeights(below(tensors, key)).keys();
  const own = new Set([...names].map((name) => name.slice(key === '' ? 0 : key.length + 1)));
  const network = networkOfModules(module, own, path, options.input);
  return plainParts(plain, path, { ...options, network, key });
}

function ownParts(format: Format, file: LoadedTensors, path: string, options: ReadOptions): Parts {
  refuseNetwork(path, options);
  const { network, weight } = weightsIn(file, path, '');
  const names = new Set(file.names);
  const stored = (name: string) => (names.has(name) ? weight(name) : undefined);
  return { network, weight: stored, format, notes: [], metadata: file.metadata };
}

async function onnxParts(bytes: Uint8Array, path: string, options: ReadOptions): Promise<Parts> {
  refuseNetwork(path, options);
  const { readOnnx } = await import('./onnx/reader');
  const { filesBeside } = await import('./onnx/external');
  const external = await filesBeside(path, MAX_BYTES);
  const { output } = options;
  const { network, weights, notes, leftOut } = readOnnx(bytes, path, {
    external,
    ...(output !== undefined && { output }),
  });
  const weight = (name: string) => weights.get(name)?.values;
  return { network, weight, format: 'onnx', notes, metadata: {}, ...(leftOut && { leftOut }) };
}

/** A file that holds its network takes no other, and none of what tells how to match weights. */
function refuseNetwork(path: string, options: ReadOptions): void {
  const { network, input, classes, byOrder, key, ignore } = options;
  const given = network !== undefined || input !== undefined || classes !== undefined;
  expect(!given, path, 'no network, input or classes, as the file holds its network', 'some');
  const matching = byOrder === true || key !== undefined || ignore !== undefined;
  expect(!matching, path, 'no by-order, key or ignore, as the file holds its network', 'some');
}

interface PlainFile {
  readonly format: Format;
  readonly file: WeightFile;
  readonly order: TensorOrder;
  readonly notes: readonly string[];
  /** Where there may be state dicts; the whole file by default. */
  readonly keys?: readonly string[];
}

async function plainParts(
  { format, file, order, notes, keys = [''] }: PlainFile,
  path: string,
  options: ReadOptions,
): Promise<Parts> {
  const { key, byOrder, ignore } = options;
  const network = await networkFor(below(file, key ?? likeliestKey(keys)), path, options);
  const matched = matchWeights(network, file, path, { order, byOrder, ignore, key, keys });
  const weight = (name: string) => matched.weights.get(name)?.values;
  return { network, weight, format, notes: [...notes, ...matched.notes], metadata: {} };
}

/** The tensors under a key. */
function below(file: WeightFile, key: string): WeightFile {
  return new Map([...file].filter(([name]) => key === '' || name.startsWith(`${key}.`)));
}

/** The network named, or the one in a JSON file of the same name beside the weights. */
async function networkFor(
  file: WeightFile,
  path: string,
  { network, input, classes }: ReadOptions,
): Promise<Network> {
  if (typeof network === 'object') return network;
  if (network === undefined) {
    const beside = path.replace(/(\.\w+)?$/, '.json');
    if (beside !== path && (await kindOf(beside)) === 'file') return readNetwork(beside);
    return fail(
      path,
      'a network for these weights',
      `none (tensors: ${listTensors(file)})`,
      `Name one of the zoo with its input (network cnn-small, input 1,28,28), or give a JSON network; ${beside} would be found by itself.`,
    );
  }
  const known = Object.hasOwn(zoo, network) || /^wrn-\d+-\d+$/.test(network);
  if (!known && (network.endsWith('.json') || (await kindOf(network)) === 'file'))
    return readNetwork(network);
  const outputs = classes ?? lastMatrix(file);
  const named =
    input ?? (known ? fail(path, `the input shape of ${network}`, 'none', INPUT_HINT) : []);
  return buildNetwork(network, {}, named, outputs);
}

const INPUT_HINT = 'Give it as input, such as 1,28,28.';

/** Rows of the last weight matrix: the outputs of a classifier. */
function lastMatrix(file: WeightFile): number {
  return [...file.values()].findLast(({ shape }) => shape.length === 2)?.shape[0] ?? 1;
}

const MAX_JSON_BYTES = 2 ** 24;

async function readNetwork(path: string): Promise<Network> {
  const text = new TextDecoder().decode(await readPlainOrGzip(path, MAX_JSON_BYTES));
  return checkNetwork(parseJson(text, path, 'a network as JSON'), path);
}
