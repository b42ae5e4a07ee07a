/** One node of the file as its operator sees it: inputs, typed attributes, and whom to blame. */
import { expect, fail } from '../../errors';
import type { Builder, Live, Value } from './build';
import type { Constant } from './element';
import type { AttributeProto, NodeProto, SparseTensorProto, TensorProto } from './proto.gen';

/** By the numbers of AttributeProto.AttributeType. */
const TYPES = { float: 1, int: 2, text: 3, tensor: 4, floats: 6, ints: 7, sparse: 11 } as const;

export class Call {
  readonly node: NodeProto;
  readonly who: string;
  readonly opset: number;
  readonly inputs: readonly (Value | undefined)[];
  readonly build: Builder;

  constructor(given: Pick<Call, 'node' | 'who' | 'opset' | 'inputs' | 'build'>) {
    this.node = given.node;
    this.who = given.who;
    this.opset = given.opset;
    this.inputs = given.inputs;
    this.build = given.build;
  }

  /** Raises the error that this node expected something else; long lists are cut. */
  fail(expected: string, got: unknown, hint = ''): never {
    const long = Array.isArray(got) && got.length > 12;
    return fail(this.who, expected, long ? [...got.slice(0, 12), '...'] : got, hint);
  }

  /** Whether no input depends on the network's input. */
  get folds(): boolean {
    return this.inputs.every((value) => value?.kind !== 'live');
  }

  expect(condition: unknown, expected: string, got: unknown, hint = ''): asserts condition {
    if (!condition) this.fail(expected, got, hint);
  }

  value(index: number): Value {
    return this.inputs[index] ?? this.fail(`an input ${index}`, 'none');
  }

  /**
   * An input that layers compute with: one that depends on the network's input, or, where none of the
   * node's does, a constant, over which the layers are then evaluated.
   */
  live(index: number): Live {
    const value = this.value(index);
    if (value.kind === 'live') return value;
    if (this.folds) return this.build.lift(value);
    return this.fail(`input ${index} to vary`, 'a constant');
  }

  constant(index: number): Constant {
    const value = this.value(index);
    return value.kind === 'constant'
      ? value
      : this.fail(`a constant input ${index}`, "one that depends on the network's input");
  }

  /** The whole numbers of a constant input, or undefined where it is left out. */
  wholes(index: number): readonly number[] | undefined {
    return this.inputs[index] && Array.from(this.constant(index).values, Math.trunc);
  }

  /** Whole numbers that became an input in some opset and were an attribute before. */
  wholesOrInts(index: number, name: string): readonly number[] | undefined {
    return this.wholes(index) ?? this.ints(name);
  }

  /** The one number of a constant input, or undefined where it is left out. */
  scalar(index: number): number | undefined {
    if (!this.inputs[index]) return undefined;
    const { values } = this.constant(index);
    this.expect(values.length === 1, `one number as input ${index}`, values.length);
    return values[0]!;
  }

  int(name: string, missing: number): number {
    return this.#attribute(name, 'int')?.i ?? missing;
  }

  ints(name: string): readonly number[] | undefined {
    return this.#attribute(name, 'ints')?.ints;
  }

  float(name: string): number | undefined {
    return this.#attribute(name, 'float')?.f;
  }

  floats(name: string): readonly number[] | undefined {
    return this.#attribute(name, 'floats')?.floats;
  }

  text(name: string, missing: string): string {
    const bytes = this.#attribute(name, 'text')?.s;
    return bytes ? new TextDecoder().decode(bytes) : missing;
  }

  tensor(name: string): TensorProto | undefined {
    return this.#attribute(name, 'tensor')?.t;
  }

  sparse(name: string): SparseTensorProto | undefined {
    return this.#attribute(name, 'sparse')?.sparse_tensor;
  }

  /** An axis (or another place) of `rank`, counted from the end where negative. */
  axis(axis: number, rank: number, what = 'an axis'): number {
    const fits = Number.isInteger(axis) && axis >= -rank && axis < rank;
    this.expect(fits, `${what} in [${-rank}, ${rank})`, axis);
    return axis < 0 ? axis + rank : axis;
  }

  /** Different axes of `rank` axes. */
  axes(axes: readonly number[], rank: number): number[] {
    const found = axes.map((axis) => this.axis(axis, rank));
    this.expect(new Set(found).size === axes.length, 'different axes', axes);
    return found;
  }

  /** The attribute, checked to be of its type (files before IR version 2 do not say). */
  #attribute(name: string, type: keyof typeof TYPES): AttributeProto | undefined {
    const found = this.node.attribute.find((attribute) => attribute.name === name);
    const right = !found || found.type === 0 || found.type === TYPES[type];
    expect(right, this.who, `the attribute ${name} to be of type ${type}`, found?.type);
    return found;
  }
}

/** What an operator makes of a call: its outputs in order. */
export type Operator = (call: Call) => Value | readonly Value[];
