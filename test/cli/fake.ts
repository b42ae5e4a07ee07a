/** A command line without a machine below it: captured streams and a backend that only remembers. */
import type { Backend } from '../../src/cli/backend';
import type { Io } from '../../src/cli/io';
import { main } from '../../src/cli/main';
import type { Evaluation } from '../../src/evaluate/records';
import type { Inspection } from '../../src/measure/inspect';
import type { Compacted } from '../../src/recipe/compact';
import { jobsOf } from '../../src/recipe/sweep/plan';
import type { SweepResult } from '../../src/report/sweep-types';
import type { Proportion, Sensitivity, Summary } from '../../src/report/types';
import { SHIPPED } from '../../src/runtime/costs';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function run(
  line: string | readonly string[],
  backend: Partial<Backend> = {},
  io: Partial<Io> = {},
): Promise<Outcome> {
  const argv = typeof line === 'string' ? line.split(' ').filter(Boolean) : line;
  const out = { stdout: '', stderr: '' };
  const code = await main(argv, {
    stdout: { write: (text) => (out.stdout += text) },
    stderr: { write: (text) => (out.stderr += text) },
    env: {},
    asked: () => 0,
    backend: { ...idle, ...backend },
    ...io,
  });
  return { code, ...out };
}

const half: Proportion = { value: 0.5, correct: 50, total: 100, lo: 0.4, hi: 0.6 };
const accuracies = { benign: half, era: half, vra: half };

export const scan: Sensitivity = {
  ...{ objective: 'ibp', score: 'l1', images: 100, whole: { benign: 0.9, robust: 0.8 } },
  layers: [
    {
      ...{ layers: ['conv2d1'], filters: 4 },
      points: [{ removed: 1, share: 0.25, weights: 0.1, benign: 0.7, robust: 0.5 }],
    },
  ],
};

export const inspection: Inspection = {
  network: 'mlp',
  input: [1, 8, 8],
  layers: [
    {
      name: 'fc1',
      shape: [10, 64],
      weights: 640,
      nonzero: 64,
      density: 0.1,
      macs: 640,
      macsNonzero: 64,
    },
  ],
  parameters: 650,
  bytes: 2600,
  edge: { decoded: 700, activations: 900, peak: 3000 },
};

export function summary(contradictions = 0): Summary {
  return {
    schema: 'espalier-summary/1',
    name: 'digits',
    dense: accuracies,
    pruned: accuracies,
    retained: { benign: 1, era: 1, vra: 1 },
    sparsity: 0.9,
    contradictions,
    layers: inspection.layers,
    bytes: { dense: 2600, pruned: 600, deflated: 400 },
    imagesPerSecond: { dense: 1000, pruned: 2000 },
    attack: { name: 'pgd', description: 'fifty steps' },
    verifier: { name: 'interval', description: 'sound' },
    provenance: {
      espalier: '0',
      node: 'v20',
      binary: 'simd',
      threads: 1,
      seed: 1,
      data: { name: 'digits', source: '', sha256: '', train: 1, heldOut: 1, test: 1 },
      extraData: false,
      config: {},
      startedAt: '',
      finishedAt: '',
      seconds: 1,
    },
  };
}

export const compacted: Compacted = {
  network: 'toy',
  layers: [
    {
      name: 'fc.weight',
      shape: [2, 5],
      nonzero: 4,
      values: 3,
      raw: 40,
      gzipped: 30,
      compact: 20,
    },
    { name: 'fc.bias', shape: [2], nonzero: 2, values: null, raw: 8, gzipped: 26, compact: 8 },
  ],
  raw: 2600,
  gzipped: 1300,
  compact: 52,
  compactGzipped: 50,
  removed: { fc: 3 },
  evaluation: { accuracies, contradictions: 0 },
};

export const evaluation: Evaluation = {
  accuracies,
  contradictions: 0,
  attacks: [{ name: 'pgd', description: 'fifty steps', broken: 50, seconds: 1 }],
  verifiers: [{ name: 'interval', description: 'sound', certified: 50, seconds: 1 }],
  outcomes: { benign: '10', era: '10', vra: '10' },
  samples: [],
};

export const sweepResult: SweepResult = {
  schema: 'espalier-sweep/1',
  name: 'sweep',
  runs: [],
  groups: [],
  fronts: {
    bytes: { benign: [], era: [], vra: [] },
    multiplyAdds: { benign: [], era: [], vra: [] },
  },
  pairs: [],
  provenance: { espalier: '0', node: 'v20' },
};

const idle: Backend = {
  load: async () => ({
    info: () => ({
      binary: 'simd',
      threads: 1,
      reasons: ['simd binary: a reason'],
      memory: {
        shared: false,
        maxBytes: 2 ** 32,
        totalBytes: 1,
        usedBytes: 1,
        scratchHighWater: 1,
      },
    }),
    close: () => undefined,
  }),
  compress: async () => summary(),
  pretrain: async () => undefined,
  sweep: async () => sweepResult,
  estimate: async (_, plan) =>
    jobsOf(plan).map((job) => ({ job, operations: 2e9, seconds: 30, error: null })),
  prune: async () => inspection,
  finetune: async () => inspection,
  evaluate: async () => evaluation,
  bounds: async (_, { indices }) =>
    indices.map((index) => ({
      index,
      label: 1,
      predicted: 1,
      logits: [0, 2],
      lo: [-1, 1],
      hi: [0.5, 3],
      margins: [0.5, null],
      certified: true,
    })),
  smooth: async (_, { radii }) => ({
    certified: radii.map((radius) => ({ radius, accuracy: half })),
    meanRadius: 0.25,
    abstained: 3,
    draws: 1000,
    images: [{ index: 0, label: 1, predicted: null, radius: 0, draws: 1000 }],
  }),
  certify: async (_, { indices, folder }) =>
    indices.map((index) =>
      index % 2
        ? { index, label: 1, margin: -0.5, method: null, file: null }
        : { index, label: 1, margin: 0.5, method: 'interval', file: `${folder}/${index}.json` },
    ),
  check: async (_, { path }) => [
    { file: path, accepted: true, text: 'output 1 is the largest', margin: 0.5 },
  ],
  verify: async () => ({ answer: 'unsat', bound: 0.5, by: 'interval', seconds: 1, nodes: 1 }),
  vnncomp: async () => ({
    ...{ rows: [], wrong: 0, seconds: 0 },
    counts: { sat: 0, unsat: 0, unknown: 0, timeout: 0, error: 0 },
  }),
  inspect: async () => inspection,
  sensitivity: async () => scan,
  convert: async () => ({ from: 'onnx', to: 'espalier', notes: [], bytes: 2600, inspection }),
  compact: async () => compacted,
  recordedConfig: async () => ({ data: 'digits', objective: { name: 'ibp', eps: 0.05 } }),
  fit: async () => ({
    costs: { ...SHIPPED, gemv: { product: 0.75 } },
    unit: 1e-10,
    forms: [
      {
        form: 'gemv',
        samples: 6,
        shipped: { median: 0.5, worst: 0.9 },
        fitted: { median: 0.04, worst: 0.13 },
      },
    ],
  }),
  benchmark: async () => [
    { name: 'product', gflops: 12.3, median: 0.004, spread: 0.02 },
    { name: 'interval step', images_per_second: 1234, median: 0.1, spread: 0.03 },
  ],
  productSpeed: async () => 10,
  binaries: async () => ({ simd: true, relaxed: false }),
};
