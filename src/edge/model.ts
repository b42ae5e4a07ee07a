/**
 * A compact model, decoded as far as it is run: values and offsets of the non-zero weights, never a
 * dense weight. Predictions go through plans over non-zeros; certificates through the
 * plan of interval bounds, the same as everywhere (plan/interval-plan.ts, docs/numerics.md). All of it is one synchronous call
 * after the other, so calls cannot meet.
 *
 * Values are held once for all; each way of running adds 4 bytes of offsets a non-zero when first
 * used: single images, batches, certificates.
 */
import { ball } from '../domain/interval';
import { marginsFrom } from '../domain/rows';
import { expect, fail } from '../errors';
import type { CompactFile, CompactTensor } from '../io/compact';
import { weightsIn } from '../io/model';
import type { Graph, GraphNode } from '../nn/graph';
import { isCanonical, lower, type Sizes, sizesOf } from '../nn/lower';
import { type AnyModel, freeModel, type Model } from '../nn/model';
import { compileIntervalPlan, type IntervalPlan } from '../plan/interval-plan';
import type { Plan } from '../plan/plan';
import { compileSparsePlan } from '../plan/sparse-plan';
import type { Engine } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import { SparsityPattern } from '../sparse/pattern';
import { TILE } from '../sparse/tables';
import { type SparseWeight, sparseWeight, type Weight } from '../sparse/weight';
import { weightShapeOf } from '../tensor/convolution';
import { sizeOf } from '../tensor/shape';
import { input, keep, step, type Tensor } from '../tensor/tensor';
import type { Decoder } from './decode';

/** What inputs may be: any numbers, row-major, as many as the network's input has. */
export type Sample = ArrayLike<number>;

export interface Prediction {
  /** The class with the largest output. */
  readonly label: number;
  readonly logits: Float32Array;
}

export interface Certificate {
  readonly label: number;
  readonly eps: number;
  /** Whether every input within eps of this one has this label, whatever the order of sums. */
  readonly certified: boolean;
  /** Lower bound of how far the label's output stays above all others. */
  readonly margin: number;
}

export interface ModelInfo {
  readonly network: string;
  readonly input: readonly number[];
  readonly classes: number;
  readonly parameters: number;
  readonly nonzero: number;
  readonly bytes: {
    readonly file: number;
    /** Non-zero weights as value and place, the others as float32. */
    readonly decoded: number;
    /** Size of the linear memory, which holds everything but the file. */
    readonly linear: number;
  };
}

/** A compact model, loaded. Inputs that are refused and errors of any call leave it as it was. */
export interface CompactModel {
  /** What the network says of one input. */
  predict(x: Sample): Prediction;
  /** The same of many. */
  predictBatch(xs: readonly Sample[]): Prediction[];
  /**
   * Whether all inputs within `eps` of x in every number, and in [0, 1], have the label of x: sound
   * interval bounds, which hold for the network as computed in float32 in any order of sums.
   */
  certify(x: Sample, eps: number): Certificate;
  /**
   * The largest eps in [0, 1] that `certify` certifies, to one part in 2^10 from below; 0 if there
   * is none.
   */
  radius(x: Sample): number;
  info(): ModelInfo;
  /** Ends it: its memory goes with the last reference to it. */
  close(): void;
}

const WHO = 'espalier/runtime';
/** Batches below this go image by image: 16 images at once take the time of about five. */
const FEW = 5;

/** What a model runs on. */
interface Parts {
  readonly engine: Engine;
  readonly decoder: Decoder;
}

export class EdgeModel implements CompactModel {
  readonly #engine: Engine;
  readonly #model: AnyModel;
  readonly #bytes: Pick<ModelInfo['bytes'], 'file' | 'decoded'>;
  readonly #graph: Graph;
  readonly #plans = new Map<number, Plan>();
  #bounds: IntervalPlan | undefined;
  #parameters = 0;
  #nonzero = 0;
  #closed = false;

  /** @internal Use `openModel()`. */
  constructor({ engine, decoder }: Parts, file: CompactFile, who: string, fileBytes: number) {
    this.#engine = engine;
    this.#bytes = { file: fileBytes, decoded: file.decodedBytes };
    const { graph: original } = weightsIn(file, who, '');
    for (const name of file.names) {
      this.#parameters += file.tensor(name).size;
      this.#nonzero += decoder.count(file.tensor(name));
    }
    checkMade(original, engine.memory.maxBytes / MADE, who);
    const { graph, params: factored } = canonical(engine, original, file);
    const params = new Map<string, Weight>(factored);
    for (const node of graph.nodes)
      for (const local of Object.keys(node.params).filter((name) => isThin(node, name))) {
        const name = `${node.name}.${local}`;
        params.set(name, decoded(engine, decoder, file.tensor(name), node, factored.get(name)));
      }
    this.#graph = graph;
    this.#model = { engine, graph, params };
    this.#plan(1);
  }

  predict(x: Sample): Prediction {
    return predictionOf(this.#plan(1).run(this.#checked(x)));
  }

  predictBatch(xs: readonly Sample[]): Prediction[] {
    expect(Array.isArray(xs), `${WHO}: predictBatch`, 'an array of inputs', shown(xs));
    const images = Array.from(xs, (x) => this.#checked(x));
    const classes = sizeOf(this.#graph.output);
    const size = sizeOf(this.#graph.network.input);
    const results: Prediction[] = [];
    for (let i = 0; i < images.length; i += TILE) {
      const some = images.slice(i, i + TILE);
      if (some.length < FEW) {
        for (const image of some) results.push(predictionOf(this.#plan(1).run(image)));
        continue;
      }
      const batch = new Float32Array(TILE * size);
      some.forEach((image, j) => {
        batch.set(image, j * size);
      });
      const logits = this.#plan(TILE).run(batch);
      some.forEach((_, j) => {
        results.push(predictionOf(logits.slice(j * classes, (j + 1) * classes)));
      });
    }
    return results;
  }

  certify(x: Sample, eps: number): Certificate {
    const right = typeof eps === 'number' && eps >= 0 && eps < Infinity;
    expect(right, `${WHO}: certify`, 'a radius eps >= 0', shown(eps));
    const { image, away } = this.#inRange(x);
    const { label } = predictionOf(this.#plan(1).run(image));
    const margin = this.#margin(image, label, around(eps, away));
    return { label, eps, certified: margin > 0, margin };
  }

  radius(x: Sample): number {
    const { image, away } = this.#inRange(x);
    const { label } = predictionOf(this.#plan(1).run(image));
    let [holds, fails] = [0, 2];
    for (let eps = 1; eps > 2 ** -30 && fails - holds > holds / 1024; eps = (holds + fails) / 2)
      if (this.#margin(image, label, around(eps, away)) > 0) {
        if (eps === 1) return 1;
        holds = eps;
      } else fails = eps;
    return holds;
  }

  info(): ModelInfo {
    const { network, output } = this.#graph;
    return {
      network: network.name,
      input: network.input,
      classes: sizeOf(output),
      parameters: this.#parameters,
      nonzero: this.#nonzero,
      bytes: {
        ...this.#bytes,
        linear: this.#engine.memory.totalBytes,
      },
    };
  }

  close(): void {
    this.#closed = true;
    this.#engine.close();
  }

  #plan(batch: number): Plan {
    expect(!this.#closed, WHO, 'an open model', 'a closed one');
    const known = this.#plans.get(batch);
    if (known) return known;
    const plan = compileSparsePlan(this.#model, { batch });
    this.#plans.set(batch, plan);
    return plan;
  }

  /** A lower bound of the margin; NaN, which proves nothing, where the plan refuses. */
  #margin(image: Float32Array, label: number, eps: number): number {
    const { output, network } = this.#graph;
    const sound = true;
    this.#bounds ??= compileIntervalPlan(this.#model, { lanes: 1, sound });
    const plan = this.#bounds;
    const lower = step(this.#engine, () => {
      const box = ball(input(this.#engine, image, [1, ...network.input]), eps, { sound });
      const last = plan.run(box);
      return last && marginsFrom(this.#model, last, [label], sound).read();
    });
    if (!lower) return Number.NaN;
    let least = Infinity;
    for (let j = 0; j < sizeOf(output); j++) if (j !== label) least = Math.min(least, lower[j]!);
    return least;
  }

  /** Rounded to float32, which the network computes in. */
  #checked(x: Sample): Float32Array {
    expect(!this.#closed, WHO, 'an open model', 'a closed one');
    const size = sizeOf(this.#graph.network.input);
    const right = typeof x === 'object' && x?.length === size;
    expect(right, `${WHO}: input`, `${size} numbers`, x?.length ?? shown(x));
    const image = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      const value: unknown = x[i];
      if (typeof value === 'number' && Math.abs(value) <= MOST) image[i] = value;
      else fail(`${WHO}: input`, 'finite numbers', `${shown(value)} at ${i}`);
    }
    return image;
  }

  /** The same in [0, 1], and how far the given numbers are from what they are rounded to. */
  #inRange(x: Sample): { readonly image: Float32Array; readonly away: number } {
    const image = this.#checked(x);
    let away = 0;
    for (let i = 0; i < image.length; i++) {
      const value = x[i]!;
      if (!(value >= 0 && value <= 1))
        fail(`${WHO}: input`, 'numbers in [0, 1]', `${value} at ${i}`, RANGE);
      away = Math.max(away, Math.abs(value - image[i]!));
    }
    return { image, away };
  }
}

/** A radius around the rounded numbers that holds all within eps of the given ones. */
const around = (eps: number, away: number): number =>
  away === 0 ? eps : (eps + away) * (1 + 2 ** -51);

/** The largest float32 number. */
const MOST = (2 - 2 ** -23) * 2 ** 127;
const RANGE = 'Radii are of inputs in [0, 1]; normalisation is a layer of the network.';

/** What was given in place of a number, in a word. */
export const shown = (value: unknown): string =>
  typeof value === 'number' || value === null ? `${value}` : typeof value;

/** What is made of a network without regard to its zeros may take this part of the memory. */
const MADE = 8;

/**
 * Refuses a network whose values, rows of weights and parameters that are no weights take more than
 * `limit` bytes: a file of a few bytes can ask for any number of them.
 */
function checkMade({ network, nodes }: Graph, limit: number, who: string): void {
  const made = nodes.reduce((sum, node) => {
    const own = Object.entries(node.params).map(([local, { shape }]) =>
      isThin(node, local) ? shape[0]! : sizeOf(shape),
    );
    return sum + sizeOf(node.shape) + own.reduce((a, b) => a + b, 0);
  }, sizeOf(network.input));
  const what = `at most ${limit} bytes (maxMemory / ${MADE})`;
  expect(4 * made <= limit, who, what, 4 * made);
}

/** Whether a parameter is a weight that is never formed as a whole: that of a product. */
const isThin = ({ structure, params }: GraphNode, local: string): boolean =>
  structure?.conv !== undefined && params[local]!.prunable;

/** A weight of a file as its non-zeros, times one factor a row where norms were folded into it. */
function decoded(
  engine: Engine,
  decoder: Decoder,
  coded: CompactTensor,
  { structure }: GraphNode,
  factors: Tensor | undefined,
): SparseWeight {
  const write = (to: Ptr): void => decoder.places(coded, to);
  const shape = weightShapeOf(structure!.conv!);
  const pattern = new SparsityPattern(engine, shape, decoder.count(coded), write);
  const values = keep(engine, [pattern.nnz]);
  decoder.values(coded, values.ptr);
  if (factors) decoder.scaleRows(coded, values.ptr, factors.read());
  factors?.free();
  return sparseWeight(pattern, values, 'never');
}

/**
 * The canonical form, norms folded into the products before them: a weight is not decoded for it but
 * stands there as one factor a row.
 */
function canonical(engine: Engine, graph: Graph, file: CompactFile): Model {
  const done = isCanonical(graph);
  const params = new Map<string, Tensor>();
  for (const node of graph.nodes)
    for (const [local, { shape }] of Object.entries(node.params)) {
      const name = `${node.name}.${local}`;
      const factors = isThin(node, local);
      if (factors && done) continue;
      const values = factors ? new Float32Array(shape[0]!).fill(1) : file.tensor(name).values;
      params.set(name, keep(engine, factors ? [shape[0]!, 1] : shape, values));
    }
  const model = { engine, graph, params };
  if (done) return model;
  const sizes = (name: string): Sizes => {
    const tensor = file.tensor(name);
    return sizesOf(tensor.coding ? tensor.sparse().values : tensor.values);
  };
  try {
    return lower(model, { sizes });
  } finally {
    freeModel(model);
  }
}

function predictionOf(logits: Float32Array): Prediction {
  let label = 0;
  for (let j = 1; j < logits.length; j++) if (logits[j]! > logits[label]!) label = j;
  return { label, logits };
}
