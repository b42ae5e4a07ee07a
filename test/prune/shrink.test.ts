/**
 * Removal does not change the function: the shrunk network against the original one whose consumers'
 * columns are zero for the removed channels, on random graphs.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { value } from '../../src/domain/value';
import { compile, INPUT, type Network, type NodeSpec } from '../../src/nn/graph';
import { layers } from '../../src/nn/layers/registry';
import { lower } from '../../src/nn/lower';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { type Channels, channelsOf, flowOf } from '../../src/prune/channels';
import { applyMasks, freeMasks, sparsityOf } from '../../src/prune/mask';
import { channelMasks, maskedChannels, shrink } from '../../src/prune/shrink';
import { type Engine, load } from '../../src/runtime/engine';
import { uniform } from '../../src/tensor/philox';
import { type Shape, sameShape, sizeOf } from '../../src/tensor/shape';
import { input, step } from '../../src/tensor/tensor';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

/** A number in [0, n) from the next of a list of draws; 0 when they have run out. */
type Draw = (n: number) => number;

interface Place {
  readonly name: string;
  readonly shape: Shape;
}

/** One more layer after any earlier place that suits it, or undefined where none does. */
type Grow = (draw: Draw, places: readonly Place[]) => Omit<NodeSpec, 'name'> | undefined;

const one = (draw: Draw, places: readonly Place[]): Place | undefined =>
  places[draw(places.length)];
const planes = (places: readonly Place[]): Place[] => places.filter((p) => p.shape.length === 3);
const on = (layer: string, place: Place | undefined, options = {}) =>
  place && { layer, options, inputs: [place.name] };
const pooled =
  (layer: string): Grow =>
  (draw, places) =>
    on(
      layer,
      one(
        draw,
        planes(places).filter((p) => p.shape[1]! > 1 && p.shape[2]! > 1),
      ),
      {
        kernel: 2,
        stride: 1 + draw(2),
      },
    );
const anywhere =
  (layer: string, options = {}): Grow =>
  (draw, places) =>
    on(layer, one(draw, places), options);
const pairOf =
  (layer: string, fits: (a: Shape, b: Shape) => boolean): Grow =>
  (draw, places) => {
    const first = one(draw, places)!;
    const fitting = places.filter((p) => fits(p.shape, first.shape));
    // Mostly another place: a sum with itself ties nothing.
    const others = fitting.filter((p) => p !== first || draw(4) === 0);
    const other = one(draw, others);
    return other && { layer, inputs: [first.name, other.name] };
  };

/** As many channels as the place it starts from, so that sums find partners. */
const sameWidth: Grow = (draw, places) => {
  const place = one(draw, planes(places));
  return on('conv2d', place, { channels: place?.shape[0], kernel: 3, padding: 1 });
};

/** Kinds that mostly hold channels fast, so that they come less often. */
const MORE: readonly Grow[] = [
  anywhere('clip', { lo: 0, hi: 1 }),
  anywhere('elementwise'),
  anywhere('reduce', { axes: [0] }),
  (draw, places) => on('reduce', one(draw, planes(places)), { axes: [1 + draw(2)], mean: true }),
  (draw, places) =>
    on('pad', one(draw, planes(places)), { before: [0, 1, draw(2)], after: [draw(2), 0, 1] }),
  (draw, places) =>
    on('permute', one(draw, planes(places)), {
      order: [
        [0, 2, 1],
        [1, 0, 2],
      ][draw(2)],
    }),
  (draw, places) => on('select', one(draw, planes(places)), { axis: draw(3), indices: [0, 0] }),
  (draw, places) => {
    const place = one(draw, places);
    return on('reshape', place, { shape: [sizeOf(place?.shape ?? []), 1, 1] });
  },
  (draw, places) => {
    const place = one(draw, planes(places));
    const groups = place?.shape[0] ?? 1;
    return on('conv2d', place, { channels: groups, kernel: 1, groups });
  },
  (draw, places) => {
    const pair = pairOf('concat', sameShape)(
      draw,
      planes(places).length > 0 ? planes(places) : places,
    );
    const flat = places.find((p) => p.name === pair?.inputs?.[0])?.shape.length === 1;
    return pair && { ...pair, options: { axis: flat ? 0 : 1 } };
  },
];

const GROW: readonly Grow[] = [
  (draw, places) =>
    on('conv2d', one(draw, planes(places)), {
      channels: 1 + draw(5),
      kernel: [1, 3][draw(2)],
      stride: 1 + draw(2),
      padding: 1,
      bias: draw(2) === 0,
    }),
  (draw, places) =>
    on(
      'dense',
      one(
        draw,
        places.filter((p) => p.shape.length === 1),
      ),
      { units: 1 + draw(6) },
    ),
  sameWidth,
  sameWidth,
  anywhere('batch-norm'),
  anywhere('relu'),
  anywhere('leaky-relu', { slope: 0.1 }),
  anywhere('scale'),
  anywhere('dropout'),
  (draw, places) => {
    const place = one(draw, places);
    const c = place?.shape[0] ?? 0;
    const each = (f: (i: number) => number): number[] => Array.from({ length: c }, (_, i) => f(i));
    return on('normalise', place, { mean: each((i) => i / 4), std: each((i) => 1 + i / 8) });
  },
  (draw, places) => on('flatten', one(draw, planes(places))),
  pooled('max-pool'),
  pooled('avg-pool'),
  ...new Array<Grow>(4).fill(pairOf('add', sameShape)),
  pairOf('concat', (a, b) => sameShape(a.slice(1), b.slice(1))),
  (draw, places) => MORE[draw(MORE.length)]!(draw, places),
  (draw, places) => MORE[draw(MORE.length)]!(draw, places),
];

/** A graph grown from draws; every second one ends in flatten and dense after its last place. */
function grow(numbers: readonly number[]): Network {
  let next = 0;
  const draw: Draw = (n) => (n === 0 ? 0 : (numbers[next++] ?? 0) % n);
  const start: Shape = [1 + draw(3), 3 + draw(3), 3 + draw(3)];
  const nodes: NodeSpec[] = [];
  const places: Place[] = [{ name: INPUT, shape: start }];
  const put = (spec: Omit<NodeSpec, 'name'> | undefined): void => {
    if (!spec) return;
    const name = `n${nodes.length}`;
    nodes.push({ name, ...spec });
    places.push({ name, shape: compile({ name: 'grown', input: start, nodes }).output });
  };
  put(GROW[0]!(draw, places));
  while (next < numbers.length && nodes.length < 14) {
    const before = next;
    const recent = places.length > 4 && draw(3) > 0 ? places.slice(-3) : places;
    const spec = GROW[draw(GROW.length)]!(draw, recent);
    const width = sizeOf(recent.at(-1)!.shape);
    if (width < 2000) put(spec);
    if (next === before) break;
  }
  if (numbers.length % 2 === 0) {
    const last = places.at(-1)!;
    if (last.shape.length === 3) put(on('flatten', last));
    put(on('dense', places.at(-1), { units: 3 }));
  }
  return { name: 'grown', input: start, nodes };
}

/** Weights, norms and statistics all drawn; variances and scales stay positive. */
function randomise(model: Model, seed: number): void {
  let index = 0;
  for (const [name, tensor] of model.params) {
    const positive = /variance|std|scale/.test(name);
    const draws = uniform(seed, 99, index++, tensor.size);
    const reach = tensor.shape.length > 1 ? Math.sqrt(3 / (tensor.size / tensor.shape[0]!)) : 0.5;
    tensor.write(draws.map((u) => (positive ? 0.5 + u : reach * (2 * u - 1))));
  }
}

/** Any channels that may go, but for the last one of a layer. */
function someChannels(channels: Channels, makers: readonly number[], draws: Draw): Set<number> {
  const removed = new Set<number>();
  for (const channel of channels.groups.flatMap((group) => group.channels)) {
    if (draws(2) === 0) continue;
    removed.add(channel);
    const empty = makers.some((at) => channels.outputs[at]!.every((c) => removed.has(c)));
    if (empty) removed.delete(channel);
  }
  return removed;
}

function outputs(model: Model, seed: number): Float32Array {
  const shape = [3, ...model.graph.network.input];
  return step(engine, () => {
    const x = input(engine, uniform(seed, 98, 0, sizeOf(shape)), shape);
    return propagate(model.graph, model.params, value, x).read();
  });
}

function compare(a: Float32Array, b: Float32Array): number {
  const scale = Math.max(1, ...a.map(Math.abs));
  return Math.max(...a.map((x, i) => Math.abs(x - b[i]!))) / scale;
}

const makersOf = (model: Model): number[] =>
  model.graph.nodes.flatMap((node, at) => (flowOf(node).way === 'make' ? [at] : []));

describe('shrink', () => {
  const seen = { removed: 0, tied: 0, joined: 0, repeated: 0 };

  it('computes what the network computes whose consumers ignore the removed channels', () => {
    const numbers = fc.array(fc.nat(1000), { minLength: 40, maxLength: 100 });
    fc.assert(
      fc.property(numbers, fc.nat(1e6), (list, seed) => {
        const model = createModel(engine, grow(list), { seed });
        randomise(model, seed);
        const channels = channelsOf(model.graph);
        const bits = uniform(seed, 97, 0, 4096);
        let at = 0;
        const removed = someChannels(channels, makersOf(model), (n) => Math.floor(bits[at++]! * n));
        const smaller = shrink(model, removed, channels);
        const masks = channelMasks(model, channels, removed);
        const left = [...masks.values()].reduce(
          (n, m) => n + m.read().reduce((a, b) => a + b, 0),
          0,
        );
        expect(sparsityOf(smaller).weights).toBe(left);
        // Only the columns: rows of removed channels keep what they compute.
        for (const node of makersOf(model).map((i) => model.graph.nodes[i]!)) {
          const weight = model.params.get(`${node.name}.weight`)!;
          const columns = channels.inputs[model.graph.nodes.indexOf(node)]!;
          const area = sizeOf(weight.shape.slice(2));
          const zeroed = weight
            .read()
            .map((w, i) => (removed.has(columns[Math.floor(i / area) % columns.length]!) ? 0 : w));
          weight.write(zeroed);
        }
        expect(compare(outputs(model, seed), outputs(smaller, seed))).toBeLessThan(1e-5);
        // Zero rows as well, as the masks have it: the same.
        applyMasks(model, masks);
        expect(compare(outputs(model, seed), outputs(smaller, seed))).toBeLessThan(1e-5);
        for (const gone of removed) expect(maskedChannels(model, channels, masks)).toContain(gone);
        const kinds = new Set(model.graph.nodes.map((node) => node.kind));
        seen.removed += removed.size;
        seen.tied += channels.groups.filter((group) => group.makers.length > 1).length;
        seen.joined += kinds.has('concat') && removed.size > 0 ? 1 : 0;
        seen.repeated += kinds.has('flatten') && removed.size > 0 ? 1 : 0;
        freeMasks(masks);
        freeModel(smaller);
        freeModel(model);
      }),
      { numRuns: 400 },
    );
    // The graphs are no use if they have nothing to remove.
    expect(seen.removed).toBeGreaterThan(250);
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(10);
  });

  it('agrees with the canonical form', () => {
    const model = createModel(engine, grow([2, 3, 3, 4, 1, 1, 0, 3, 1, 0, 1, 0, 3, 5, 2, 2, 9, 1]));
    randomise(model, 5);
    const channels = channelsOf(model.graph);
    const removed = new Set(channels.groups.map((group) => group.channels[0]!).slice(0, 1));
    expect(removed.size).toBe(1);
    applyMasks(model, channelMasks(model, channels, removed));
    const smaller = shrink(model, removed);
    const canonical = lower(smaller);
    expect(compare(outputs(model, 1), outputs(canonical, 1))).toBeLessThan(1e-5);
    expect(() => channelsOf(canonical.graph)).not.toThrow();
  });

  it('refuses to take the output, or all of a layer', () => {
    const nodes = [
      { name: 'a', layer: 'dense', options: { units: 2 } },
      { name: 'b', layer: 'dense', options: { units: 2 } },
    ];
    const model = createModel(engine, { name: 'two', input: [3], nodes });
    const { outputs: made, fixed, groups } = channelsOf(model.graph);
    expect(groups.length).toBe(1);
    expect(fixed.size).toBe(5);
    expect(() => shrink(model, new Set(made[1]))).toThrow(/no channel of the input or output/);
    expect(() => shrink(model, new Set(made[0]))).toThrow(/shrink two\.a: expected at least one/);
  });

  it('leaves a layer alone that does not say how channels go through it', () => {
    const { flow: _, ...silent } = layers.dense!;
    Object.assign(layers, { silent });
    try {
      const nodes = [
        { name: 'a', layer: 'dense', options: { units: 4 } },
        { name: 'b', layer: 'dense', options: { units: 5 } },
        { name: 'c', layer: 'silent', options: { units: 3 } },
        { name: 'd', layer: 'dense', options: { units: 2 } },
      ];
      const model = createModel(engine, { name: 'quiet', input: [3], nodes });
      const { outputs: made, groups } = channelsOf(model.graph);
      expect(groups.map(({ makers }) => makers)).toEqual([[0]]);
      const smaller = shrink(model, new Set(made[0]!.slice(1)));
      expect(
        ['a', 'b', 'c', 'd'].map((name) => smaller.params.get(`${name}.weight`)!.shape),
      ).toEqual([
        [1, 3],
        [5, 1],
        [3, 5],
        [2, 3],
      ]);
    } finally {
      Reflect.deleteProperty(layers, 'silent');
    }
  });
});
