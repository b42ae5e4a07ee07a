/**
 * Optimised lower slopes against alpha-CROWN of auto_LiRPA (20 steps): never looser than CROWN, nor than
 * the recorded bound by more than 2 % of the gap between the two and 1e-3.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALPHA, type AlphaOptions, optimisedBounds } from '../../src/bounds/alpha';
import { hiddenBounds } from '../../src/bounds/linear';
import { marginRows } from '../../src/bounds/margins';
import { inputSet } from '../../src/domain/balls';
import { freeModel } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { boundsOf, type CaseRecord, MODELS, PRESENT, setOf } from './goldens';
import { type Golden, openGolden } from './open';

if (!PRESENT) it.skip('skipped: ../shared/goldens is absent', () => undefined);

const METHODS: Readonly<Record<string, Partial<AlphaOptions>>> = {
  'alpha-CROWN-20-fixed-interm': { hidden: false },
  'alpha-CROWN-20-joint': { hidden: true },
};

describe.skipIf(!PRESENT).each(Object.entries(METHODS))('%s', (method, options) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  const wanted = Object.keys(MODELS).filter((name) =>
    boundsOf(name).cases.some(({ methods }) => methods[method]),
  );
  it.each(wanted)('%s', async (name) => {
    const golden = await openGolden(engine, name, 'safetensors');
    for (const each of golden.record.cases) {
      const recorded = each.methods[method];
      if (!recorded) continue;
      // One image of the larger networks: a step takes a walk of all their rows.
      const count = Math.min(
        recorded.n_inputs!,
        name.includes('fc') || name.includes('6_') ? 2 : 1,
      );
      const found = optimised(golden, each, count, { ...ALPHA, ...options, enough: false });
      const crown = each.methods.CROWN!.margins_lb.slice(0, count).flat();
      const best = recorded.margins_lb.slice(0, count).flat();
      found.forEach((bound, i) => {
        const [low, high] = [crown[i]!, best[i]!];
        expect(bound).toBeGreaterThanOrEqual(low - 1e-4 * (1 + Math.abs(low)));
        expect(bound).toBeGreaterThanOrEqual(high - 0.02 * Math.abs(high - low) - 1e-3);
      });
    }
    freeModel(golden.model);
  });
});

function optimised(
  { model, batch, record }: Golden,
  each: CaseRecord,
  count: number,
  options: AlphaOptions,
): Float32Array {
  const { engine, graph } = model;
  const { eps, norm, clip } = setOf(record.model, each);
  return step(engine, () => {
    const pixels = batch.pixels.subarray(0, count * (batch.pixels.length / batch.labels.length));
    const x = input(engine, pixels, [count, ...graph.network.input]);
    const set = inputSet(x, eps, { norm, range: clip ? [0, 1] : null, sound: false });
    const scene = { ...hiddenBounds(model, set, { sound: false, hidden: 'all' }), chunk: null };
    const rows = marginRows(scene, batch.labels.subarray(0, count));
    return optimisedBounds(scene, rows, options);
  });
}
