/**
 * Graphs grown at random from lists of draws, with all ways channels go through a layer: made,
 * passed on, tied by sums, joined, repeated, held fast.
 */
import { compile, INPUT, type Network, type NodeSpec } from '../../src/nn/graph';
import type { Model } from '../../src/nn/model';
import { uniform } from '../../src/tensor/philox';
import { type Shape, sameShape, sizeOf } from '../../src/tensor/shape';

/** A number in [0, n) from the next of a list of draws; 0 when they have run out. */
export type Draw = (n: number) => number;

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
export function grow(numbers: readonly number[]): Network {
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
export function randomise(model: Model, seed: number): void {
  let index = 0;
  for (const [name, tensor] of model.params) {
    const positive = /variance|std|scale/.test(name);
    const draws = uniform(seed, 99, index++, tensor.size);
    const reach = tensor.shape.length > 1 ? Math.sqrt(3 / (tensor.size / tensor.shape[0]!)) : 0.5;
    tensor.write(draws.map((u) => (positive ? 0.5 + u : reach * (2 * u - 1))));
  }
}
