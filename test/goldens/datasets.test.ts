/** Verified error of interval bounds over a thousand images, against auto_LiRPA in float32. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wrongSamples } from '../../src/attack/attack';
import { freeModel } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { lowerMargins } from './compute';
import { datasetFile, images, MODELS, PRESENT, worst } from './goldens';
import { openModel } from './open';

if (!PRESENT) it.skip('skipped: ../shared/goldens is absent', () => undefined);

/** Every file with an IBP column; the other two hold linear bounds and attacks alone. */
const FILES = [
  'kw_mnist_eps0.1',
  'lirpa_mnist_cnn_small_eps0.02',
  'lirpa_mnist_fc_3layer_eps0.02',
  'kw_cifar_small_8px_eps0.139n',
  'lirpa_cifar_2c2f_eps2_255',
  'oval_cifar_base_eps2_255',
];
const BATCH = 100;
/** Verdicts that float32 may decide otherwise. */
const APART = 2;

describe.skipIf(!PRESENT)('verified error by intervals', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  it.each(FILES)('%s', async (name) => {
    const file = datasetFile(name);
    const { std } = MODELS[file.model]!.input_normalisation;
    expect(new Set(std).size).toBe(1);
    const eps = file.eps_units.startsWith('pixel') ? file.eps : file.eps * std[0]!;
    const radius = { eps, clip: file.clip_to_pixel_box };
    const model = await openModel(engine, file.model, 'safetensors');
    const plain: number[] = [];
    let [sound, wrong] = [0, 0];
    for (let from = 0; from < file.n; from += BATCH) {
      const count = Math.min(BATCH, file.n - from);
      const indices = Array.from({ length: count }, (_, i) => file.first_index + from + i);
      const batch = await images(file.dataset, indices);
      wrong += wrongSamples(model, batch.pixels, batch.labels).reduce((a, b) => a + b, 0);
      plain.push(...lowerMargins(model, batch, radius, false));
      sound += lowerMargins(model, batch, radius, true).filter((m) => m > 0).length;
    }
    freeModel(model);
    const { verified, min_margin_lb: margins } = file.methods.IBP!;
    expect(Math.abs(wrong - file.clean_errors)).toBeLessThanOrEqual(APART);
    const proven = plain.filter((m) => m > 0).length;
    expect(Math.abs(proven - verified)).toBeLessThanOrEqual(APART);
    expect(sound).toBeLessThanOrEqual(proven);
    expect(sound).toBeGreaterThanOrEqual(verified - APART);
    expect(worst(plain, margins).error).toBeLessThan(1e-4);
  });
});
