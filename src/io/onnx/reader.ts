/**
 * ONNX models in: a feed-forward graph as a network of ours with its weights.
 *
 * The first axis of the input is the batch where its size is open or 1 (and others follow), and is
 * left out of our input shape: [N, 3, 32, 32] gives [3, 32, 32], [1, 1, 1, 5] gives [1, 1, 5], and [5]
 * stays [5]. The file is read at a batch of 1, so every size is known, and what does not depend on the
 * input folds away. The output is flat. The network computes what the file says, in float32 and in the
 * file's order: nothing is merged that rounds otherwise. What cannot be read is listed at once, with
 * the names of the nodes.
 */
import { EspalierError, expect, fail } from '../../errors';
import { sizeOf } from '../../tensor/shape';
import { Builder, type Live, sampleOf, type Value } from './build';
import { Call, type Operator } from './call';
import { type Constant, checkShape, type External, readSparse, readTensor } from './element';
import { evaluate } from './evaluate';
import { fused } from './fuse';
import { finish, type Imported } from './merge';
import { arithmetics } from './ops-arithmetic';
import { compute } from './ops-compute';
import { constants } from './ops-constant';
import { paddings } from './ops-pad';
import { products } from './ops-product';
import { structure } from './ops-structure';
import { windowed } from './ops-window';
import { inputShape, needed, type Stored } from './order';
import type { ModelProto, NodeProto } from './proto.gen';
import { decodeModel } from './wire';

export type { LeftOut } from './build';
export type { External } from './element';
export type { Imported, Weight } from './merge';

/** All operators that are understood, by their ONNX names; those of other domains have it in front. */
export const operators: Readonly<Record<string, Operator>> = {
  ...constants,
  ...arithmetics,
  ...compute,
  ...paddings,
  ...products,
  ...structure,
  ...windowed,
};

/**
 * Operator sets: rules of each operator are those of the model's set. Sets 24 and 25 changed the types
 * that operators take and added operators, but not what those that are read here compute.
 */
export const OPSETS = [7, 25] as const;
/** Operators after which the order of the outputs is the same: left out at the end. */
const MONOTONE = ['Softmax', 'LogSoftmax'];
/** Operators that may follow those. */
const PLAIN = ['Cast', 'Dropout', 'Flatten', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze'];
/** Numbers that a small file may make beyond its own bytes (shapes, index lists, borders). */
const ALLOWANCE = 2 ** 20;
/** Faults after which reading ends, and characters of each. */
const [MAX_PROBLEMS, MAX_MESSAGE] = [40, 600];

export interface OnnxOptions {
  /** Reads data files beside the model by their names. */
  readonly external?: External;
  /** Name of the output (or of any other value) that the network ends in; by default the only output. */
  readonly output?: string;
}

/**
 * The network and weights in an ONNX file; `who` names it in errors.
 *
 * Raises EspalierError for anything that is not such a file or cannot be read, naming every node at
 * fault (the first 40 of many).
 */
export function readOnnx(bytes: Uint8Array, who: string, options: OnnxOptions = {}): Imported {
  const model = decodeModel(bytes, who);
  const graph = model.graph ?? fail(who, 'an ONNX model with a graph', 'none');
  const { output, input, initialisers, nodes } = needed(graph, options.output, who);
  const opset = opsetOf(model, who);
  const { shape, open } = inputShape(input, who);
  const full = checkShape(shape, `${who}: input ${input.name}`);
  const build = new Builder(sampleOf(full), who, ALLOWANCE + 3 * bytes.length);
  const scope = scopeOf(initialisers, build, options.external);
  scope.set(input.name, build.live(build.input, full, open ? 0 : -1));
  run(fused(nodes, initialisers, output), { scope, build, who, opset, output });

  build.who = `${who}: output ${output.slice(0, 60)}`;
  const result = scope.get(output);
  if (result?.kind !== 'live') return fail(build.who, 'to depend on the input', 'a constant');
  return finish(build, flat(build, result), graph.name.slice(0, 100) || 'onnx');
}

function opsetOf(model: ModelProto, who: string): number {
  const opset = model.opset_import.find(({ domain }) => isStandard(domain))?.version ?? 0;
  const known = opset >= OPSETS[0] && opset <= OPSETS[1];
  expect(known, who, `operator set ${OPSETS[0]} to ${OPSETS[1]}`, opset, 'Convert or export anew.');
  return opset;
}

/** Values by name; undefined for those that could not be made. */
interface Scope {
  get(name: string): Value | undefined;
  set(name: string, value: Value | undefined): void;
}

/** Initialisers are read when they are needed, files beside the model once. */
function scopeOf(
  initialisers: ReadonlyMap<string, Stored>,
  build: Builder,
  external: External | undefined,
): Scope {
  const { who } = build;
  const values = new Map<string, Value | undefined>();
  const files = new Map<string, Uint8Array>();
  const beside = external && reading(external, build, files);
  return {
    get(name) {
      if (values.has(name)) return values.get(name);
      const known = initialisers.get(name);
      if (!known) return fail(build.who, 'inputs made before', `"${name.slice(0, 60)}"`);
      const at = `${who}: ${name.slice(0, 60)}`;
      const value: Constant =
        'dense' in known
          ? readTensor(known.dense, at, beside)
          : build.unpacked(readSparse(known.sparse, at, beside));
      values.set(name, value);
      return value;
    },
    set: (name, value) => void values.set(name, value),
  };
}

const reading =
  (external: External, build: Builder, files: Map<string, Uint8Array>): External =>
  (name) => {
    const file = files.get(name) ?? external(name);
    if (!files.has(name)) build.allow(3 * file.length);
    files.set(name, file);
    return file;
  };

interface Surroundings {
  readonly scope: Scope;
  readonly build: Builder;
  readonly who: string;
  readonly opset: number;
  readonly output: string;
}

/** Runs all nodes over the builder; raises one error for all that are at fault. */
function run(nodes: readonly NodeProto[], around: Surroundings): void {
  const { scope, output } = around;
  const last = lastSoftmax(nodes, output);
  const problems: string[] = [];
  for (const [position, node] of nodes.entries()) {
    let made: readonly Value[] = [];
    try {
      made = make(node, position, node === last, around);
    } catch (error) {
      if (!(error instanceof EspalierError)) throw error;
      problems.push(cut(error.message));
      if (problems.length === MAX_PROBLEMS) {
        problems.push(`${around.who}: further nodes were not looked at.`);
        break;
      }
    }
    // An output that an operator does not give (a dropout's mask) stays unknown: using it is a fault.
    const given = made.length === 0 ? node.output : node.output.slice(0, made.length);
    given.forEach((to, i) => {
      scope.set(to, made[i]);
    });
  }
  if (problems.length > 0) throw new EspalierError(problems.join('\n'));
}

const cut = (text: string): string =>
  text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE)}...` : text;

/** The outputs of one node; none where its inputs are unknown. */
function make(
  node: NodeProto,
  position: number,
  last: boolean,
  { scope, build, who, opset }: Surroundings,
): readonly Value[] {
  const { op_type: type, output } = node;
  const name = (node.name || output.find((value) => /[A-Za-z]/.test(value)) || '').slice(0, 80);
  build.name = name || type.slice(0, 80);
  build.who = `${who}: node ${name || output[0]?.slice(0, 80) || position} (${type.slice(0, 80)})`;
  const operator = last ? softmax : operatorOf(node, build.who);
  const inputs = node.input.map((input) => (input === '' ? undefined : scope.get(input)));
  // Behind a node at fault nothing is known; that one has been listed.
  if (inputs.some((value, i) => !value && node.input[i] !== '')) return [];
  const call = new Call({ node, who: build.who, opset, inputs, build });
  const values = [operator(call)].flat();
  if (!call.folds) return values;
  return values.map((value) => (value.kind === 'live' ? evaluate(build, value) : value));
}

const isStandard = (domain: string): boolean => domain === '' || domain === 'ai.onnx';

/** The way out, for operators that are often met. */
const HINTS: Readonly<Record<string, string>> = {
  ArgMax: 'Choose the output before it: --output NAME.',
  Attention: 'Attention is a product of values of the network, which no layer computes.',
  ConvTranspose: 'Upsample by Resize (nearest) and Conv instead.',
  DynamicQuantizeLinear: 'Export before activations are quantised.',
  If: 'Export without control flow, for one case.',
  InstanceNormalization: 'Train with batch normalisation instead.',
  LayerNormalization: 'Train with batch normalisation instead.',
  Loop: 'Export without control flow, unrolled.',
  LSTM: 'Recurrent networks are not read; unroll it.',
  ZipMap: 'Export with the option zipmap=False, or choose another output: --output NAME.',
};
const LISTED = 'docs/formats.md lists the operators that are read.';

function operatorOf({ op_type: type, domain }: NodeProto, where: string): Operator {
  const name = isStandard(domain) ? type : `${domain}.${type}`.slice(0, 120);
  if (Object.hasOwn(operators, name)) return operators[name]!;
  const hint = Object.hasOwn(HINTS, type) ? `${HINTS[type]} ${LISTED}` : LISTED;
  return fail(where, 'a known operator', name.slice(0, 120), hint);
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
    'Choose the output before it: --output NAME.',
  );
  // Before operator set 13, over all axes from this one on.
  call.build.apart(x, newer ? [axis] : x.full.map((_, i) => i).slice(axis));
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

/** The output as [classes]; a network needs one node at least. */
function flat(build: Builder, result: Live): Live['draft'] {
  const draft = build.as(result, [sizeOf(result.full)], 'output');
  return draft === build.input ? build.node('flatten', [draft]) : draft;
}
