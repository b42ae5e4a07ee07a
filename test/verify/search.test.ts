/** Whole searches on tiny networks, against dense sampling and against exact minima. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wrongSamples } from '../../src/attack/attack';
import { EspalierError } from '../../src/errors';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { freeModel, type Model, modelFrom } from '../../src/nn/model';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { Budget, type BudgetLimits } from '../../src/verify/budget';
import { outputsAt } from '../../src/verify/descent';
import { intervalMethod } from '../../src/verify/methods';
import type { Outcome, SearchProgress } from '../../src/verify/outcome';
import { inOtherBinary, replay } from '../../src/verify/replay';
import { finish, type SearchOptions, verifySpecification } from '../../src/verify/search';
import {
  ballRegion,
  inside,
  type Region,
  type Specification,
  slackOf,
} from '../../src/verify/specification';
import { verifiers } from '../../src/verify/verifiers/registry';
import { binaries } from '../helpers/engine';
import { modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';

const INTERVAL = intervalMethod();

const tiny = (inputs: number, units: number, outputs: number): Network =>
  sequential(
    'tiny',
    [inputs],
    [['dense', { units }], ['relu'], ['dense', { units }], ['relu'], ['dense', { units: outputs }]],
  );

function search(
  model: Model,
  specification: Specification,
  limits: BudgetLimits = { nodes: 100_000 },
  options: Partial<SearchOptions> = {},
  seen?: (progress: SearchProgress) => void,
): Outcome {
  const budget = new Budget(limits);
  return finish(verifySpecification(model, specification, { budget, ...options }), seen);
}

/** Outputs [0] <= rhs is unsafe. */
const below = (region: Region, rhs: number, outputs = 1): Specification => ({
  region,
  unsafe: [
    { rows: [Float64Array.from({ length: outputs }, (_, j) => Number(j === 0))], rhs: [rhs] },
  ],
});

/** The exact minimum of a one-input network of one output over [lo, hi], from its breakpoints. */
function exactMinimum(model: Model, lo: number, hi: number): number {
  let points = [lo, hi];
  const relus = model.graph.nodes.filter(({ kind }) => kind === 'relu').length;
  // Every layer is linear between breakpoints of those before it: crossings are found layer by layer.
  for (let layer = 0; layer < relus; layer++) {
    const values = points.map((x) => preActivations(model, x, layer));
    const more = points.slice(1).flatMap((right, i) => {
      const left = points[i]!;
      return values[i]!.flatMap((a, unit) => {
        const b = values[i + 1]![unit]!;
        return a * b < 0 ? [left + ((right - left) * a) / (a - b)] : [];
      });
    });
    points = [...points, ...more].sort((a, b) => a - b);
  }
  return Math.min(...points.map((x) => replay(model, Float64Array.of(x))[0]!));
}

/** Values in front of relu number `layer`, in f64, from the weights. */
function preActivations(model: Model, x: number, layer: number): number[] {
  let at = [x];
  for (let i = 1; ; i++) {
    const w = model.params.get(`dense${i}.weight`)!;
    const [rows, cols] = w.shape as [number, number];
    const [weight, bias] = [w.read(), model.params.get(`dense${i}.bias`)!.read()];
    const next = Array.from({ length: rows }, (_, r) =>
      at.reduce((sum, v, c) => sum + weight[r * cols + c]! * v, bias[r]!),
    );
    if (i - 1 === layer) return next;
    at = next.map((v) => Math.max(v, 0));
  }
}

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1, binary });
  });
  afterAll(() => engine.close());
  const random = (network: Network, seed: number): Model =>
    modelOf(engine, network, randomWeights(compile(network), sampler(seed)));

  const checkWitness = (model: Model, specification: Specification, outcome: Outcome): void => {
    if (outcome.verdict !== 'falsified') throw new Error(`expected falsified: ${outcome.verdict}`);
    const { x, y, exact, other } = outcome.witness;
    expect(inside(specification.region, x)).toBe(true);
    expect(outputsAt(model, Float32Array.from(x), 1)).toEqual(y);
    expect(replay(model, x)).toEqual(exact);
    expect(slackOf(specification.unsafe, y)).toBeLessThanOrEqual(0);
    expect(slackOf(specification.unsafe, exact)).toBeLessThanOrEqual(0);
    expect(other?.binary).toBe(binaries().find((one) => one !== binary));
    if (other) expect(slackOf(specification.unsafe, other.y)).toBeLessThanOrEqual(0);
  };

  it('takes no point for a witness that one of its runs finds safe, and names that run', () => {
    const other = binaries().find((one) => one !== binary);
    let disagreements = 0;
    // A sum that cancels to what roundings left: of every run another number.
    const a = 1 + 2 ** -12;
    for (const terms of [
      [2 ** 25, 1, -(2 ** 25)],
      [1, 2 ** 25, -(2 ** 25), 1],
      [-(1 + 2 ** -11), a],
      [a, -(1 + 2 ** -11)],
    ])
      for (const rhs of [0, 2 ** -25, 0.5, 1, 1.5, 2]) {
        const network = sequential('sum', [terms.length], [['dense', { units: 1 }]]);
        const model = modelFrom(engine, network, (name) => (name.endsWith('bias') ? [0] : terms));
        const x = Float64Array.from(terms, (t) => (t === a ? a : 1));
        const specification = below({ lo: x, hi: x }, rhs);
        const runs: Record<string, ArrayLike<number>> = {
          [`float32 (${binary})`]: outputsAt(model, Float32Array.from(x), 1),
          ...(other && { [`float32 (${other})`]: inOtherBinary(model, Float32Array.from(x))!.y }),
          float64: replay(model, x),
        };
        const safe = Object.keys(runs).filter(
          (name) => !(slackOf(specification.unsafe, runs[name]!) <= 0),
        );
        const found = search(model, specification);
        if (safe.length === 0) checkWitness(model, specification, found);
        else expect(found.verdict).not.toBe('falsified');
        if (safe.length > 0 && safe[0] !== Object.keys(runs)[0]) {
          disagreements++;
          expect(found).toMatchObject({
            verdict: 'unknown',
            reason: expect.stringContaining(
              `an input is unsafe in float32 (${binary}), but not in ${safe[0]}`,
            ),
          });
        }
        freeModel(model);
      }
    expect(disagreements).toBeGreaterThan(0);
  });

  it('agrees with exact minima of one-input networks, just below and just above', () => {
    for (let seed = 0; seed < 12; seed++) {
      const model = random(tiny(1, 6, 1), seed);
      const least = exactMinimum(model, -1, 1);
      const region = { lo: Float64Array.of(-1), hi: Float64Array.of(1) };
      const gap = 1e-4 * (1 + Math.abs(least));
      const holds = search(model, below(region, least - gap));
      expect(holds.verdict, `${seed} ${JSON.stringify(holds)}`).toBe('certified');
      // Proven, and no more than what is true.
      expect(holds.bound).toBeGreaterThan(0);
      expect(holds.bound).toBeLessThanOrEqual(gap * (1 + 1e-6));
      const specification = below(region, least + gap);
      checkWitness(model, specification, search(model, specification));
      freeModel(model);
    }
  });

  it('is never refuted by dense samples of two-input networks, and finds what they find', () => {
    const grid = 60;
    const seen = { certified: 0, falsified: 0, unknown: 0 };
    for (let seed = 0; seed < 20; seed++) {
      const draw = sampler(seed + 100);
      const model = random(tiny(2, 5, 3), seed);
      const region = { lo: Float64Array.of(-1, -0.5), hi: Float64Array.of(0.5, 1) };
      const row = () => Float64Array.from(draw.array([3]).data);
      const conjunction = () => ({
        rows: [row(), row()],
        rhs: [draw.real(-2, 1), draw.real(-2, 1)],
      });
      const specification = { region, unsafe: [conjunction(), conjunction()] };
      const points = new Float32Array(2 * grid * grid);
      for (let i = 0; i < grid * grid; i++) {
        points[2 * i] = -1 + (1.5 * (i % grid)) / (grid - 1);
        points[2 * i + 1] = -0.5 + (1.5 * Math.floor(i / grid)) / (grid - 1);
      }
      const y = outputsAt(model, points, grid * grid);
      let least = Infinity;
      for (let i = 0; i < grid * grid; i++)
        least = Math.min(least, slackOf(specification.unsafe, y.subarray(3 * i, 3 * i + 3)));
      const outcome = search(model, specification, { nodes: 20_000 });
      seen[outcome.verdict]++;
      if (outcome.verdict === 'falsified') checkWitness(model, specification, outcome);
      else expect(outcome.bound).toBeLessThanOrEqual(least);
      if (least < -1e-5) expect(outcome.verdict, `${seed}`).toBe('falsified');
      if (outcome.verdict === 'certified') expect(least).toBeGreaterThan(0);
      freeModel(model);
    }
    expect(seen.certified).toBeGreaterThan(4);
    expect(seen.falsified).toBeGreaterThan(4);
  });

  it('keeps to L2 and L1 balls inside of their boxes', () => {
    // y = x0 + x1: the box reaches -2, the L2 ball -sqrt 2, the L1 ball -1.
    const network = sequential('sum', [2], [['dense', { units: 1 }]]);
    const weights = randomWeights(compile(network), sampler(1));
    weights.get('dense1.weight')!.data.set([1, 1]);
    weights.get('dense1.bias')!.data.set([0]);
    const model = modelOf(engine, network, weights);
    const ball = (norm: 'l2' | 'l1' | 'linf', rhs: number) =>
      below(ballRegion([0, 0], 1, { norm, range: null }), rhs);
    for (const [norm, least] of [
      ['linf', -2],
      ['l2', -Math.SQRT2],
      ['l1', -1],
    ] as const) {
      expect(search(model, ball(norm, least - 0.01)).verdict, norm).toBe('certified');
      checkWitness(model, ball(norm, least + 0.01), search(model, ball(norm, least + 0.01)));
    }
    freeModel(model);
  });

  describe('budget', () => {
    const region = { lo: Float64Array.of(-1, -1), hi: Float64Array.of(1, 1) };
    const LOOSE = { methods: { bounds: [INTERVAL], expensive: [], parts: INTERVAL } };
    // Below all values, but not by enough for intervals of the whole.
    const hard = (): { model: Model; specification: Specification } => {
      const model = random(tiny(2, 16, 1), 7);
      const y = Array.from({ length: 2000 }, (_, i) => {
        const draw = sampler(i);
        return replay(model, Float64Array.of(draw.real(-1, 1), draw.real(-1, 1)))[0]!;
      });
      return { model, specification: below(region, Math.min(...y) - 0.3) };
    };

    it('ends as unknown with what was reached, which only rises', () => {
      const { model, specification } = hard();
      const bounds: number[] = [];
      const few = search(model, specification, { nodes: 40 }, LOOSE, ({ bound }) =>
        bounds.push(bound),
      );
      const more = search(model, specification, { nodes: 400 }, LOOSE);
      expect(few).toMatchObject({ verdict: 'unknown', timeout: false });
      expect(few).toMatchObject({ reason: '40 nodes are used up' });
      expect(few.spent.nodes).toBeGreaterThanOrEqual(40);
      expect(few.spent.nodes).toBeLessThanOrEqual(42);
      expect(bounds).toEqual(bounds.toSorted((a, b) => a - b));
      expect(Number.isFinite(few.bound) && few.bound <= 0).toBe(true);
      expect(more.bound).toBeGreaterThan(few.bound);
      const none = search(model, specification, { seconds: 0 });
      expect(none).toMatchObject({
        verdict: 'unknown',
        timeout: true,
        reason: '0 seconds are used up',
      });
      freeModel(model);
    });

    it('gives the same answer at the same node each time', () => {
      const { model, specification } = hard();
      const runs = [0, 1].map(() => {
        const { spent, ...rest } = search(model, specification, { nodes: 3000 }, LOOSE);
        return { ...rest, nodes: spent.nodes };
      });
      expect(runs[0]).toEqual(runs[1]);
      freeModel(model);
    });

    it('stops at a signal', () => {
      const { model, specification } = hard();
      const signal = { aborted: false };
      const budget = new Budget({}, { signal });
      const outcome = finish(
        verifySpecification(model, specification, { budget, ...LOOSE }),
        ({ stage }) => {
          signal.aborted = stage.startsWith('input splitting');
        },
      );
      expect(outcome).toMatchObject({ verdict: 'unknown', reason: 'it was interrupted' });
      freeModel(model);
    });

    it('gives memory back', () => {
      const { model, specification } = hard();
      engine.arena.trim();
      const used = engine.memory.usedBytes;
      search(model, specification, { nodes: 500 }, LOOSE);
      engine.arena.trim();
      expect(engine.memory.usedBytes).toBe(used);
      freeModel(model);
    });
  });

  it('says so where float32 has no number left to split at', () => {
    // y = x - x: zero, which no bound with rounding proves to be above -1e-45.
    const network = sequential(
      'flat',
      [1],
      [
        ['dense', { units: 2 }],
        ['dense', { units: 1 }],
      ],
    );
    const weights = randomWeights(compile(network), sampler(1));
    weights.get('dense1.weight')!.data.set([1, 1]);
    weights.get('dense2.weight')!.data.set([1, -1]);
    weights.get('dense1.bias')!.data.set([0, 0]);
    weights.get('dense2.bias')!.data.set([0]);
    const model = modelOf(engine, network, weights);
    const region = { lo: Float64Array.of(1), hi: Float64Array.of(1 + 2 ** -22) };
    const outcome = search(model, below(region, -1e-12));
    expect(outcome).toMatchObject({ verdict: 'unknown', timeout: false });
    expect(outcome).toMatchObject({ reason: expect.stringMatching(/no float32 number is left/) });
    freeModel(model);
  });

  it('answers trivial properties', () => {
    const model = random(tiny(2, 3, 2), 1);
    const region = { lo: Float64Array.of(0, 0), hi: Float64Array.of(1, 1) };
    expect(search(model, { region, unsafe: [] })).toMatchObject({
      verdict: 'certified',
      bound: Infinity,
    });
    const always = { region, unsafe: [{ rows: [], rhs: [] }] };
    checkWitness(model, always, search(model, always));
    const point = { lo: Float64Array.of(0.1, 0.2), hi: Float64Array.of(0.1, 0.2) };
    const value = replay(model, point.lo)[0]!;
    expect(search(model, below(point, value - 1e-3, 2)).verdict).toBe('certified');
    checkWitness(
      model,
      below(point, value + 1e-3, 2),
      search(model, below(point, value + 1e-3, 2)),
    );
    freeModel(model);
  });

  it('as the verifier input-splitting decides two-input samples that linear bounds leave open', () => {
    const [grid, eps] = [40, 0.2];
    const seen = { certified: 0, falsified: 0, unknown: 0, gained: 0 };
    for (let seed = 0; seed < 12; seed++) {
      const model = random(tiny(2, 6, 3), seed);
      const images = Float32Array.from(sampler(seed).array([5, 2]).data, (v) => (v + 1) / 2);
      const y = outputsAt(model, images, 5);
      const labels = Int32Array.from({ length: 5 }, (_, i) => {
        const own = [...y.subarray(3 * i, 3 * i + 3)];
        return own.indexOf(Math.max(...own));
      });
      const job = { model, images, labels, eps };
      const verdictsOf = (name: string) =>
        verifiers[name]!.verify(job, parseOptions(verifiers[name]!.options, {}, name));
      const [verdicts, before] = [verdictsOf('input-splitting'), verdictsOf('crown')];
      verdicts.forEach(({ verdict }, i) => {
        seen[verdict]++;
        if (before[i]!.verdict === 'certified') expect(verdict).toBe('certified');
        else if (verdict === 'certified') seen.gained++;
        const points = new Float32Array(2 * grid * grid).map((_, at) => {
          const step = at % 2 === 0 ? (at >> 1) % grid : Math.floor((at >> 1) / grid);
          const value = images[2 * i + (at % 2)]! - eps + (2 * eps * step) / (grid - 1);
          return Math.min(1, Math.max(0, value));
        });
        const wrong = wrongSamples(model, points, new Int32Array(grid * grid).fill(labels[i]!));
        if (wrong.includes(1)) expect(verdict).toBe('falsified');
      });
      freeModel(model);
    }
    expect(seen.unknown).toBe(0);
    expect(Math.min(seen.certified, seen.falsified, seen.gained)).toBeGreaterThan(0);
  });

  it('is unknown, with the reason, where bounds are no numbers or memory ends', () => {
    const model = random(tiny(30, 3, 2), 1);
    model.params.get('dense1.weight')!.write(new Float32Array(90).fill(Number.NaN));
    const region = { lo: new Float64Array(30), hi: new Float64Array(30).fill(1) };
    const nan = search(model, below(region, 0, 2));
    expect(nan).toMatchObject({ verdict: 'unknown', bound: -Infinity });
    const failing = { ...INTERVAL, bound: () => fail() };
    const fine = random(tiny(30, 3, 2), 1);
    const out = search(
      fine,
      below(region, -1000, 2),
      { nodes: 9 },
      { methods: { bounds: [failing], expensive: [], parts: failing } },
    );
    expect(out).toMatchObject({ verdict: 'unknown', reason: expect.stringMatching(/4 GiB/) });
    // JavaScript's own arrays end, too.
    const huge = {
      ...INTERVAL,
      *bound() {
        yield;
        return { lower: new Float64Array(2 ** 50) };
      },
    };
    const methods = { bounds: [huge], expensive: [], parts: huge };
    expect(search(fine, below(region, -1000, 2), { nodes: 9 }, { methods })).toMatchObject({
      verdict: 'unknown',
      reason: expect.stringMatching(/array length/),
    });
    expect(() => search(fine, below({ lo: region.lo.slice(1), hi: region.hi }, 0, 2))).toThrow(
      /30 inputs/,
    );
    freeModel(model);
    freeModel(fine);
  });
});

function fail(): never {
  throw new EspalierError('memory: expected to fit in 4 GiB, got more.');
}
