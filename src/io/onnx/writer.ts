/**
 * ONNX models out: operator set 13 (or that of the newest operator needed), IR version 8, input `input` and
 * output `logits` with an open batch. Each layer is one or two standard operators named after it
 * (write-layers.ts), its parameters float32 initialisers under their own names; dropout is left out. The
 * same model gives the same bytes.
 */
import { EspalierError, expect } from '../../errors';
import { type Graph, type GraphNode, INPUT } from '../../nn/graph';
import { type Shape, sizeOf } from '../../tensor/shape';
import { VERSION } from '../../version';
import { FLOAT, INT64 } from './element';
import type { AttributeProto, Draft, GraphProto, TensorProto, ValueInfoProto } from './proto.gen';
import { encodeModel } from './wire';
import { SINCE, type Step, WRITERS } from './write-layers';

const IR_VERSION = 8;
/** Operators that came later raise it. */
const OPSET = 13;
const OUTPUT = 'logits';
/** Bytes of one protobuf message, at most. */
const MAX_BYTES = 2 ** 31 - 1;

/** What the writer needs of a model: a `Model` has it. */
export interface Writable {
  readonly graph: Graph;
  /** Parameters by full name. */
  readonly params: ReadonlyMap<string, { read(): Float32Array }>;
}

export interface WriteOptions {
  /** False leaves out a `normalise` layer at the input, for data that is normalised already. */
  readonly normalise?: boolean;
}

/**
 * The model as an ONNX file. Batch norm is in its inference form, statistics as stored.
 *
 * Raises EspalierError where layers have no operator, listing all of them, and for a model of 2 GiB
 * or more.
 */
export function writeOnnx(model: Writable, { normalise = true }: WriteOptions = {}): Uint8Array {
  const { graph } = model;
  const { network, nodes, output } = graph;
  const unknown = nodes.filter(({ kind }) => !Object.hasOwn(WRITERS, kind));
  if (unknown.length > 0)
    throw new EspalierError(
      unknown
        .map(({ name, kind }) => `${network.name}.${name}: expected a layer ONNX has, got ${kind}.`)
        .join('\n'),
    );
  const bytes = nodes.reduce(
    (total, { params }) =>
      Object.values(params).reduce((sum, { shape }) => sum + 4 * sizeOf(shape), total),
    0,
  );
  expect(bytes < MAX_BYTES, network.name, `parameters of less than ${MAX_BYTES} bytes`, bytes);
  const needed = nodes.flatMap((node) =>
    WRITERS[node.kind]!(node, OPSET).map(({ op }) => SINCE[op] ?? 0),
  );
  const opset = needed.reduce((a, b) => Math.max(a, b), OPSET);
  return encodeModel({
    ir_version: IR_VERSION,
    producer_name: 'espalier',
    producer_version: VERSION,
    opset_import: [{ version: opset }],
    graph: {
      name: network.name || 'network',
      ...bodyOf(model, opset, normalise),
      input: [valueInfo(INPUT, network.input)],
      output: [valueInfo(OUTPUT, output)],
    },
  });
}

type Body = Required<Pick<Draft<GraphProto>, 'node' | 'initializer' | 'value_info'>>;

/** All nodes with their constants, in order. */
function bodyOf({ graph: { nodes }, params }: Writable, opset: number, normalise: boolean): Body {
  const body: Body = { node: [], initializer: [], value_info: [] };
  /** Names of the nodes' values; a node that is left out has its input's. */
  const values: string[] = [];
  nodes.forEach((node, at) => {
    const inputs = node.inputs.map((i) => (i < 0 ? INPUT : values[i]!));
    const last = at === nodes.length - 1;
    const skip = !normalise && node.kind === 'normalise' && node.inputs[0] === -1;
    const found = skip ? [] : WRITERS[node.kind]!(node, opset);
    const steps: readonly Step[] = found.length === 0 && last ? [{ op: 'Identity' }] : found;
    const own = node.name === OUTPUT ? `${node.name}.value` : node.name;
    const end = last ? OUTPUT : own;
    let from = inputs;
    steps.forEach((step, i) => {
      const inner = i < steps.length - 1 ? `${node.name}.${step.op.toLowerCase()}` : undefined;
      const constants = constantsOf(node, step, params);
      body.initializer.push(...constants.flatMap((tensor) => tensor ?? []));
      body.node.push({
        op_type: step.op,
        name: inner ?? node.name,
        input: [
          ...(step.again ? inputs : []),
          ...from,
          ...constants.map((tensor) => tensor?.name ?? ''),
        ],
        output: [inner ?? end],
        attribute: attributesOf(step),
      });
      from = [inner ?? end];
      if (from[0] !== OUTPUT) body.value_info.push(valueInfo(from[0]!, node.shape));
    });
    values.push(from[0]!);
  });
  return body;
}

/** The constants of one step as tensors; null for an input that is left out. */
function constantsOf(
  node: GraphNode,
  { constants = [] }: Step,
  params: Writable['params'],
): (Draft<TensorProto> | null)[] {
  return constants.map((constant) => {
    if (constant === null) return null;
    if ('wholes' in constant) {
      const values = BigInt64Array.from(constant.wholes, BigInt);
      return tensor(`${node.name}.${constant.name}`, INT64, [values.length], values);
    }
    if ('single' in constant)
      return tensor(`${node.name}.${constant.name}`, FLOAT, [], Float32Array.of(constant.single));
    const name = `${node.name}.${constant.param}`;
    const own = (local: string): Float32Array => {
      const values = params.get(`${node.name}.${local}`)?.read();
      expect(values, `${node.name}.${local}`, 'a parameter', 'none');
      return values;
    };
    const values = constant.from ? constant.from(own) : own(constant.param);
    const shape = constant.shape ?? node.params[constant.param]?.shape;
    expect(shape, name, 'a shape', 'none');
    return tensor(name, FLOAT, shape, values);
  });
}

function tensor(
  name: string,
  type: number,
  shape: Shape,
  { buffer, byteOffset, byteLength }: Float32Array | BigInt64Array,
): Draft<TensorProto> {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  return { name, data_type: type, dims: [...shape], raw_data: bytes };
}

/** Attributes with AttributeProto.AttributeType: 1 a float, 2 a whole number, 3 a text, 7 whole numbers. */
function attributesOf({ attributes = {} }: Step): Draft<AttributeProto>[] {
  return Object.entries(attributes).map(([name, value]) => {
    if (typeof value === 'number') return { name, type: 2, i: value };
    if (typeof value === 'string') return { name, type: 3, s: new TextEncoder().encode(value) };
    return 'float' in value
      ? { name, type: 1, f: value.float }
      : { name, type: 7, ints: [...value] };
  });
}

function valueInfo(name: string, sample: Shape): Draft<ValueInfoProto> {
  const dim = [{ dim_param: 'batch' }, ...sample.map((size) => ({ dim_value: size }))];
  return { name, type: { tensor_type: { elem_type: FLOAT, shape: { dim } } } };
}
