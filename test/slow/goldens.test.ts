/**
 * Ten million points of balls around images, over all golden networks: of the inside, corners at
 * random, corners that push a logit, and what every attack finds. None leaves the interval bounds, and
 * none has a margin below what any verifier of the registry claims. The points are shared by the
 * binaries. One test a network (`-t NAME`), five minutes of one core in all.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runAttack } from '../../src/attack/attack';
import { attacks } from '../../src/attack/attacks/registry';
import { logits } from '../../src/domain/classifier';
import { compile } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model } from '../../src/nn/model';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { verifiers } from '../../src/verify/verifiers/registry';
import { boundsOf, images, MODELS, networkOf, PRESENT } from '../goldens/goldens';
import { openModel } from '../goldens/open';
import { binaries } from '../helpers/engine';
import { sampleBoxes } from '../helpers/sampling';
import { fewNodes } from '../helpers/verifiers';

const TOTAL = 10_000_000;
/** Every network gets this many; the rest goes to those that are quick. */
const EACH = 200_000;
const names = Object.keys(MODELS);

/** Points by network: the rest in proportion to its speed. */
function plan(): ReadonlyMap<string, number> {
  const speed = names.map((name) => {
    const { nodes } = compile(networkOf(name, MODELS[name]!));
    const macs = nodes.map(({ layer, inputShapes, shape, options }) =>
      layer.macs ? layer.macs(inputShapes[0]!, shape, options as never) : 0,
    );
    return 1 / macs.reduce((a, b) => a + b, 0);
  });
  const all = speed.reduce((a, b) => a + b, 0);
  const rest = TOTAL - EACH * names.length;
  return new Map(names.map((name, i) => [name, EACH + Math.ceil((rest * speed[i]!) / all)]));
}

interface Batch {
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

/** The best that any verifier claims of each image's least margin. */
function claims(model: Model, batch: Batch, eps: number): Float64Array {
  const best = new Float64Array(batch.labels.length).fill(Number.NEGATIVE_INFINITY);
  for (const [name, entry] of Object.entries(verifiers)) {
    const options = parseOptions(entry.options, fewNodes(entry, 200), name);
    entry.verify({ model, ...batch, eps }, options).forEach(({ verdict, margin }, i) => {
      if (verdict !== 'falsified' && margin > best[i]!) best[i] = margin;
    });
  }
  return best;
}

/** The first image that an attack brings below the claim. */
function attacked(
  model: Model,
  batch: Batch,
  eps: number,
  floors: Float64Array,
): string | undefined {
  const { labels } = batch;
  const index = Int32Array.from(labels, (_, i) => i);
  for (const [name, entry] of Object.entries(attacks)) {
    const options = parseOptions(entry.options, fewNodes(entry, 200), name);
    for (const seed of [0, 1, 2]) {
      const found = runAttack(entry, options, { model, ...batch, index, eps, seed });
      const z = step(model.engine, () => {
        const shape = [labels.length, ...model.graph.network.input];
        return logits(model, input(model.engine, found.images, shape)).read();
      });
      const k = z.length / labels.length;
      for (const [i, label] of labels.entries())
        for (let j = 0; j < k; j++)
          if (j !== label && !(z[i * k + label]! - z[i * k + j]! >= floors[i]!))
            return `${name}, image ${i}: class ${j} leaves less than ${floors[i]}`;
    }
  }
  return undefined;
}

describe.skipIf(!PRESENT)('points of golden networks', () => {
  const points = plan();
  let engines: Engine[];
  beforeAll(async () => {
    engines = await Promise.all(binaries().map((binary) => load({ threads: 1, binary })));
  });
  afterAll(() => {
    for (const engine of engines) engine.close();
  });

  it('are ten million', () =>
    expect([...points.values()].reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(TOTAL));

  it.each(names)('%s', async (name) => {
    const record = boundsOf(name);
    const { pixels, labels } = await images(record.dataset, record.indices);
    const batch = { images: pixels, labels };
    const balls = record.cases.flatMap(({ norm, eps_pixel: eps }) =>
      norm === 'inf' && eps !== undefined ? [eps] : [],
    );
    const radii = [...new Set(balls)];
    const wanted = Math.ceil(points.get(name)! / radii.length / engines.length);
    let sampled = 0;
    for (const [at, engine] of engines.entries()) {
      const given = await openModel(engine, name, 'safetensors');
      const model = lower(given);
      for (const eps of radii) {
        const what = `${engine.info().binary}, eps ${eps}`;
        const floors = claims(model, batch, eps);
        expect([...floors].every(Number.isFinite), `${what}: claims ${floors}`).toBe(true);
        const found = sampleBoxes(model, { ...batch, eps, points: wanted, floors, seed: at });
        expect(found.violation, what).toBeUndefined();
        expect(attacked(model, batch, eps, floors), what).toBeUndefined();
        sampled += found.points;
      }
      freeModel(model);
      freeModel(given);
    }
    expect(sampled).toBeGreaterThanOrEqual(points.get(name)!);
  });
});
