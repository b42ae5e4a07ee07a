/**
 * Every way in which a network is executed, against single images in float64: the value domain on the
 * network as it is and in canonical form, over sparsity patterns, compiled plans (dense with direct sums,
 * Winograd's, over non-zeros), interval bounds layer by layer and by plan, and the edge. What differs by
 * more than rounding is said in words.
 */
import { logits } from '../../src/domain/classifier';
import { propagate } from '../../src/domain/domain';
import { type Box, ball, interval } from '../../src/domain/interval';
import { lastAffine, marginsFrom } from '../../src/domain/rows';
import { type CompactModel, openModel } from '../../src/edge/index';
import { compactFile } from '../../src/io/compact-write';
import { freezeSparsity } from '../../src/nn/freeze';
import { compile, type Graph, type Network } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { type AnyModel, freeModel, type Model } from '../../src/nn/model';
import { compileIntervalPlan } from '../../src/plan/interval-plan';
import { compilePlan, type Plan } from '../../src/plan/plan';
import { compileSparsePlan } from '../../src/plan/sparse-plan';
import type { Engine } from '../../src/runtime/engine';
import { readEntries } from '../../src/sparse/weight';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import { map, type Nd, nd, sizeOf } from './nd';
import { modelOf, randomWeights } from './networks';
import { sampler } from './random';
import { sparsified } from './random-networks';
import {
  type BoxNd,
  evaluate,
  evaluateBox,
  evaluateMargins,
  evaluateSizes,
  type Weights,
} from './reference-network';

export interface Execution {
  readonly network: Network;
  readonly batch: number;
  /** Share of the weights that is 0. */
  readonly sparsity: number;
  readonly seed: number;
}

/** What a way of executing gives for all images, or a lower and an upper end of it. */
interface Found {
  readonly way: string;
  readonly values: ArrayLike<number>;
}

const U = 2 ** -24;
/** OneHotRows of rounding, as shares of what the sums would be without cancellation. */
const ROUNDING = 2048;
const EPS = 0.01;

/** Differences beyond rounding between the ways a network is executed and float64, in words. */
export async function differences(engine: Engine, run: Execution): Promise<string[]> {
  const graph = compile(run.network);
  const random = sampler(run.seed);
  const weights = sparsified(randomWeights(graph, random), run.sparsity, random);
  const images = random.array([run.batch, ...run.network.input], 0, 1);
  const model = modelOf(engine, run.network, weights);
  const canonical = freezeSparsity(lower(model));
  const edge = await openModel(await compactFile(model, {}));
  try {
    const found = [...values(model, canonical, images), ...atTheEdge(edge, images)];
    const want = single(graph, weights, images);
    const wrong = found.flatMap(({ way, values: got }) => against(way, got, want));
    return [
      ...wrong,
      ...boxes(canonical, images),
      ...certificates(canonical, edge, imagesOf(images)[0]!),
    ];
  } finally {
    edge.close();
    freeModel(canonical);
    freeModel(model);
  }
}

interface Reference {
  readonly values: Float64Array;
  readonly sizes: Float64Array;
}

/** Images one by one. */
function single(graph: Graph, weights: Weights, images: Nd): Reference {
  const each = imagesOf(images).map((image) => ({
    values: evaluate(graph, weights, image).data,
    sizes: evaluateSizes(graph, weights, image).data,
  }));
  return {
    values: Float64Array.from(each.flatMap(({ values: v }) => [...v])),
    sizes: Float64Array.from(each.flatMap(({ sizes: s }) => [...s])),
  };
}

function imagesOf({ shape: [n, ...shape], data }: Nd): Nd[] {
  const size = sizeOf(shape);
  return Array.from({ length: n! }, (_, i) =>
    nd([1, ...shape], data.subarray(i * size, (i + 1) * size)),
  );
}

function against(
  way: string,
  got: ArrayLike<number>,
  { values: want, sizes }: Reference,
): string[] {
  if (got.length !== want.length) return [`${way}: ${got.length} numbers for ${want.length}`];
  const at = want.findIndex(
    (v, i) => !(Math.abs(got[i]! - v) <= ROUNDING * U * (sizes[i]! + 1e-3)),
  );
  return at < 0 ? [] : [`${way}: ${got[at]} at ${at}, where float64 gives ${want[at]}`];
}

const given = (engine: Engine, { shape, data }: Nd): Tensor => input(engine, data, shape);

/** The library's values. */
function values(model: Model, canonical: AnyModel, images: Nd): Found[] {
  const { engine } = model;
  const batch = images.shape[0]!;
  const layers = (way: string, of: AnyModel): Found => ({
    way,
    values: step(engine, () => logits(of, given(engine, images)).read()),
  });
  const plan = (way: string, made: Plan): Found => {
    try {
      // Twice: nothing may be left over.
      made.run(Float32Array.from(images.data, (v) => 1 - v));
      return { way, values: made.run(Float32Array.from(images.data)) };
    } finally {
      made.free();
    }
  };
  return [
    layers('layers', model),
    layers('layers over the sparsity pattern', canonical),
    plan('plan', compilePlan(canonical, { batch })),
    plan('plan with Winograd', compilePlan(canonical, { batch, allowWinograd: true })),
    plan('sparse plan', compileSparsePlan(canonical, { batch })),
  ];
}

function atTheEdge(edge: CompactModel, images: Nd): Found[] {
  const all = imagesOf(images).map(({ data }) => data);
  const flat = (predictions: readonly { readonly logits: Float32Array }[]): number[] =>
    predictions.flatMap(({ logits: y }) => [...y]);
  return [
    { way: 'edge', values: flat(all.map((x) => edge.predict(x))) },
    { way: 'edge, a batch', values: flat(edge.predictBatch(all)) },
  ];
}

/** What sound bounds may be wider by: they count the longest sum of each layer, several times over. */
const wider = ({ nodes }: Graph): number =>
  nodes.reduce((sum, { structure }) => sum + 8 * (structure?.accumulationLength ?? 0), ROUNDING);

const boxAround = (x: Nd): BoxNd => ({
  lo: map((v) => Math.max(0, v! - EPS), x),
  hi: map((v) => Math.min(1, v! + EPS), x),
});

const read = ({ lo, hi }: Box): [Float32Array, Float32Array] => [lo.read(), hi.read()];

/** Interval bounds: they hold those of float64, and are no wider than rounding makes them. */
function boxes(model: AnyModel, images: Nd): string[] {
  const { engine, graph, params } = model;
  const weights = new Map([...params].map(([name, t]) => [name, nd(t.shape, readEntries(t))]));
  const cut = lastAffine(graph);
  // What is in front of the last node is its input, which need not be the node before it.
  const nodes = cut ? graph.network.nodes.slice(0, cut.inputs[0]! + 1) : graph.network.nodes;
  if (nodes.length === 0) return [];
  const before = compile({ ...graph.network, nodes });
  const box = boxAround(images);
  const want = evaluateBox(before, weights, box);
  const sizes = evaluateSizes(before, weights, box.hi).data;
  const on = { sound: true } as const;
  const found = step(engine, () => {
    const x = ball(given(engine, images), EPS, on);
    const plain = propagate(graph, params, interval(on), x, cut ? { before: cut } : {});
    const lanes = Math.min(images.shape[0]!, 16);
    const plan = compileIntervalPlan(model, { lanes, ...on });
    try {
      const planned = plan.run(x);
      return [
        ['intervals', read(plain)] as const,
        ...(planned ? [['interval plan', read(planned)] as const] : []),
      ];
    } finally {
      plan.free();
    }
  });
  return found.flatMap(([way, [lo, hi]]) => {
    const slack = (i: number): number => wider(graph) * U * (sizes[i]! + 1e-3);
    const below = (got: number, most: number, i: number): boolean =>
      got <= most && got >= most - slack(i);
    const at = want.lo.data.findIndex(
      (v, i) => !(below(lo[i]!, v, i) && below(-hi[i]!, -want.hi.data[i]!, i)),
    );
    const [a, b] = [want.lo.data[at], want.hi.data[at]];
    return at < 0
      ? []
      : [`${way}: [${lo[at]}, ${hi[at]}] at ${at}, where float64 gives [${a}, ${b}]`];
  });
}

/** Margins by layers, and certificates of the edge: below the margins of float64, and by rounding only. */
function certificates(canonical: AnyModel, edge: CompactModel, image: Nd): string[] {
  const { engine, graph, params } = canonical;
  if (sizeOf(graph.output) < 2) return [];
  const { label, margin } = edge.certify(image.data, EPS);
  const low = step(engine, () => {
    const last = lastAffine(graph);
    const x = ball(given(engine, image), EPS, { sound: true });
    const at = propagate(graph, params, interval({ sound: true }), x, last ? { before: last } : {});
    return marginsFrom({ graph, params }, at, [label], true).read();
  });
  const weights = new Map([...params].map(([name, t]) => [name, nd(t.shape, readEntries(t))]));
  const box = boxAround(image);
  const want = evaluateMargins(graph, weights, box, [label]).data;
  const others = [...want.keys()].filter((j) => j !== label);
  const least = (of: ArrayLike<number>): number => Math.min(...others.map((j) => of[j]!));
  const size = Math.max(...evaluateSizes(graph, weights, box.hi).data) + 1e-3;
  const wrong = (way: string, got: number, most: number): string[] =>
    got <= most && got >= most - wider(graph) * U * size * 2
      ? []
      : [`${way}: margin ${got}, where float64 gives ${most}`];
  return [
    ...wrong('margins', least(low), least(want)),
    ...wrong('edge certificate', margin, least(want)),
  ];
}
