/**
 * Certified objectives on the golden networks: their loss is that of the margins which auto_LiRPA and
 * convex_adversarial proved over the same balls.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newPass } from '../../src/domain/domain';
import { freeModel } from '../../src/nn/model';
import { type Options, parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { input, item, step } from '../../src/tensor/tensor';
import { objectives } from '../../src/train/objectives/registry';
import { meanOf, worst64 } from '../helpers/certified64';
import { MODELS, PRESENT, toleranceOf } from './goldens';
import { openGolden } from './open';

if (!PRESENT) it.skip('skipped: ../shared/goldens is absent', () => undefined);

const ALL = { kappaStart: 0, kappa: 0, samples: null };
const METHODS: readonly (readonly [method: string, objective: string, options: Options])[] = [
  ['IBP', 'ibp', { kappa: 0 }],
  ['CROWN-IBP', 'crown-ibp', { kappa: 0, beta: 1 }],
  ['KW-dual', 'dual', ALL],
  ['KW-dual', 'zonotope', { ...ALL, errors: 'exact' }],
];
/** Networks whose hidden bounds are a matter of seconds, and those that have few enough neurons for generators. */
const SMALL = ['lirpa_mnist_fc_3layer', 'lirpa_mnist_cnn_small', 'kw_mnist', 'kw_cifar_small_8px'];
const FEW = ['lirpa_mnist_fc_3layer'];
const COUNT = 2;

describe.skipIf(!PRESENT)('losses of objectives', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it.each(SMALL)('%s', async (name) => {
    expect(Object.keys(MODELS)).toContain(name);
    const { model, batch, record } = await openGolden(engine, name, 'safetensors');
    const each = record.cases.find(({ norm, clip_to_pixel_box: clip }) => norm === 'inf' && clip)!;
    const labels = batch.labels.subarray(0, COUNT);
    const pixels = batch.pixels.subarray(0, (COUNT * batch.pixels.length) / batch.labels.length);
    for (const [method, objective, given] of METHODS) {
      if (objective === 'zonotope' && !FEW.includes(name)) continue;
      const rows = each.methods[method]!.margins_lb.slice(0, COUNT);
      // The label's own margin is 0 and stands first.
      const wanted = meanOf(rows.map((margins) => worst64([0, ...margins], 0)));
      const entry = objectives[objective]!;
      const options = parseOptions(entry.options, { eps: each.eps_pixel, ...given }, objective);
      const found = step(engine, () => {
        const x = input(engine, pixels, [COUNT, ...model.graph.network.input]);
        const when = { seed: 1, epoch: 0, epochs: 1, ramp: false };
        const index = Int32Array.of(0, 1);
        const context = { model, x, labels, index, ...when, pass: newPass() };
        return item(entry.loss(context, options as never).loss);
      });
      const error = Math.abs(found - wanted) / (1 + wanted);
      expect(error, `${method} by ${objective}: ${found}, ${wanted}`).toBeLessThan(
        toleranceOf(name),
      );
    }
    freeModel(model);
  });
});
