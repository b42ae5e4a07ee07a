/** What of a graph an output needs, and in which order: nodes may stand in any in the file. */
import { expect, fail } from '../../errors';
import { suggest } from '../../suggest';
import { typeName } from './element';
import type {
  GraphProto,
  NodeProto,
  SparseTensorProto,
  TensorProto,
  ValueInfoProto,
} from './proto.gen';

/** A stored tensor. */
export type Stored = { readonly dense: TensorProto } | { readonly sparse: SparseTensorProto };

export interface Wanted {
  /** The value that the network ends in. */
  readonly output: string;
  /** The one input that it depends on. */
  readonly input: ValueInfoProto;
  /** Initialisers by name. */
  readonly initialisers: ReadonlyMap<string, Stored>;
  /** Nodes in an order in which each stands behind those that it reads. */
  readonly nodes: readonly NodeProto[];
}

/** A list of names as a message can hold it. */
export function some(names: readonly string[]): string {
  const cut = names
    .slice(0, 12)
    .map((name) => (name.length > 60 ? `${name.slice(0, 60)}...` : name));
  return `[${[...cut, ...(names.length > 12 ? [`${names.length - 12} more`] : [])].join(', ')}]`;
}

/**
 * What `name`, an output (or another value) of the graph, needs; by default the only output.
 *
 * Raises EspalierError for several outputs and no name, names made twice or never, several inputs that
 * are read, and nodes that depend on themselves.
 */
export function needed(graph: GraphProto, name: string | undefined, who: string): Wanted {
  const initialisers = stored(graph, who);
  const inputs = graph.input.filter((info) => !initialisers.has(info.name));
  const makers = new Map<string, NodeProto>();
  let made = 0;
  for (const node of graph.node)
    for (const value of node.output) {
      if (value === '') continue;
      makers.set(value, node);
      made++;
    }
  const names = new Set([
    ...initialisers.keys(),
    ...inputs.map((info) => info.name),
    ...makers.keys(),
  ]);
  const distinct = names.size === initialisers.size + inputs.length + made;
  expect(distinct, who, 'every value made once', 'a name made twice');
  const output = outputOf(graph, name, names, who);
  const found = reachable(makers, output);
  const read = new Set([output]);
  for (const node of found) for (const input of node.input) read.add(input);
  const used = inputs.filter((info) => read.has(info.name));
  const lost = unmade(found, names);
  if (lost) fail(nodeName(lost.node, who), 'inputs made before', `"${lost.name.slice(0, 60)}"`);
  if (used.length === 0 && inputs.length > 0)
    fail(`${who}: output ${output.slice(0, 60)}`, 'to depend on the input', 'a constant');
  const hint = used.length > 1 ? 'Choose an output that one input leads to (--output).' : '';
  expect(used.length === 1, who, 'one input', some(used.map((info) => info.name)), hint);
  return { output, input: used[0]!, initialisers, nodes: sorted(graph.node, found, makers, who) };
}

const nodeName = (node: NodeProto, who: string): string =>
  `${who}: node ${(node.name || node.output[0] || '').slice(0, 60)} (${node.op_type.slice(0, 60)})`;

/** The first of the nodes that reads what nothing makes. */
function unmade(nodes: ReadonlySet<NodeProto>, known: ReadonlySet<string>) {
  for (const node of nodes)
    for (const name of node.input) if (name !== '' && !known.has(name)) return { node, name };
  return undefined;
}

function stored(graph: GraphProto, who: string): Map<string, Stored> {
  const all = [
    ...graph.initializer.map((dense) => [dense.name, { dense }] as const),
    ...graph.sparse_initializer.map((sparse) => [sparse.values?.name ?? '', { sparse }] as const),
  ];
  const found = new Map<string, Stored>(all);
  expect(found.size === all.length, who, 'initialisers of different names', 'a name twice');
  return found;
}

function outputOf(
  graph: GraphProto,
  name: string | undefined,
  known: ReadonlySet<string>,
  who: string,
): string {
  const outputs = graph.output.map((info) => info.name);
  if (name !== undefined) {
    if (!outputs.includes(name) && !known.has(name))
      fail(
        who,
        `one of its outputs ${some(outputs)}`,
        name,
        outputs.length < 100 ? suggest(name, outputs) : '',
      );
    return name;
  }
  const hint = outputs.length > 1 ? 'Name one of them: --output NAME.' : '';
  expect(outputs.length === 1, who, 'one output', some(outputs), hint);
  return outputs[0]!;
}

/** The nodes that the output depends on. */
function reachable(makers: ReadonlyMap<string, NodeProto>, output: string): Set<NodeProto> {
  const found = new Set<NodeProto>();
  const stack = [output];
  for (let name = stack.pop(); name !== undefined; name = stack.pop()) {
    const node = makers.get(name);
    if (!node || found.has(node)) continue;
    found.add(node);
    for (const input of node.input) stack.push(input);
  }
  return found;
}

/** The nodes found, each behind those that it reads; in the order of the file where that is one. */
function sorted(
  nodes: readonly NodeProto[],
  found: ReadonlySet<NodeProto>,
  makers: ReadonlyMap<string, NodeProto>,
  who: string,
): NodeProto[] {
  const missing = new Map<NodeProto, number>();
  const readers = new Map<NodeProto, NodeProto[]>();
  for (const node of found) {
    const from = new Set(node.input.flatMap((name) => makers.get(name) ?? []));
    missing.set(node, from.size);
    for (const maker of from) {
      const list = readers.get(maker) ?? [];
      if (list.length === 0) readers.set(maker, list);
      list.push(node);
    }
  }
  const out: NodeProto[] = [];
  const passed = new Set<NodeProto>();
  for (const next of nodes) {
    if (!found.has(next)) continue;
    passed.add(next);
    const ready = missing.get(next) === 0 ? [next] : [];
    for (let node = ready.pop(); node; node = ready.pop()) {
      out.push(node);
      for (const reader of readers.get(node) ?? []) {
        const left = missing.get(reader)! - 1;
        missing.set(reader, left);
        if (left === 0 && passed.has(reader)) ready.push(reader);
      }
    }
  }
  if (out.length === found.size) return out;
  const stuck = nodes.find((node) => found.has(node) && missing.get(node)! > 0)!;
  return fail(nodeName(stuck, who), 'inputs made before', 'a value that depends on itself');
}

/** The input's shape at a batch of 1, and whether the size of the batch is open. */
export function inputShape({ name, type }: ValueInfoProto, who: string) {
  const at = `${who}: input ${name.slice(0, 60)}`;
  const { elem_type: element = 0, shape } = type?.tensor_type ?? {};
  const hint =
    'The network is read and proved in float32 alone; export it in float32, without casts of its values.';
  if (element > 1) fail(at, 'float', typeName(element), hint);
  const dims = shape?.dim ?? fail(at, 'a shape', 'none', 'Export the model with fixed sizes.');
  const sizes = dims.map(({ dim_value }) => dim_value);
  const open = sizes.length > 0 && sizes[0]! <= 0;
  const fixed = sizes.every((size, axis) => size > 0 || axis === 0);
  const told = dims.map((d) => d.dim_param || String(d.dim_value));
  expect(
    fixed,
    at,
    'sizes fixed behind the batch',
    some(told),
    'Export the model with fixed sizes.',
  );
  return { shape: open ? [1, ...sizes.slice(1)] : sizes, open };
}
