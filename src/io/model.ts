/**
 * Models as safetensors: parameters as float32 tensors by full name, the network as JSON in
 * `__metadata__`. A checkpoint is the same container with more tensors and more metadata.
 */
import { EspalierError, expect, fail } from '../errors';
import { compile, type Graph, type Network, paramSpecs } from '../nn/graph';
import { type Model, modelFrom } from '../nn/model';
import type { Engine } from '../runtime/engine';
import { type Shape, sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { type Put, readPlainOrGzip, writeAtomic } from './files';
import { type Metadata, parseMetadata } from './metadata';
import { type Decoded, decode, encode, type TensorInput, toFloat32 } from './safetensors';

const FORMAT = 'espalier/1';
/** Largest model file of any format: what wasm32 can hold. */
export const MAX_BYTES = 2 ** 32;

/** Writes tensors and metadata under the library's format mark; complete or not at all. */
export async function saveTensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor | TensorInput>,
  metadata: Metadata,
  put: Put = writeAtomic,
): Promise<void> {
  await put(path, encodeTensors(tensors, metadata));
}

export function encodeTensors(
  tensors: ReadonlyMap<string, Tensor | TensorInput>,
  metadata: Metadata,
): Uint8Array {
  const entries = new Map<string, TensorInput>();
  for (const [name, t] of tensors)
    entries.set(name, 'data' in t ? t : { dtype: 'F32', shape: [...t.shape], data: t.read() });
  const json = Object.entries(metadata).map(([key, value]) => [key, JSON.stringify(value)]);
  return encode(entries, { format: FORMAT, ...Object.fromEntries(json) });
}

export interface LoadedTensors {
  readonly metadata: Metadata;
  /** Shape and values (converted when asked for) of a tensor; an error names what is missing. */
  tensor(name: string): { readonly shape: Shape; readonly values: Float32Array };
  has(name: string): boolean;
  readonly names: readonly string[];
}

/** Reads a file written by `saveTensors`. */
export async function loadTensors(path: string): Promise<LoadedTensors> {
  return tensorsIn(decode(await readPlainOrGzip(path, MAX_BYTES), path), path);
}

/** Whether a safetensors file carries the library's format mark. */
export const isOwn = ({ metadata }: Decoded): boolean =>
  metadata.format?.startsWith('espalier/') === true;

/** The tensors and metadata of a decoded file of ours. */
export function tensorsIn(decoded: Decoded, path: string): LoadedTensors {
  const metadata = parseMetadata(decoded, FORMAT, path);
  return {
    metadata,
    names: [...decoded.tensors.keys()],
    has: (name) => decoded.tensors.has(name),
    tensor(name) {
      const entry = decoded.tensors.get(name) ?? fail(path, `a tensor ${name}`, 'none');
      return {
        shape: entry.shape,
        get values() {
          return toFloat32(entry);
        },
      };
    },
  };
}

/** Writes the model alone, with whatever else should be remembered about it. */
export async function saveModel(
  path: string,
  model: Model,
  extra: Metadata = {},
  put: Put = writeAtomic,
): Promise<void> {
  await saveTensors(path, model.params, { ...extra, network: model.graph.network }, put);
}

export async function loadModel(engine: Engine, path: string): Promise<Model> {
  return modelIn(engine, await loadTensors(path), path, '');
}

/** The metadata of a model file: network, config, ... */
export async function readMetadata(path: string): Promise<Metadata> {
  return (await loadTensors(path)).metadata;
}

/** The model whose parameters stand in the file under `prefix`. */
export function modelIn(engine: Engine, file: LoadedTensors, path: string, prefix: string): Model {
  const { network, weight } = weightsIn(file, path, prefix);
  return modelFrom(engine, network, weight);
}

/** The network of a file of ours, compiled, and its weights by name, checked against each other. */
export function weightsIn(
  file: LoadedTensors,
  path: string,
  prefix: string,
): {
  readonly network: Network;
  readonly graph: Graph;
  readonly weight: (name: string) => Float32Array;
} {
  const network = checkNetwork(file.metadata.network, path);
  const problems: string[] = [];
  const graph = compileIn(network, path);
  const specs = paramSpecs(graph);
  for (const [name, { shape }] of specs) {
    if (!file.has(prefix + name)) problems.push(`${path}: expected a tensor ${name}, got none.`);
    else {
      const found = file.tensor(prefix + name).shape;
      if (!sameShape(found, shape))
        problems.push(`${path}: ${name}: expected shape [${shape}], got [${found}].`);
    }
  }
  if (prefix === '')
    for (const name of file.names)
      if (!specs.has(name)) problems.push(`${path}: expected tensors of the network, got ${name}.`);
  if (problems.length > 0) throw new EspalierError(problems.join('\n'));
  return { network, graph, weight: (name) => file.tensor(prefix + name).values };
}

/** `compile` with the file's name in front of what it says. */
function compileIn(network: Network, path: string): Graph {
  try {
    return compile(network);
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error;
    throw new EspalierError(error.message.replace(/^/gm, `${path}: `));
  }
}

/** A value from a file as a network, as far as `compile` needs it to say more. */
export function checkNetwork(value: unknown, path: string): Network {
  const network = value as Partial<Network> | undefined;
  const shaped =
    typeof network === 'object' &&
    network !== null &&
    typeof network.name === 'string' &&
    Array.isArray(network.input) &&
    network.input.every((size) => Number.isInteger(size) && size > 0) &&
    Array.isArray(network.nodes) &&
    network.nodes.every(isNode);
  expect(shaped, `${path}: network`, 'a name, an input shape and nodes', typeof value);
  return network as Network;
}

function isNode(value: unknown): boolean {
  const node = value as Record<string, unknown> | null;
  return (
    typeof node === 'object' &&
    node !== null &&
    typeof node.name === 'string' &&
    typeof node.layer === 'string' &&
    (node.inputs === undefined ||
      (Array.isArray(node.inputs) && node.inputs.every((n) => typeof n === 'string')))
  );
}
