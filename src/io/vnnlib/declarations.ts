/**
 * Variables of VNN-LIB. Version 1.0 declares numbers `X_i` and `Y_j`; version 2.0 declares networks of
 * tensors, of which networks with one input and one output each are read: their elements, row by row and network by
 * network, are the inputs and outputs.
 */
import { quote } from '../../errors';

export type Part = 'inputs' | 'outputs';

/** An input or output of a network, 2.0. */
export interface Tensor {
  readonly kind: 'tensor';
  readonly part: Part;
  readonly name: string;
  readonly shape: readonly number[];
  /** Its name in the ONNX file, where the property says it. */
  readonly onnx?: string;
  /** Index of its first element among all inputs, or outputs. */
  offset: number;
}

/** What a network is to one that was declared before it: the same, or one of the same layers with other weights. */
export interface Relation {
  readonly kind: 'relation';
  readonly how: 'equal-to' | 'isomorphic-to';
  readonly name: string;
}

/** A network of 2.0. */
export interface NetworkDeclaration {
  readonly name: string;
  readonly input: Tensor;
  readonly output: Tensor;
  readonly relation?: Relation;
}

/** An argument of a form, as far as declarations read it. */
type Argument =
  | { readonly kind: 'atom'; readonly text: string }
  | { readonly kind: 'unit' | 'bad' | 'formula' | 'linear' }
  | Relation
  | Tensor;

/** What is declared so far. */
export interface Declared {
  /** Indices declared. */
  readonly inputs: Set<number>;
  readonly outputs: Set<number>;
  /** Those of 2.0, by name. */
  readonly tensors: Map<string, Tensor>;
  readonly networks: NetworkDeclaration[];
}

const VARIABLE = /^([XY])_(0|[1-9]\d{0,8})$/;
const NAME = /^[A-Za-z]\w{0,99}$/;
const ONNX_NAME = /^"[^"\n]{1,500}"$/;
const SHAPE = /^\[[\d,\s]{0,200}\]$/;
/** Sorts of tensors, in small letters: the standard writes `real`, files `Real` and `Float32` as well. */
const SORTS = ['real', 'float', 'float32', 'float64', 'double'];
const MAX_VARIABLES = 500_000;

/** Adds what a command declares, or says what is wrong with it. */
type Declare = (args: readonly Argument[], declared: Declared) => string | undefined;

export const declarations: Readonly<Record<string, Declare>> = {
  'declare-const': (args, declared) => variable('declare-const', args, declared),
  'declare-fun': ([name, none, ...rest], declared) =>
    none?.kind === 'unit'
      ? variable('declare-fun', [name!, ...rest], declared)
      : 'expected (declare-fun NAME () Real), got another form.',
  'declare-network': network,
};

/** `(declare-const X_0 Real)` or `(declare-fun X_0 () Real)`. */
function variable(op: string, args: readonly Argument[], declared: Declared): string | undefined {
  const [name, sort] = args;
  if (name?.kind !== 'atom' || sort?.kind !== 'atom' || args.length !== 2)
    return `expected (${op} NAME Real), got another form.`;
  const [, letter, digits] = VARIABLE.exec(name.text) ?? [];
  const index = Number(digits);
  if (letter === undefined || index >= MAX_VARIABLES)
    return `expected X_i or Y_j below ${MAX_VARIABLES}, got ${quote(name.text)}.`;
  if (sort.text !== 'Real') return `expected the sort Real, got ${quote(sort.text)}.`;
  if (declared.tensors.size > 0) return 'expected no variables beside a network, got one.';
  const known = letter === 'X' ? declared.inputs : declared.outputs;
  if (known.has(index)) return `expected one declaration of ${name.text}, got two.`;
  known.add(index);
  return undefined;
}

/** `(declare-network NAME (equal-to OTHER) (declare-input X Real [3]) (declare-output Y Real [2]))`. */
function network(
  [name, ...parts]: readonly Argument[],
  { inputs, outputs, tensors, networks }: Declared,
): string | undefined {
  if (networks.length === 0 && inputs.size + outputs.size > 0)
    return 'expected no network beside variables, got one.';
  const [relation, ...related] = parts.filter((part) => part.kind === 'relation');
  const [input, output, ...others] = parts.filter((part) => part.kind === 'tensor');
  const known = parts.every((part) => part.kind === 'tensor' || part.kind === 'relation');
  const isOne = others.length + related.length === 0 && known && name?.kind === 'atom';
  if (!isOne || input?.part !== 'inputs' || output?.part !== 'outputs')
    return 'expected (declare-network NAME (declare-input X Real [n]) (declare-output Y Real [m])), one input and one output each, got another form.';
  const taken = networks.some((other) => other.name === name.text);
  if (taken) return `expected one network ${quote(name.text)}, got two.`;
  const twice = [input, output].find((tensor) => tensors.has(tensor.name));
  if (twice || input.name === output.name)
    return `expected another name for each tensor, got ${quote((twice ?? output).name)} twice.`;
  const problem = relation && unrelated(relation, { input, output }, networks);
  if (problem !== undefined) return problem;
  for (const tensor of [input, output]) {
    const indices = tensor.part === 'inputs' ? inputs : outputs;
    const total = indices.size + sizeOf(tensor.shape);
    if (total > MAX_VARIABLES) return `expected ${MAX_VARIABLES} variables at most, got ${total}.`;
    tensor.offset = indices.size;
    tensors.set(tensor.name, tensor);
    for (let i = tensor.offset; i < total; i++) indices.add(i);
  }
  networks.push({ name: name.text, input, output, ...(relation && { relation }) });
  return undefined;
}

/** What is wrong with a relation to another network: one of the same shapes, declared before. */
function unrelated(
  { how, name }: Relation,
  { input, output }: Pick<NetworkDeclaration, 'input' | 'output'>,
  networks: readonly NetworkDeclaration[],
): string | undefined {
  const other = networks.find((one) => one.name === name);
  if (!other) return `expected ${how} a network that is declared before, got ${quote(name)}.`;
  const same = (a: Tensor, b: Tensor): boolean => `${a.shape}` === `${b.shape}`;
  if (same(input, other.input) && same(output, other.output)) return undefined;
  return `expected the shapes of ${quote(name)} in a network that is ${how} it, got others.`;
}

/** `(equal-to f)` or `(isomorphic-to f)`. */
export function relationOf(how: Relation['how'], args: readonly Argument[]): Relation | string {
  const [name] = args;
  const fits = args.length === 1 && name?.kind === 'atom' && NAME.test(name.text);
  return fits
    ? { kind: 'relation', how, name: name.text }
    : `expected (${how} NAME), got another form.`;
}

/** `(declare-input X Real [1, 3])`, or what is wrong with it. */
export function tensorOf(op: string, args: readonly Argument[]): Tensor | string {
  const [name, sort, dims, onnx] = args.map((term) => (term.kind === 'atom' ? term.text : ''));
  if (op === 'declare-hidden') return 'expected inputs and outputs only, got a hidden tensor.';
  const named = args.length === 3 || (args.length === 4 && ONNX_NAME.test(onnx!));
  if (!named || !NAME.test(name!) || !SHAPE.test(dims!))
    return `expected (${op} NAME Real [n]), or with a name of the ONNX file in quotes, got another form.`;
  if (!SORTS.includes(sort!.toLowerCase()))
    return `expected the sort ${SORTS.join(', ')}, got ${quote(sort!)}.`;
  const shape = indicesIn(dims!);
  const size = shape && sizeOf(shape);
  if (!shape || !(size! >= 1 && size! <= MAX_VARIABLES))
    return `expected a shape of 1 to ${MAX_VARIABLES} numbers, got ${quote(dims!)}.`;
  const part = op === 'declare-input' ? 'inputs' : 'outputs';
  const inFile = onnx === undefined ? {} : { onnx: onnx.slice(1, -1) };
  return { kind: 'tensor', part, name: name!, shape, ...inFile, offset: 0 };
}

/** Where a variable stands, or what is wrong with it. */
export function place(
  text: string,
  { tensors, ...known }: Declared,
): { readonly part: Part; readonly index: number } | string {
  const [, letter, digits] = VARIABLE.exec(text) ?? [];
  if (letter !== undefined && tensors.size === 0) {
    const part = letter === 'X' ? 'inputs' : 'outputs';
    const index = Number(digits);
    if (known[part].has(index)) return { part, index };
    return `expected a declared variable, got ${text}, which is not.`;
  }
  const bracket = text.indexOf('[');
  const tensor = tensors.get(bracket < 0 ? text : text.slice(0, bracket));
  if (!tensor) return `expected a declared variable or a number, got ${quote(text)}.`;
  const { name, part, shape, offset } = tensor;
  const at = bracket < 0 ? [] : indicesIn(text.slice(bracket));
  const fits = at?.length === shape.length && at.every((i, axis) => i < shape[axis]!);
  if (!fits) return `expected an element of ${name} [${shape}], got ${quote(text)}.`;
  return { part, index: offset + at!.reduce((index, i, axis) => index * shape[axis]! + i, 0) };
}

/** The whole numbers of `[1, 2]`. */
function indicesIn(text: string): number[] | undefined {
  if (!SHAPE.test(text)) return undefined;
  const inner = text.slice(1, -1).trim();
  if (inner === '') return [];
  const parts = inner.split(',').map((part) => part.trim());
  return parts.every((part) => /^\d{1,9}$/.test(part)) ? parts.map(Number) : undefined;
}

/** Names of a tensor's elements, row by row: `X[0,1]`. */
export function elementsOf({ name, shape }: Tensor): string[] {
  let indices: string[] = [''];
  for (const size of shape)
    indices = indices.flatMap((before) =>
      Array.from({ length: size }, (_, i) => (before === '' ? `${i}` : `${before},${i}`)),
    );
  return indices.map((index) => `${name}[${index}]`);
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
