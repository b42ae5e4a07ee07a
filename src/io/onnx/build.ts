/**
 * The network under construction. ONNX tensors carry a batch axis somewhere, our samples do not; and
 * ONNX reshapes freely where our layers want certain shapes. Both are settled here: every ONNX value
 * is seen at a batch of 1, so that all its sizes are known, and stands for one of our nodes whose
 * sample has the same values in the same order. Reshaping then only renames; a node is made for it
 * when a layer needs another shape than its input has.
 */
import { expect, fail } from '../../errors';
import { layers } from '../../nn/layers/registry';
import { parseOptions } from '../../options';
import { type Shape, sameShape, sizeOf, stridesOf } from '../../tensor/shape';
import { type Constant, FLOAT, MAX_SPARSE, type Numbers, numbers } from './element';

/** Functions over all outputs that labels do not depend on, and networks here do not have. */
export type LeftOut = 'softmax' | 'log-softmax';

/** A node of ours, not yet named for good. */
export interface Draft {
  name: string;
  layer: string;
  options: Readonly<Record<string, unknown>>;
  inputs: readonly Draft[];
  /** Parameters by local name. */
  params: Readonly<Record<string, Float32Array>>;
  /** One step of arithmetic with constants; `merge` makes layers of it. */
  step?: Arithmetic;
  /** Numbers of a constant that layers are to compute with. */
  readonly values?: Numbers;
  readonly sample: Shape;
}

/**
 * x + by, or x * by, with one number a channel or a value. `inexact` where the file divides by
 * numbers whose reciprocals are rounded.
 */
export interface Arithmetic {
  readonly op: 'add' | 'mul';
  readonly by: Float32Array;
  readonly inexact?: boolean;
}

/** A value of the file that depends on the network's input. */
export interface Live {
  readonly kind: 'live';
  readonly draft: Draft;
  /** ONNX shape at a batch of 1. */
  readonly full: Shape;
  /** Axis of the batch where its size is open; -1 where there is none. */
  readonly batch: number;
}

export type Value = Constant | Live;

/** Groups of axes that one permute layer moves apart from each other, besides the batch. */
const MAX_APART = 3;

/** Values of one sample, at most: far above real networks, far below what hurts. */
const MAX_SAMPLE = 2 ** 24;

/** Multiply-adds over constants that every file may ask for, and those for each number it may make. */
const [WORK, WORK_PER_NUMBER] = [2 ** 26, 64];
const FOLD = 'Fold the constants of the model before, as onnxruntime and onnxslim do.';

const MAX_NOTES = 20;

/** The sample of an ONNX shape: without a leading 1. */
export function sampleOf(full: Shape): Shape {
  if (full.length === 0) return [1];
  return full.length > 1 && full[0] === 1 ? full.slice(1) : full;
}

export class Builder {
  readonly input: Draft;
  /** Layers in topological order, without the input. */
  readonly drafts: Draft[] = [];
  /** What was left out at the very end. */
  leftOut: LeftOut | undefined;
  /** The operation at work, for names and errors. */
  name = '';
  who: string;
  readonly #notes = new Set<string>();
  #budget: number;
  #work: number;
  #sparse = MAX_SPARSE;
  readonly #shaped = new Map<Draft, Map<string, Draft>>();

  /** `budget` limits the numbers that may be made, beyond those that the file holds. */
  constructor(input: Shape, who: string, budget: number) {
    this.who = who;
    this.#budget = budget;
    this.#work = WORK + WORK_PER_NUMBER * budget;
    expect(sizeOf(input) <= MAX_SAMPLE, who, `at most ${MAX_SAMPLE} inputs`, sizeOf(input));
    this.input = {
      ...{ name: 'input', layer: '', options: {}, inputs: [], params: {} },
      sample: input,
    };
  }

  /** Allows for `count` numbers more. */
  allow(count: number): void {
    this.#budget += count;
  }

  /** Accounts for `count` multiply-adds over constants. */
  toil(count: number): void {
    this.#work -= count;
    const fits = this.#work >= 0;
    expect(fits, this.who, 'work in proportion to the file', `${count} operations`, FOLD);
  }

  /** Accounts for a sparse tensor with its zeros; all of a file have a limit of their own. */
  unpacked(constant: Constant): Constant {
    const { length } = constant.values;
    this.#sparse -= length;
    expect(this.#sparse >= 0, this.who, `at most ${MAX_SPARSE} numbers in sparse tensors`, length);
    this.allow(3 * length);
    return constant;
  }

  /** Accounts for `count` numbers to be made. */
  spend(count: number): void {
    this.#budget -= count;
    expect(this.#budget >= 0, this.who, 'constants in proportion to the file', `${count} numbers`);
  }

  /** One number, as a constant. */
  number(value: number): Constant {
    return { kind: 'constant', type: FLOAT, shape: [], values: Float32Array.of(value) };
  }

  /** `count` whole numbers from `start`, `step` apart. */
  range(start: number, count: number, step = 1): number[] {
    this.spend(count);
    return Array.from({ length: count }, (_, i) => start + i * step);
  }

  /** What was left out or changed, each sentence once and of many the first. */
  note(text: string): void {
    if (this.#notes.size < MAX_NOTES) this.#notes.add(text);
  }

  get notes(): readonly string[] {
    return [...this.#notes];
  }

  /** A constant as a value that layers compute with. */
  lift({ values, shape }: Constant): Live {
    const sample = shape.length === 0 ? [1] : shape;
    const draft = { name: '', layer: '', options: {}, inputs: [], params: {}, values, sample };
    return this.live(draft, shape, -1);
  }

  /** A new node of ours; its sample follows from the layer's own rule, which checks the inputs. */
  node(
    layer: string,
    inputs: readonly Draft[],
    options: Draft['options'] = {},
    params: Draft['params'] = {},
  ): Draft {
    const rule = layers[layer] ?? fail(this.who, 'a layer', layer);
    const checked = parseOptions(rule.options, options, this.who);
    const shapes = inputs.map(({ sample }) => sample);
    const sample = rule.shape(shapes, checked, this.who);
    expect(sizeOf(sample) <= MAX_SAMPLE, this.who, `at most ${MAX_SAMPLE} values`, sizeOf(sample));
    for (const values of Object.values(params)) this.spend(values.length);
    const draft: Draft = { name: this.name, layer, options, inputs, params, sample };
    this.drafts.push(draft);
    return draft;
  }

  /** The node with its values under another shape of the sample. */
  as({ draft }: Live, sample: Shape, name = `${this.name}-in`): Draft {
    if (sameShape(draft.sample, sample)) return draft;
    const known = this.#shaped.get(draft) ?? new Map<string, Draft>();
    this.#shaped.set(draft, known);
    const key = sample.join();
    const made =
      known.get(key) ??
      (sample.length === 1
        ? this.node('flatten', [draft])
        : this.node('reshape', [draft], { shape: sample }));
    if (!known.has(key)) made.name = name;
    known.set(key, made);
    return made;
  }

  /** The node with a sample of the axes behind the batch. */
  behind(live: Live): Draft {
    const { full } = live;
    const hint = 'Export the model with a batch of 1 or an open one.';
    expect(full.length > 1 && full[0] === 1, this.who, 'a batch of 1', `shape [${full}]`, hint);
    return this.as(live, full.slice(1));
  }

  /** Raises an error where one of the axes is an open batch. */
  apart({ batch }: Live, axes: readonly number[]): void {
    const apart = !axes.includes(batch);
    expect(apart, this.who, 'samples apart from each other', 'work along the batch');
  }

  /** The node with a sample in which axes of `full` are axes of their own, and which those are. */
  axesOf(live: Live, axes: readonly number[]): { readonly draft: Draft; readonly axes: number[] } {
    const { full } = live;
    this.apart(live, axes);
    const inner = full[0] === 1 && full.length > 1 && !axes.includes(0);
    if (inner) return { draft: this.as(live, full.slice(1)), axes: axes.map((axis) => axis - 1) };
    return { draft: this.as(live, full.length === 0 ? [1] : full), axes: [...axes] };
  }

  /** A value made by `draft`, whose ONNX shape is `full`. */
  live(draft: Draft, full: Shape, batch: number): Live {
    return { kind: 'live', draft, full, batch };
  }

  /** The same values in the same order under another ONNX shape. */
  view<V extends Value>(value: V, shape: Shape): V {
    const [from, to] = [value.kind === 'live' ? value.full : value.shape, shape];
    expect(sizeOf(from) === sizeOf(to), this.who, `a shape of ${sizeOf(from)} values`, to);
    if (value.kind === 'constant') return { ...value, shape };
    return { ...value, full: shape, batch: value.batch === 0 && shape[0] === 1 ? 0 : -1 };
  }

  /** The given places along one axis. */
  take(value: Value, axis: number, indices: readonly number[]): Value {
    const shape = value.kind === 'live' ? value.full : value.shape;
    if (value.kind === 'live') this.apart(value, [axis]);
    if (indices.length === shape[axis] && indices.every((index, i) => index === i)) return value;
    const to = shape.with(axis, indices.length);
    if (value.kind === 'live') {
      const { draft, axes } = this.axesOf(value, [axis]);
      return this.live(this.node('select', [draft], { axis: axes[0], indices }), to, value.batch);
    }
    const inner = sizeOf(shape.slice(axis + 1));
    return this.#gather(value, to, (i) => {
      const [outer, place] = [Math.floor(i / (inner * indices.length)), Math.floor(i / inner)];
      return (outer * shape[axis]! + indices[place % indices.length]!) * inner + (i % inner);
    });
  }

  /** Axes in another order: axis i of the result is axis `order[i]`. */
  permute(value: Value, order: readonly number[]): Value {
    const shape = value.kind === 'live' ? value.full : value.shape;
    const to = order.map((axis) => shape[axis]!);
    const wide = order.filter((axis) => shape[axis] !== 1);
    if (wide.every((axis, i) => i === 0 || axis > wide[i - 1]!)) {
      if (value.kind === 'constant') return this.view(value, to);
      return { ...value, full: to, batch: order.indexOf(value.batch) };
    }
    if (value.kind === 'live') {
      const draft = this.#reordered(value, shape, order, to);
      return this.live(draft, to, order.indexOf(value.batch));
    }
    const strides = stridesOf(shape);
    const steps = order.map((axis) => strides[axis]!);
    const index = to.map(() => 0);
    let from = 0;
    return this.#gather(value, to, () => {
      const found = from;
      for (let axis = to.length - 1; axis >= 0; axis--) {
        from += steps[axis]!;
        index[axis]!++;
        if (index[axis]! < to[axis]!) break;
        from -= steps[axis]! * to[axis]!;
        index[axis] = 0;
      }
      return found;
    });
  }

  /** A permute layer; of more axes than one copy takes, several that bring one axis to its place each. */
  #reordered(value: Live, shape: Shape, order: readonly number[], to: Shape): Draft {
    const inner = order[0] === 0 && shape[0] === 1;
    const own = inner ? order.slice(1).map((axis) => axis - 1) : order;
    const apart = own.filter((axis, i) => i === 0 || axis !== own[i - 1]! + 1).length;
    if (apart <= MAX_APART) {
      const draft = this.as(value, inner ? shape.slice(1) : shape);
      return this.node('permute', [draft], { order: own });
    }
    let [now, sizes, axes] = [value, [...shape], shape.map((_, axis) => axis)];
    for (let place = 0; place < order.length; place++) {
      const at = axes.indexOf(order[place]!);
      if (at === place) continue;
      const blocks = [
        sizes.slice(0, place),
        sizes.slice(place, at),
        [sizes[at]!],
        sizes.slice(at + 1),
      ];
      const draft = this.as(now, blocks.map(sizeOf));
      const moved = this.node('permute', [draft], { order: [0, 2, 1, 3] });
      now = this.live(moved, [], -1);
      sizes = sizes.toSpliced(at, 1).toSpliced(place, 0, sizes[at]!);
      axes = axes.toSpliced(at, 1).toSpliced(place, 0, axes[at]!);
    }
    return this.as(now, inner ? to.slice(1) : to);
  }

  /** Repeated along axes of size 1, and new axes in front, up to `full`. */
  expand(live: Live, full: Shape): Live {
    const rank = full.length - live.full.length;
    let out: Value =
      rank === 0 ? live : this.view(live, [...new Array(rank).fill(1), ...live.full]);
    full.forEach((size, axis) => {
      const own = (out as Live).full[axis];
      if (own === size) return;
      out = this.take(out, axis, this.range(0, size, 0));
    });
    return out as Live;
  }

  #gather(value: Constant, shape: Shape, from: (i: number) => number): Constant {
    const size = sizeOf(shape);
    this.spend(size);
    const values = numbers(value.type, size);
    for (let i = 0; i < size; i++) values[i] = value.values[from(i)]!;
    return { ...value, shape, values };
  }
}
