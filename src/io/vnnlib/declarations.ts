/**
 * Variables of VNN-LIB. Version 1.0 declares numbers `X_i` and `Y_j`; version 2.0 declares networks of
 * tensors, of which one network with one input and one output is read: its elements, row by row, are
 * the same inputs and outputs.
 */
import { quote } from '../../errors';

export type Part = 'inputs' | 'outputs';

/** An input or output of a network, 2.0. */
export interface Tensor {
  readonly kind: 'tensor';
  readonly part: Part;
  readonly name: string;
  readonly shape: readonly number[];
}

/** An argument of a form, as far as declarations read it. */
type Argument =
  | { readonly kind: 'atom'; readonly text: string }
  | { readonly kind: 'unit' | 'bad' | 'formula' | 'linear' }
  | Tensor;

/** What is declared so far. */
export interface Declared {
  /** Indices declared. */
  readonly inputs: Set<number>;
  readonly outputs: Set<number>;
  /** Those of 2.0, by name. */
  readonly tensors: Map<string, Tensor>;
}

const VARIABLE = /^([XY])_(0|[1-9]\d{0,8})$/;
const NAME = /^[A-Za-z]\w{0,99}$/;
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

/** `(declare-network NAME (declare-input X Real [3]) (declare-output Y Real [2]))`. */
function network(
  [name, ...parts]: readonly Argument[],
  { inputs, outputs, tensors }: Declared,
): string | undefined {
  if (tensors.size > 0 || inputs.size > 0 || outputs.size > 0)
    return 'expected one network, as properties of several are not read, got another.';
  const made = parts.filter((part): part is Tensor => part.kind === 'tensor');
  const [first, last] = made;
  const isOne = made.length === 2 && parts.length === 2 && name?.kind === 'atom';
  if (!isOne || first!.part !== 'inputs' || last!.part !== 'outputs' || first!.name === last!.name)
    return 'expected (declare-network NAME (declare-input X Real [n]) (declare-output Y Real [m])), got another form.';
  for (const tensor of made) {
    tensors.set(tensor.name, tensor);
    const indices = tensor.part === 'inputs' ? inputs : outputs;
    for (let i = 0; i < sizeOf(tensor.shape); i++) indices.add(i);
  }
  return undefined;
}

/** `(declare-input X Real [1, 3])`, or what is wrong with it. */
export function tensorOf(op: string, args: readonly Argument[]): Tensor | string {
  const [name, sort, dims] = args.map((term) => (term.kind === 'atom' ? term.text : ''));
  if (op === 'declare-hidden') return 'expected inputs and outputs only, got a hidden tensor.';
  if (args.length !== 3 || !NAME.test(name!) || !SHAPE.test(dims!))
    return `expected (${op} NAME Real [n]), got another form.`;
  if (!SORTS.includes(sort!.toLowerCase()))
    return `expected the sort ${SORTS.join(', ')}, got ${quote(sort!)}.`;
  const shape = indicesIn(dims!);
  const size = shape && sizeOf(shape);
  if (!shape || !(size! >= 1 && size! <= MAX_VARIABLES))
    return `expected a shape of 1 to ${MAX_VARIABLES} numbers, got ${quote(dims!)}.`;
  const part = op === 'declare-input' ? 'inputs' : 'outputs';
  return { kind: 'tensor', part, name: name!, shape };
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
  const { name, part, shape } = tensor;
  const at = bracket < 0 ? [] : indicesIn(text.slice(bracket));
  const fits = at?.length === shape.length && at.every((i, axis) => i < shape[axis]!);
  if (!fits) return `expected an element of ${name} [${shape}], got ${quote(text)}.`;
  return { part, index: at!.reduce((index, i, axis) => index * shape[axis]! + i, 0) };
}

/** The whole numbers of `[1, 2]`. */
function indicesIn(text: string): number[] | undefined {
  if (!SHAPE.test(text)) return undefined;
  const inner = text.slice(1, -1).trim();
  if (inner === '') return [];
  const parts = inner.split(',').map((part) => part.trim());
  return parts.every((part) => /^\d{1,9}$/.test(part)) ? parts.map(Number) : undefined;
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
