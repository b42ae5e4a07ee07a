/**
 * Logits, losses, gradients and attacks of the golden networks against float64 numbers of PyTorch,
 * from both files of each and in every binary; 1e-4 relative to 1 + |value| (1e-3 for marabou).
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attacks } from '../../src/attack/attacks/registry';
import { logits } from '../../src/domain/classifier';
import { freeModel } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { sizeOf } from '../../src/tensor/shape';
import { input, step } from '../../src/tensor/tensor';
import { binaries } from '../helpers/engine';
import { attacked, robustLoss, values } from './compute';
import {
  boundsOf,
  f64,
  type GradientRecord,
  images,
  MODELS,
  PRESENT,
  tensorsOf,
  toleranceOf,
  worst,
} from './goldens';
import { FORMATS, type Golden, openGolden } from './open';

if (!PRESENT) it.skip('skipped: ../shared/goldens is absent', () => undefined);

/** Every file of a network; the binary makes no difference to the reader. */
const CASES = [
  ...FORMATS.map((format) => ({ format, binary: 'simd' as const })),
  ...binaries()
    .slice(1)
    .map((binary) => ({ format: FORMATS[0], binary })),
];

describe.skipIf(!PRESENT).each(CASES)('values, $format, $binary', ({ binary, format }) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1, binary });
  });
  afterAll(() => engine.close());

  describe.each(Object.keys(MODELS))('%s', (name) => {
    const limit = toleranceOf(name);
    const near = (got: ArrayLike<number>, want: ArrayLike<number>, what: string): void =>
      expect(worst(got, want).error, what).toBeLessThan(limit);
    let golden: Golden;
    beforeAll(async () => {
      golden = await openGolden(engine, name, format);
    });
    afterAll(() => freeModel(golden.model));

    /** All norms and sums, and each gradient that is recorded in full. */
    function nearGradients(
      found: { readonly loss: number; readonly gradients: ReadonlyMap<string, Float32Array> },
      { loss, l2norm, sum }: GradientRecord,
      prefix: string,
    ): void {
      near([found.loss], [loss], 'loss');
      const tensors = tensorsOf(name);
      for (const [recorded, own] of golden.names) {
        const got = found.gradients.get(own)!;
        const norm = Math.sqrt(got.reduce((total, g) => total + g * g, 0));
        near([norm], [l2norm[recorded]!], `norm of ${recorded}`);
        near([got.reduce((a, b) => a + b, 0)], [sum[recorded]!], `sum of ${recorded}`);
        const full = tensors.get(`${prefix}/${recorded}`);
        if (full) near(got, f64(full), recorded);
        else expect(got.length, recorded).toBeGreaterThan(4096);
      }
    }

    it('logits, losses and gradients', () => {
      const { model, record, batch } = golden;
      const found = values(model, batch);
      near(found.logits, record.logits_f64.flat(), 'logits');
      near(found.losses, record.ce_loss_f64, 'losses');
      // Recorded in the network's own space, x = (pixel - mean) / std.
      const [c, ...plane] = model.graph.network.input;
      const ofModel = Float64Array.from(
        found.inputGradients,
        (g, i) => g * record.std[Math.floor(i / sizeOf(plane)) % c!]!,
      );
      near(ofModel, f64(tensorsOf(name).get('input_grad_ce')!), 'input gradients');
      nearGradients(found, record.param_grad_mean_ce_f64, 'param_grad_mean_ce');
    });

    it('interval training loss and its gradients', () => {
      const { model, record, batch } = golden;
      const recorded = record.robust_loss_IBP_f64;
      const radius = { eps: recorded.eps_pixel, clip: recorded.clip_to_pixel_box };
      nearGradients(robustLoss(model, batch, radius), recorded, 'param_grad_robust_IBP');
    });

    it('CROWN-IBP training loss and its gradients', () => {
      const { model, record, batch } = golden;
      const recorded = record['robust_loss_CROWN-IBP_f64'];
      const radius = { eps: recorded.eps_pixel, clip: recorded.clip_to_pixel_box };
      const found = robustLoss(model, batch, radius, 'linear');
      nearGradients(found, recorded, 'param_grad_robust_CROWN-IBP');
    });

    it('attacks', () => {
      const { model, record, batch } = golden;
      const { attacks: recorded, eps_pixel: eps = 0, clip_to_pixel_box: clip } = record.cases[0]!;
      const run = (steps: number, share: number) =>
        attacked(model, batch, { eps, clip }, { steps, share });
      near(run(1, 2), recorded!.fgsm_logits.flat(), 'FGSM');
      near(run(10, 1 / 4), recorded!.pgd10_logits.flat(), 'PGD-10');
    });
  });
});

describe.skipIf(!PRESENT)('the attack of the registry', () => {
  it('is the FGSM recorded, where the box is cut to [0, 1]', async () => {
    const engine = await load({ threads: 1 });
    const { model, record, batch } = await openGolden(
      engine,
      'eran_cifar_conv_small',
      'safetensors',
    );
    const recorded = record.cases[0]!;
    expect(recorded.clip_to_pixel_box).toBe(true);
    const { labels, pixels } = batch;
    const job = { model, images: pixels, labels, eps: recorded.eps_pixel!, seed: 0 };
    const found = attacks.fgsm!.run({ ...job, index: labels }, {});
    const z = step(engine, () => {
      const x = input(engine, found, [labels.length, ...model.graph.network.input]);
      return logits(model, x).read();
    });
    expect(worst(z, recorded.attacks!.fgsm_logits.flat()).error).toBeLessThan(1e-4);
    engine.close();
  });

  it('and the labels are those of the data sets', async () => {
    for (const name of Object.keys(MODELS)) {
      const record = boundsOf(name);
      const { labels } = await images(record.dataset, record.indices);
      expect([...labels]).toEqual(record.y);
    }
  });
});
