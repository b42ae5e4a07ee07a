/**
 * Compiled plans of interval bounds: boxes go through a masked network over the non-zeros of its
 * weights, in the layout of plan/sparse-plan.ts. A product turns centre and fed radius of its
 * input into those of the next product, in one kernel (`sparse_bounds`): W c and |W| r in one pass over
 * the non-zeros, the ends, ReLU, and centre and radius again, with every rounding paid for
 * (docs/numerics.md, "Products one after the other"). Values that anything else reads are kept as
 * ends.
 *
 * A plan refuses boxes in which a radius is no number or 2^76 or more. The layers one by one
 * (domain/interval.ts) are asked then: they tell samples apart, and numbers that meet zeros.
 * Cost: 4 flops a non-zero and output, and about 20 an output.
 */

import { interpret, newPass } from '../domain/domain';
import { type Box, interval } from '../domain/interval';
import {
  EXACT,
  layerError,
  NO_ERROR,
  OUTWARD,
  radiusInAfterSums,
  roundUp,
} from '../domain/rounding';
import { lastAffine } from '../domain/rows';
import { expect } from '../errors';
import type { GraphNode } from '../nn/graph';
import { type AnyModel, operatorOf } from '../nn/model';
import type { Call } from '../runtime/engine';
import { element, type Ptr } from '../runtime/kernels';
import { relu } from '../tensor/ops/elementwise';
import { type Shape, sizeOf } from '../tensor/shape';
import { empty, step, type Tensor } from '../tensor/tensor';
import { Layout } from './sparse-layout';
import { encodeProduct, floorOf, poolCall, stepOf } from './sparse-plan';
import { compiled, type PlanMemory, type PlanStep } from './steps';

export interface IntervalPlanOptions {
  /** Samples that go through side by side; more go one block after the other. */
  readonly lanes: number;
  /** Round outwards. */
  readonly sound: boolean;
}

export interface IntervalPlan {
  readonly steps: readonly PlanStep[];
  /** Bytes of buffers, workspace and prepared weights. */
  readonly bytes: number;
  /**
   * The box in front of the last layer where that is affine, and else of the outputs, for boxes
   * [n, ...input]; undefined where the plan refuses. Runs inside `step()`.
   */
  run(box: Box): Box | undefined;
  /** Gives its memory back. The model is not touched. */
  free(): void;
}

type Pair = readonly [Ptr, Ptr];

/** Compiles a model that `lower` made, whose tensors refuse writes until the plan is freed. */
export function compileIntervalPlan(
  model: AnyModel,
  { lanes, sound }: IntervalPlanOptions,
): IntervalPlan {
  const who = 'compileIntervalPlan: lanes';
  expect(Number.isInteger(lanes) && lanes > 0, who, 'a whole number > 0', lanes);
  const { engine, graph } = model;
  return compiled(model, (memory) => {
    const compiler = new Compiler(model, memory, lanes, sound);
    const steps = step(engine, () => compiler.steps());
    const { layout, target, shape } = compiler;
    const [from, to] = [compiler.ends(-1), compiler.ends(target)];
    const [inputs, outputs] = [sizeOf(graph.network.input), sizeOf(shape)];
    return {
      steps,
      bytes: memory.bytes,
      run({ lo, hi }: Box) {
        memory.check(model);
        const n = lo.shape[0]!;
        expect(lo.size === n * inputs, 'plan.run', `boxes of ${inputs} numbers`, `[${lo.shape}]`);
        const result = { lo: empty(engine, [n, ...shape]), hi: empty(engine, [n, ...shape]) };
        for (let b = 0; b < n; b += lanes) {
          const count = Math.min(lanes, n - b);
          compiler.clear(count);
          [lo, hi].forEach(({ ptr }, k) => {
            engine.start(layout.fromImages(element(ptr, b * inputs), -1, from[k]!, count));
          });
          for (const { run } of steps) run();
          if (compiler.refused()) return undefined;
          [result.lo, result.hi].forEach(({ ptr }, k) => {
            engine.start(layout.toImages(target, element(ptr, b * outputs), to[k]!, count));
          });
        }
        return result;
      },
      free: () => memory.free(),
    };
  });
}

class Compiler {
  readonly layout: Layout;
  /** The value whose box is asked for, and the shape of a sample of it. */
  readonly target: number;
  readonly shape: Shape;
  readonly #last: number | undefined;
  /** Nodes that read each value. */
  readonly #readersOf = new Map<number, Set<number>>();
  readonly #ends = new Map<number, Pair>();
  readonly #fed = new Map<number, Pair>();
  /** Where kernels say that they refuse: numbers that are finite where they do not. */
  readonly #flags: Ptr[] = [];

  constructor(
    readonly model: AnyModel,
    readonly memory: PlanMemory,
    readonly lanes: number,
    readonly sound: boolean,
  ) {
    this.layout = new Layout(model, memory, lanes, { pairs: true });
    const { nodes, output } = model.graph;
    const last = lastAffine(model.graph);
    this.#last = last && nodes.length - 1;
    this.target = last ? this.layout.source(nodes.length - 1) : this.layout.roots.at(-1)!;
    this.shape = last?.inputShapes[0] ?? output;
    nodes.forEach(({ inputs }, j) => {
      if (this.layout.roots[j] !== j || j === this.#last) return;
      for (const k of inputs.keys()) {
        const source = this.layout.source(j, k);
        const readers = this.#readersOf.get(source) ?? new Set();
        this.#readersOf.set(source, readers.add(j));
      }
    });
  }

  steps(): PlanStep[] {
    const { model, layout } = this;
    const steps = this.#feed(-1, 'input');
    model.graph.nodes.forEach((node, i) => {
      if (layout.roots[i] !== i || i === this.#last) return;
      const made = this.#product(node, i) ?? this.#pool(node, i) ?? this.#other(node, i);
      steps.push(made, ...this.#feed(i, node.name));
    });
    this.memory.reserve();
    return steps;
  }

  /** Lower and upper ends of value i. */
  ends(i: number): Pair {
    return this.#pair(this.#ends, i);
  }

  /** Before a block: nothing is refused yet, and where it does not fill the lanes the rest is 0. */
  clear(count: number): void {
    const { memory } = this.model.engine;
    for (const flag of this.#flags) memory.f32(flag, 1).fill(0);
    if (count === this.lanes) return;
    const { size } = this.layout.place(-1).planes;
    for (const ptr of this.ends(-1)) memory.f32(ptr, size).fill(0);
  }

  refused(): boolean {
    const { memory } = this.model.engine;
    return !this.#flags.every((flag) => Number.isFinite(memory.f32(flag, 1)[0]!));
  }

  #pair(pairs: Map<number, Pair>, i: number): Pair {
    const known = pairs.get(i);
    if (known) return known;
    const { ptr, planes } = this.layout.place(i);
    // The first pair of a value takes its place.
    const own = this.#ends.has(i) || this.#fed.has(i) ? this.layout.zeros(planes.size) : ptr;
    const pair = [own, this.layout.zeros(planes.size)] as const;
    pairs.set(i, pair);
    return pair;
  }

  /** Nodes that read value i. */
  #readers(i: number): number[] {
    return [...(this.#readersOf.get(i) ?? [])];
  }

  /** Whether only products read value i: it need not be kept as ends. */
  #onlyFed(i: number): boolean {
    const all = this.#readers(i);
    return i !== this.target && all.length > 0 && all.every((j) => this.layout.product(j));
  }

  /** The longest sum that value i goes into. */
  #terms(i: number): number {
    const products = this.#readers(i).filter((j) => this.layout.product(j));
    return products.reduce(
      (most, j) => Math.max(most, this.#termsOf(this.model.graph.nodes[j]!)),
      0,
    );
  }

  #termsOf({ structure }: GraphNode): number {
    return structure!.accumulationLength;
  }

  #flag(): Ptr {
    this.#flags.push(this.layout.zeros(1));
    return this.#flags.at(-1)!;
  }

  #step(name: string, form: string, bytes: number, calls: readonly Call[]): PlanStep {
    return stepOf(this.model.engine, this.memory, name, form, bytes, calls);
  }

  /** Steps from ends to centre and radius, as products take them. */
  #feed(i: number, name: string): PlanStep[] {
    const terms = this.#terms(i);
    if (terms === 0 || this.#fed.has(i)) return [];
    const { engine } = this.model;
    const { size } = this.layout.place(i).planes;
    const [ends, fed] = [this.ends(i), this.#pair(this.#fed, i)];
    const { relative, absolute } = this.sound ? OUTWARD : EXACT;
    const [alpha, beta] = (this.sound ? layerError(terms) : NO_ERROR).radiusIn;
    return [
      this.#step(name, 'feed', 0, [
        engine.prepare(
          'interval_to_centre',
          size,
          ...ends,
          ...fed,
          relative,
          absolute,
          alpha,
          beta,
        ),
        engine.prepare('sum', 1, size, 1, fed[1], this.#flag()),
      ]),
    ];
  }

  #product(node: GraphNode, i: number): PlanStep | undefined {
    const { layout, memory, model } = this;
    if (!layout.product(i)) return undefined;
    const before = memory.bytes;
    const { pass, xs, calls } = encodeProduct(layout, node, i, this.#fed.get(layout.source(i))!);
    const { rows, tiles, starts, values, offsets, places, masks, target } = pass;
    const { bias } = operatorOf(node, model.params);
    const onlyFed = this.#onlyFed(i);
    const to = onlyFed ? this.#pair(this.#fed, i) : this.ends(i);
    const lifts = this.#lifts(node, rows, bias);
    const form = this.#form(node, i, onlyFed);
    const call = model.engine.prepare(
      ...(['sparse_bounds', rows, tiles, starts, values, offsets, places, masks] as const),
      ...([bias?.ptr ?? 0, xs[0]!, xs[1]!, ...to, 4 * target.channel] as const),
      ...([form, lifts, this.#flag()] as const),
    );
    return this.#step(node.name, 'csr', memory.bytes - before, [...calls, call]);
  }

  /** What `bounds_of` of assembly/sparse.ts does with the sums of a row. */
  #form(node: GraphNode, i: number, onlyFed: boolean): Ptr {
    const { sound, model, memory } = this;
    const { relative, absolute } = sound ? OUTWARD : EXACT;
    const [scale] = (sound ? layerError(this.#termsOf(node)) : NO_ERROR).radiusOut;
    const next = sound && onlyFed ? radiusInAfterSums(this.#terms(i)) : [1, 0, 0];
    const form = memory.own(4 * 8);
    model.engine.memory
      .f32(form, 7)
      .set([scale, floorOf(this.layout, i), relative, absolute, ...next]);
    model.engine.memory.i32(element(form, 7), 1).fill(Number(onlyFed));
    return form;
  }

  /** What is added to the radius of each row. */
  #lifts(node: GraphNode, rows: number, bias: Tensor | undefined): Ptr {
    const { sound, model, memory } = this;
    const lifts = memory.own(4 * rows);
    const { radiusOut, biasFactor } = layerError(this.#termsOf(node));
    const [scale, shift] = radiusOut;
    const to = model.engine.memory.f32(lifts, rows).fill(sound ? shift : 0);
    if (sound && bias)
      model.engine.memory.f32(bias.ptr, rows).forEach((b, r) => {
        to[r] = roundUp(scale * biasFactor * Math.abs(b) + shift);
      });
    return lifts;
  }

  #pool(node: GraphNode, i: number): PlanStep | undefined {
    if (node.layer.role !== 'join' || node.inputs.length !== 1) return undefined;
    const [from, to] = [this.ends(this.layout.source(i)), this.ends(i)];
    const calls = from.map((ptr, k) => poolCall(this.layout, node, i, ptr, to[k]!));
    return calls[0] && this.#step(node.name, 'pool', 0, calls as Call[]);
  }

  /** Any other layer, by the interval domain over copies as rows of images. */
  #other(node: GraphNode, i: number): PlanStep {
    const { layout, lanes, sound, model } = this;
    const { engine, params } = model;
    const sources = node.inputs.map((_, k) => layout.source(i, k));
    const from = sources.map((j) => this.ends(j));
    const to = this.ends(i);
    const run = (): void =>
      step(engine, () => {
        const inputs = sources.map((j, k) => {
          const [lo, hi] = from[k]!.map((ptr) => {
            const x = empty(engine, [lanes, ...node.inputShapes[k]!]);
            engine.start(layout.toImages(j, x.ptr, ptr));
            return x;
          }) as [Tensor, Tensor];
          return { lo, hi };
        });
        const box = interpret(node, params, interval({ sound }), inputs, newPass());
        [box.lo, box.hi].forEach((y, k) => {
          const end = floorOf(layout, i) === 0 ? relu(y) : y;
          engine.start(layout.fromImages(end.ptr, i, to[k]!));
        });
      });
    return { node: node.name, form: 'interval', bytes: 0, run };
  }
}
