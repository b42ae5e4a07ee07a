/** Searches of properties that are satisfiable, or are not, by construction, on small random networks. */
import { expect } from 'vitest';
import { isUnsafe, type Property, parseVnnlib } from '../../src/io/vnnlib';
import { compile, sequential } from '../../src/nn/graph';
import { freeModel, type Model } from '../../src/nn/model';
import type { Engine } from '../../src/runtime/engine';
import { Budget } from '../../src/verify/budget';
import { outputsAt } from '../../src/verify/descent';
import { replay } from '../../src/verify/replay';
import { finish, verifySpecification } from '../../src/verify/search';
import { modelOf, randomWeights } from '../helpers/networks';
import { type Point, propertyText } from '../helpers/properties';
import { type Sampler, sampler } from '../helpers/random';

/** The answers to `count` properties, by name: none `unsat` that is satisfiable, and none `sat` that is not. */
export function answers(
  engine: Engine,
  satisfiable: boolean,
  [from, to]: readonly [number, number],
): Record<string, number> {
  const seen: Record<string, number> = { sat: 0, unsat: 0, unknown: 0 };
  let model: Model | undefined;
  let draw = sampler(0);
  for (let i = from; i < to; i++) {
    if (i % 20 === 0 || !model) {
      if (model) freeModel(model);
      draw = sampler(1000 + i);
      model = random(engine, draw);
    }
    const x = [...draw.array([model.graph.network.input[0]!], -1, 1).data];
    const y = satisfiable ? outputs(model, x) : ranges(model, x);
    const text = propertyText(draw, { x, y }, satisfiable);
    const property = read(text, `${i}`);
    if (!property) {
      expect(satisfiable, text).toBe(false);
      seen.unsat!++;
      continue;
    }
    if (satisfiable)
      for (const k of [0, 1])
        expect(
          isUnsafe(
            property,
            x,
            y.map((one) => one[k]!),
          ),
          text,
        ).toBe(true);
    const answer = search(model, property);
    seen[answer]!++;
    expect(answer, `${i}: ${text}`).not.toBe(satisfiable ? 'unsat' : 'sat');
  }
  if (model) freeModel(model);
  return seen;
}

/** The property; undefined where its text is a contradiction by itself. */
function read(text: string, name: string): Property | undefined {
  try {
    return parseVnnlib(text, name);
  } catch (error) {
    if (!`${error}`.includes('got a contradiction')) throw error;
    return undefined;
  }
}

function random(engine: Engine, draw: Sampler): Model {
  const [inputs, units, outs] = [1 + draw.whole(3), 1 + draw.whole(5), 1 + draw.whole(3)];
  const network = sequential(
    'p',
    [inputs],
    [['dense', { units }], ['relu'], ['dense', { units: outs }]],
  );
  return modelOf(engine, network, randomWeights(compile(network), draw));
}

function search(model: Model, { cases }: Property): string {
  let answer = 'unsat';
  for (const region of cases) {
    const budget = new Budget({ nodes: 8 });
    const options = { budget, rounds: 0 };
    const { verdict } = finish(
      verifySpecification(model, { region, unsafe: region.unsafe }, options),
    );
    if (verdict === 'falsified') return 'sat';
    if (verdict === 'unknown') answer = 'unknown';
  }
  return answer;
}

/** The outputs at a point, from the least to the largest of a float32 and a float64 run. */
function outputs(model: Model, x: number[]): Point['y'] {
  const one = outputsAt(model, Float32Array.from(x), 1);
  return [...replay(model, Float64Array.from(x))].map((v, j) => [
    Math.min(v, one[j]!),
    Math.max(v, one[j]!),
  ]);
}

/** What outputs can be around a point, by intervals of float64 and some room for roundings. */
function ranges({ graph, params }: Model, x: number[]): Point['y'] {
  let box: (readonly [number, number])[] = x.map((v) => [v - 0.26, v + 0.26]);
  for (const { kind, name } of graph.nodes) {
    if (kind === 'relu') box = box.map(([lo, hi]) => [Math.max(lo, 0), Math.max(hi, 0)]);
    if (kind !== 'dense') continue;
    const [w, b] = [params.get(`${name}.weight`)!.read(), params.get(`${name}.bias`)!.read()];
    const before = box;
    box = [...b].map((bias, r) => {
      let [lo, hi] = [bias, bias];
      before.forEach(([low, high], c) => {
        const v = w[r * before.length + c]!;
        lo += v * (v > 0 ? low : high);
        hi += v * (v > 0 ? high : low);
      });
      const room = 1e-5 * (1 + Math.abs(lo) + Math.abs(hi));
      return [lo - room, hi + room];
    });
  }
  return box;
}
