/**
 * Sound bounds against exact rational ones, where test/domain/exact.test.ts does not reach: whole graphs
 * (convolutions, pools, sums of nodes), sums of thousands of terms, weights that span 1e-8 to 1e8, and
 * sums that cancel to the last bit. The checker's bounds are held to the same.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bounds, stepBounds } from '../../src/check/forward';
import { readProgram } from '../../src/check/program';
import { propagate } from '../../src/domain/domain';
import { interval } from '../../src/domain/interval';
import { intervalMargins } from '../../src/domain/rows';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { boxAround } from '../helpers/boxes';
import { binaries } from '../helpers/engine';
import { double, isBelow, least, minus, plus, times, ZERO } from '../helpers/exact';
import { type ExactBox, exactBounds } from '../helpers/exact-graph';
import { type Nd, nd } from '../helpers/nd';
import { graphs, modelOf, randomWeights } from '../helpers/networks';
import { type Sampler, sampler } from '../helpers/random';
import type { BoxNd } from '../helpers/reference-network';

type Draw = (random: Sampler, shape: readonly number[]) => Nd;

const FAMILIES: Readonly<Record<string, Draw>> = {
  'ordinary weights': (random, shape) => random.array(shape),
  'sizes 1e-8 to 1e8': (random, shape) => random.spread(shape, -8, 8),
  // Neighbours are each other's negatives, but for a few units in the last place.
  'cancelling pairs': (random, shape) => {
    const { data } = random.spread(shape, -2, 6);
    return nd(
      shape,
      Float32Array.from(data, (v, i) =>
        i % 2 ? -data[i - 1]! * (1 + random.whole(3) * 2 ** -23) : v,
      ),
    );
  },
};

/** Layers whose bounds are rational; averages over windows of other sizes than powers of two are not. */
const isRational = ({ nodes }: Network): boolean =>
  nodes.every(({ layer, options = {} }) =>
    layer === 'avg-pool'
      ? options.kernel === 2
      : layer === 'reduce'
        ? options.mean === false
        : !['sigmoid', 'tanh'].includes(layer),
  );

const HUGE = double(1e20);

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ binary, threads: 1 });
  });
  afterAll(() => engine.close());

  /** Every node's bounds, by the domain and by the checker, around the exact ones. */
  function check(model: Model, box: BoxNd): void {
    const { graph, params } = model;
    const start: ExactBox = Array.from(box.lo.data, (lo, i) => ({
      lo: double(lo),
      hi: double(box.hi.data[i]!),
    }));
    const exact = exactBounds(model, start);
    // Bounds of NaN claim nothing, which only values that large excuse (docs/numerics.md, "Overflow").
    const large = exact.some((box) =>
      box.some(({ lo, hi }) => isBelow(HUGE, hi) || isBelow(lo, minus(ZERO, HUGE))),
    );
    const claims = (bound: number): boolean => !(large && Number.isNaN(bound));
    const program = readProgram(graph, (name) => params.get(name)?.read());
    const first = { lo: Float64Array.from(box.lo.data), hi: Float64Array.from(box.hi.data) };
    const found: Bounds[] = [];
    for (const node of program.steps)
      found.push(
        stepBounds(
          node,
          node.inputs.map((i) => (i < 0 ? first : found[i]!)),
        ),
      );
    step(engine, () => {
      const at = {
        lo: input(engine, box.lo.data, box.lo.shape),
        hi: input(engine, box.hi.data, box.hi.shape),
      };
      const last = graph.nodes.length - 1;
      const out = propagate(graph, params, interval({ sound: true }), at);
      const [lo, hi] = [out.lo.read(), out.hi.read()];
      if ([...lo, ...hi].every(claims)) expectAround(exact[last]!, lo, hi, 'domain');
      // Where a network overflows, the checker claims nothing of it either.
      for (const [k, bounds] of exact.entries()) {
        const { lo, hi } = found[k]!;
        if ([...lo, ...hi].every(claims)) expectAround(bounds, lo, hi, `checker, ${k}`);
      }
      const margins = intervalMargins(graph, params, at, [0], { sound: true }).read();
      const before = graph.nodes[last]!.inputs[0]!;
      const truth = exactMargins(program.steps[last]!, before < 0 ? start : exact[before]!);
      truth.forEach((t, j) => {
        if (j === 0 || !claims(margins[j]!)) return;
        expect(isBelow(double(margins[j]!), t), `margin ${j}: ${margins[j]}`).toBe(true);
      });
    });
  }

  function expectAround(
    exact: ExactBox,
    lo: ArrayLike<number>,
    hi: ArrayLike<number>,
    what: string,
  ): void {
    exact.forEach((e, i) => {
      expect(isBelow(double(lo[i]!), e.lo), `${what}: lower ${i} is ${lo[i]}`).toBe(true);
      expect(isBelow(e.hi, double(hi[i]!)), `${what}: upper ${i} is ${hi[i]}`).toBe(true);
    });
  }

  /** Exact lower bounds of output 0 minus output j of a dense layer over a box. */
  function exactMargins(node: ReturnType<typeof readProgram>['steps'][number], x: ExactBox) {
    if (node.kind !== 'affine') throw new Error('the last layer is dense');
    const { operator } = node;
    const row = (i: number): Float64Array => {
      const weights = new Float64Array(x.length);
      operator.row(i, (j, w) => {
        weights[j] = w;
      });
      return weights;
    };
    const own = row(0);
    return Array.from({ length: node.size }, (_, j) => {
      const other = row(j);
      const bias = minus(double(operator.bias(0)), double(operator.bias(j)));
      return x.reduce(
        (sum, { lo, hi }, i) => {
          const w = minus(double(own[i]!), double(other[i]!));
          return plus(sum, least(times(w, lo), times(w, hi)));
        },
        plus(ZERO, bias),
      );
    });
  }

  describe.each(Object.keys(FAMILIES))('%s', (family) => {
    const draw = FAMILIES[family]!;

    it('whole graphs', () => {
      let checked = 0;
      fc.assert(
        fc.property(graphs, fc.constantFrom(0, 1e-8, 1e-3, 1), ({ network, seed }, width) => {
          if (!isRational(network)) return;
          const random = sampler(seed);
          const weights = new Map(
            [...randomWeights(compile(network), random)].map(([name, w]) => [
              name,
              /\.(mean|variance|std)$/.test(name) ? w : draw(random, w.shape),
            ]),
          );
          const given = modelOf(engine, network, weights);
          const model = lower(given);
          check(model, boxAround(draw(random, [1, ...network.input]), width));
          freeModel(model);
          freeModel(given);
          checked++;
        }),
        { numRuns: 30 },
      );
      expect(checked).toBeGreaterThan(3);
    });

    it.each([1000, 20_000])('a sum of %d terms', (features) => {
      const random = sampler(features);
      const network = sequential('long', [features], [['dense', { units: 2 }]]);
      for (const width of [0, 1e-6]) {
        const weights = new Map(
          [...randomWeights(compile(network), random)].map(([name, w]) => [
            name,
            draw(random, w.shape),
          ]),
        );
        const model = modelOf(engine, network, weights);
        check(model, boxAround(draw(random, [1, features]), width));
        freeModel(model);
      }
    });
  });
});
