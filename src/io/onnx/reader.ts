/**
 * ONNX models in: a feed-forward graph of opset 7 to 21 as a network of ours with its weights.
 *
 * The first axis of the input is the batch where its size is open or 1 (and others follow), and is
 * left out of our input shape: [N, 3, 32, 32] gives [3, 32, 32], [1, 1, 1, 5] gives [1, 1, 5], and [5]
 * stays [5]. The file is read at a batch of 1, so every size is known and computations of shapes fold
 * away. The output is flat. What cannot be read is listed at once, with the names of the nodes.
 */
import { EspalierError, expect, fail } from '../../errors';
import { sizeOf } from '../../tensor/shape';
import { Builder, type Live, sampleOf, type Value } from './build';
import { Call, type Operator } from './call';
import { checkShape, type External, readTensor } from './element';
import { finish, type Imported } from './merge';
import { compute } from './ops-compute';
import { structure } from './ops-structure';
import { windowed } from './ops-window';
import type { GraphProto, NodeProto, TensorProto, ValueInfoProto } from './proto';
import { decodeModel } from './wire';

export type { LeftOut } from './build';
export type { External } from './element';
export type { Imported, Weight } from './merge';

/** All operators that are understood, by their ONNX names. */
export const operators: Readonly<Record<string, Operator>> = {
  ...compute,
  ...structure,
  ...windowed,
};

const OPSETS = [7, 21] as const;
/** Operators after which the order of the outputs is the same: left out at the end. */
const MONOTONE = ['Softmax', 'LogSoftmax'];
/** Operators that may follow those. */
const PLAIN = ['Cast', 'Dropout', 'Flatten', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze'];
/** Numbers that a small file may make beyond its own bytes (shapes, index lists, borders). */
const ALLOWANCE = 2 ** 20;

/**
 * The network and weights in an ONNX file; `who` names it in errors, `external` reads data files
 * beside it by their names.
 *
 * Raises EspalierError for anything that is not such a file or cannot be read, naming every node at
 * fault.
 */
export function readOnnx(bytes: Uint8Array, who: string, external?: External): Imported {
  const model = decodeModel(bytes, who);
  const graph = model.graph ?? fail(who, 'an ONNX model with a graph', 'none');
  const opset = model.opset_import.find(({ domain }) => isStandard(domain))?.version ?? 0;
  const known = opset >= OPSETS[0] && opset <= OPSETS[1];
  expect(known, who, `operator set ${OPSETS[0]} to ${OPSETS[1]}`, opset, 'Convert or export anew.');

  const { info, initialisers } = interfaceOf(graph, who);
  const { shape, open } = inputShape(info, who);
  const build = new Builder(sampleOf(shape), who, ALLOWANCE + 3 * bytes.length);
  const scope = scopeOf(initialisers, build, external);
  scope.set(info.name, build.live(build.input, shape, open ? 0 : -1));
  const output = graph.output[0]!.name;
  run(reachable(graph, output, who), { scope, build, who, opset, output });

  build.who = `${who}: output ${output}`;
  const result = scope.get(output);
  if (result?.kind !== 'live') return fail(build.who, 'to depend on the input', 'a constant');
  return finish(build, flat(build, result), graph.name.slice(0, 100) || 'onnx');
}

/** Values by name; undefined for those that could not be made. */
interface Scope {
  get(name: string): Value | undefined;
  set(name: string, value: Value | undefined): void;
}

/** Initialisers are read when they are needed, files beside the model once. */
function scopeOf(
  initialisers: ReadonlyMap<string, TensorProto>,
  build: Builder,
  external: External | undefined,
): Scope {
  const { who } = build;
  const values = new Map<string, Value | undefined>();
  const files = new Map<string, Uint8Array>();
  const beside = (read: External) => (name: string) => {
    const file = files.get(name) ?? read(name);
    if (!files.has(name)) build.allow(3 * file.length);
    files.set(name, file);
    return file;
  };
  return {
    get(name) {
      if (values.has(name)) return values.get(name);
      const tensor = initialisers.get(name) ?? fail(build.who, 'inputs made before', `"${name}"`);
      const value = readTensor(tensor, `${who}: ${name}`, external && beside(external));
      values.set(name, value);
      return value;
    },
    set: (name, value) => void values.set(name, value),
  };
}

interface Surroundings {
  readonly scope: Scope;
  readonly build: Builder;
  readonly who: string;
  readonly opset: number;
  readonly output: string;
}

/** Runs all nodes over the builder; raises one error for all that are at fault. */
function run(
  nodes: readonly NodeProto[],
  { scope, build, who, opset, output }: Surroundings,
): void {
  const last = lastSoftmax(nodes, output);
  const problems: string[] = [];
  const make = (node: NodeProto, position: number): readonly Value[] => {
    const { name, op_type: type, output: to } = node;
    build.name = name || to.find((value) => /[A-Za-z]/.test(value)) || type;
    build.who = `${who}: node ${name || to[0] || position} (${type})`;
    const operator = operatorOf(node, build.who);
    const inputs = node.input.map((input) => (input === '' ? undefined : scope.get(input)));
    // Behind a node at fault nothing is known; that one has been listed.
    if (inputs.some((value, i) => !value && node.input[i] !== '')) return [];
    const call = new Call({ node, who: build.who, opset, inputs, build });
    return [node === last ? softmax(call) : operator(call)].flat();
  };
  nodes.forEach((node, position) => {
    let made: readonly Value[] = [];
    try {
      made = make(node, position);
    } catch (error) {
      if (!(error instanceof EspalierError)) throw error;
      problems.push(error.message);
    }
    // An output that an operator does not give (a dropout's mask) stays unknown: using it is a fault.
    const given = made.length === 0 ? node.output : node.output.slice(0, made.length);
    given.forEach((to, i) => {
      scope.set(to, made[i]);
    });
  });
  if (problems.length > 0) throw new EspalierError(problems.join('\n'));
}

const isStandard = (domain: string): boolean => domain === '' || domain === 'ai.onnx';

function operatorOf(node: NodeProto, where: string): Operator {
  const { op_type: type, domain } = node;
  const own = isStandard(domain) && Object.hasOwn(operators, type);
  if (own) return operators[type]!;
  if (MONOTONE.includes(type) && isStandard(domain))
    return (call) => call.fail(`${type} at the end, over the classes`, 'elsewhere');
  return fail(where, 'a known operator', isStandard(domain) ? type : `${domain}.${type}`);
}

/** A softmax at the very end goes: the largest output stays the largest. */
function softmax(call: Call): Value {
  const x = call.live(0);
  const rank = x.full.length;
  const newer = call.opset >= 13;
  const axis = call.axis(call.int('axis', newer ? -1 : 1), rank);
  const over = newer ? x.full[axis]! : sizeOf(x.full.slice(axis));
  call.expect(
    over === sizeOf(x.full),
    'a softmax over all classes',
    `one over ${over} of [${x.full}]`,
  );
  call.build.leftOut = call.node.op_type === 'Softmax' ? 'softmax' : 'log-softmax';
  call.build.note(
    `${call.build.name}: the final ${call.node.op_type} is left out; outputs are logits.`,
  );
  return x;
}

/** The softmax that only plain nodes separate from the output, if there is one. */
function lastSoftmax(nodes: readonly NodeProto[], output: string): NodeProto | undefined {
  let wanted = output;
  for (const node of nodes.toReversed()) {
    if (!node.output.includes(wanted)) continue;
    if (MONOTONE.includes(node.op_type)) {
      const readers = nodes.filter(({ input }) => input.includes(wanted)).length;
      return readers <= 1 ? node : undefined;
    }
    if (!PLAIN.includes(node.op_type)) return undefined;
    wanted = node.input[0] ?? '';
  }
  return undefined;
}

/** The one input, and the initialisers by name; every name stands for one thing. */
function interfaceOf(graph: GraphProto, who: string) {
  const initialisers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  expect(
    initialisers.size === graph.initializer.length,
    who,
    'initialisers of different names',
    'a name twice',
  );
  const inputs = graph.input.filter(({ name }) => !initialisers.has(name));
  expect(
    inputs.length === 1,
    who,
    'one input',
    inputs.map(({ name }) => name),
  );
  const outputs = graph.output.map(({ name }) => name);
  expect(outputs.length === 1, who, 'one output', outputs);
  const made = graph.node.flatMap(({ output }) => output.filter((name) => name !== ''));
  const names = new Set([...initialisers.keys(), inputs[0]!.name, ...made]);
  const distinct = names.size === initialisers.size + 1 + made.length;
  expect(distinct, who, 'every value made once', 'a name made twice');
  return { info: inputs[0]!, initialisers };
}

/** The input's shape at a batch of 1, and whether the size of the batch is open. */
function inputShape({ name, type }: ValueInfoProto, who: string) {
  const at = `${who}: input ${name}`;
  const dims = type?.tensor_type?.shape?.dim ?? fail(at, 'a shape', 'none');
  const sizes = dims.map(({ dim_value }) => dim_value);
  const open = sizes.length > 0 && sizes[0]! <= 0;
  const fixed = sizes.every((size, axis) => size > 0 || axis === 0);
  expect(
    fixed,
    at,
    'sizes fixed behind the batch',
    dims.map((d) => d.dim_param || d.dim_value),
  );
  return { shape: checkShape(open ? [1, ...sizes.slice(1)] : sizes, at), open };
}

/** The nodes that the output depends on, in the order of the file. */
function reachable(graph: GraphProto, output: string, who: string): NodeProto[] {
  const makers = new Map<string, NodeProto>();
  for (const node of graph.node)
    for (const name of node.output) if (name !== '') makers.set(name, node);
  const found = new Set<NodeProto>();
  const stack = [output];
  for (let name = stack.pop(); name !== undefined; name = stack.pop()) {
    const node = makers.get(name);
    if (!node || found.has(node)) continue;
    found.add(node);
    stack.push(...node.input);
  }
  expect(
    found.size > 0 || graph.input.some(({ name }) => name === output),
    who,
    `a node that makes the output`,
    `"${output}"`,
  );
  return graph.node.filter((node) => found.has(node));
}

/** The output as [classes]; a network needs one node at least. */
function flat(build: Builder, result: Live): Live['draft'] {
  const draft = build.as(result, [sizeOf(result.full)], 'output');
  return draft === build.input ? build.node('flatten', [draft]) : draft;
}
