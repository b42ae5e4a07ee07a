/** ONNX files made by hand: nodes, attributes and tensors in a few words. */
import type {
  Draft,
  ModelProto,
  NodeProto,
  SparseTensorProto,
  TensorProto,
} from '../../src/io/onnx/proto.gen';
import { encodeModel } from '../../src/io/onnx/wire';
import { sizeOf } from './nd';
import { sampler } from './random';

/** A float attribute, as whole numbers are ints. */
export interface Float {
  readonly float: number;
}
export interface Floats {
  readonly many: readonly number[];
}
export interface Sparse {
  readonly sparse: Draft<SparseTensorProto>;
}
export type Attribute =
  | number
  | string
  | Float
  | Floats
  | Sparse
  | readonly number[]
  | Draft<TensorProto>;

export interface NodeCase {
  readonly op: string;
  /** By default the output of the node before; '' is an input left out. */
  readonly in?: readonly string[];
  /** By default one, `v<position>`. */
  readonly out?: readonly string[];
  readonly name?: string;
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export interface FileCase {
  /** Shape of the input `x` in the file; 0 is an open size. */
  readonly input: readonly number[];
  readonly nodes: readonly NodeCase[];
  readonly tensors?: Readonly<Record<string, Draft<TensorProto>>>;
  readonly sparse?: Readonly<Record<string, Draft<SparseTensorProto>>>;
  /** By default the last output. */
  readonly output?: string;
  /** Further outputs. */
  readonly outputs?: readonly string[];
  readonly opset?: number;
}

/** Float32 values in a tensor; random ones where only a shape is given. */
export function floats(shape: readonly number[], values?: readonly number[]): Draft<TensorProto> {
  const data = values ?? sampler(sizeOf(shape)).array(shape, -1, 1).data;
  return { data_type: 1, dims: [...shape], float_data: Array.from(data, Math.fround) };
}

export const wholes = (values: readonly number[], shape = [values.length]): Draft<TensorProto> => ({
  ...{ data_type: 7, dims: [...shape], int64_data: [...values] },
});

function attribute(name: string, value: Attribute) {
  if (typeof value === 'number') return { name, type: 2, i: value };
  if (typeof value === 'string') return { name, type: 3, s: new TextEncoder().encode(value) };
  if (isList(value)) return { name, type: 7, ints: [...value] };
  if ('float' in value) return { name, type: 1, f: value.float };
  if ('many' in value) return { name, type: 6, floats: [...value.many] };
  if ('sparse' in value) return { name, type: 11, sparse_tensor: value.sparse };
  return { name, type: 4, t: value };
}

const isList = (value: Attribute): value is readonly number[] => Array.isArray(value);

function nodeProto(node: NodeCase, at: number, before: readonly string[]): Draft<NodeProto> {
  return {
    op_type: node.op,
    name: node.name ?? `n${at}`,
    domain: node.domain ?? '',
    input: [...(node.in ?? before)],
    output: [...(node.out ?? [`v${at}`])],
    attribute: Object.entries(node.attributes ?? {}).map(([name, value]) => attribute(name, value)),
  };
}

export function message(given: FileCase): Draft<ModelProto> {
  const nodes: Draft<NodeProto>[] = [];
  given.nodes.forEach((node, at) => {
    const before = nodes.at(-1)?.output?.slice(0, 1) ?? ['x'];
    nodes.push(nodeProto(node, at, before));
  });
  const dim = given.input.map((size) => (size === 0 ? { dim_param: 'N' } : { dim_value: size }));
  const output = given.output ?? nodes.at(-1)?.output?.[0] ?? 'x';
  return {
    ir_version: 7,
    opset_import: [{ version: given.opset ?? 13 }, { domain: 'ai.onnx.ml', version: 1 }],
    graph: {
      name: 'made',
      node: nodes,
      sparse_initializer: Object.entries(given.sparse ?? {}).map(([name, t]) => ({
        ...t,
        values: { ...t.values, name },
      })),
      initializer: Object.entries(given.tensors ?? {}).map(([name, t]) => ({ ...t, name })),
      input: [{ name: 'x', type: { tensor_type: { elem_type: 1, shape: { dim } } } }],
      output: [output, ...(given.outputs ?? [])].map((name) => ({
        name,
        type: { tensor_type: { elem_type: 1 } },
      })),
    },
  };
}

export const onnxFile = (given: FileCase): Uint8Array => encodeModel(message(given));
