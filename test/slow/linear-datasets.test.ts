/** Verified error by linear bounds over a thousand images, against auto_LiRPA's defaults in float32. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LinearOptions } from '../../src/domain/linear';
import { freeModel } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { linearBounds } from '../goldens/compute';
import { datasetFile, images, MODELS, PRESENT, worst } from '../goldens/goldens';
import { openModel } from '../goldens/open';

if (!PRESENT) it.skip('skipped: ../shared/goldens is absent', () => undefined);

const FILES = [
  'lirpa_mnist_fc_3layer_eps0.02',
  'lirpa_mnist_cnn_small_eps0.02',
  'kw_cifar_small_8px_eps0.139n',
  'kw_cifar_small_8px_eps8_255',
  'oval_cifar_base_eps2_255',
  'lirpa_cifar_2c2f_eps2_255',
  'kw_mnist_eps0.1',
];
const METHODS: Readonly<Record<string, Pick<LinearOptions, 'hidden' | 'slopes'>>> = {
  'CROWN-IBP': { hidden: 'interval' },
  CROWN: { hidden: 'unstable' },
  'CROWN-same-slope': { hidden: 'unstable', slopes: 'parallel' },
};
const BATCH = 20;
/** Verdicts that float32 may decide otherwise. */
const APART = 2;

describe.skipIf(!PRESENT).each(FILES)('%s', (name) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  const recorded = Object.keys(METHODS).filter((method) => datasetFile(name).methods[method]);
  it.each(recorded)('%s', async (method) => {
    const file = datasetFile(name);
    const [std] = MODELS[file.model]!.input_normalisation.std;
    const eps = file.eps_units.startsWith('pixel') ? file.eps : file.eps * std!;
    const ball = { eps, norm: 'linf', clip: file.clip_to_pixel_box } as const;
    const model = await openModel(engine, file.model, 'safetensors');
    const rows = model.graph.output[0]! - 1;
    const least = { plain: [] as number[], sound: [] as number[] };
    for (let from = 0; from < file.n; from += BATCH) {
      const count = Math.min(BATCH, file.n - from);
      const indices = Array.from({ length: count }, (_, i) => file.first_index + from + i);
      const batch = await images(file.dataset, indices);
      for (const kind of ['plain', 'sound'] as const) {
        const options = { ...METHODS[method]!, sound: kind === 'sound' };
        const { lo } = linearBounds(model, batch, count, ball, options).margins;
        for (let i = 0; i < count; i++)
          least[kind].push(Math.min(...lo.subarray(i * rows, (i + 1) * rows)));
      }
    }
    freeModel(model);
    const { verified, min_margin_lb: margins } = file.methods[method]!;
    const [plain, sound] = [least.plain, least.sound].map((m) => m.filter((v) => v > 0).length);
    expect(Math.abs(plain! - verified)).toBeLessThanOrEqual(APART);
    expect(sound!).toBeLessThanOrEqual(plain!);
    // What soundness costs: 6 samples of 1017 at most (measured here).
    expect(sound!).toBeGreaterThanOrEqual(verified - file.n / 100);
    // The better of two hidden bounds is kept, so hardly a margin is lower than the recorded one.
    const lower = margins.filter((m, i) => least.plain[i]! < m - 0.02 * (1 + Math.abs(m))).length;
    expect(lower).toBeLessThanOrEqual(file.n / 100);
    if (method === 'CROWN-IBP') expect(worst(least.plain, margins).error).toBeLessThan(1e-4);
  });
});
