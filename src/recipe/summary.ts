/** Turns the two models of a run into `summary.json` and into what the report shows beside it. */

import { type AttackJob, pick, predictions, runAttack } from '../attack/attack';
import { attacks } from '../attack/attacks/registry';
import { suspicionText } from '../attack/suspicion';
import { batchOf } from '../data/batches';
import type { DataSet } from '../data/types';
import { lookup } from '../errors';
import { evaluate } from '../evaluate/evaluate';
import type { MethodShare, Outcomes } from '../evaluate/records';
import type { Listener, StopSignal } from '../events';
import { writeAtomic } from '../io/files';
import { inspect, sparseBytes } from '../measure/inspect';
import { imagesPerSecond } from '../measure/speed';
import { withCanonical } from '../nn/freeze';
import type { AnyModel, Model } from '../nn/model';
import { listed, type PlugIn } from '../options';
import { leastMargins } from '../plan/margins';
import { sparsityOf } from '../prune/mask';
import type { Accuracies, Exhibit, HistogramPair, MethodCounts, Summary } from '../report/types';
import type { Engine } from '../runtime/engine';
import { VERSION } from '../version';
import type { RunState } from './checkpoint';
import type { Config, EvaluateConfig } from './config';
import type { RunDir } from './run-dir';
import type { TrainingData } from './training-data';

export interface SummaryJob {
  /** With `evaluate.eps` resolved. */
  readonly config: Config;
  readonly data: TrainingData;
  readonly dense: Model;
  readonly pruned: Model;
  readonly state: RunState;
}

export async function summarise(
  engine: Engine,
  { paths }: RunDir,
  { config, data, dense, pruned, state }: SummaryJob,
  hooks: { readonly onEvent?: Listener; readonly signal?: StopSignal },
): Promise<Summary> {
  const { set, train, held } = data;
  const started = performance.now();
  const evaluated = (model: Model, title: string) =>
    evaluate(model, set, set.test, config.evaluate, { ...hooks, seed: config.seed, title });
  const before = await evaluated(dense, 'evaluate dense');
  const after = await evaluated(pruned, 'evaluate pruned');
  await writeAtomic(paths.outcomes, outcomesText(after.outcomes));
  const shape = inspect(pruned);
  const { binary, threads } = engine.info();
  return {
    schema: 'espalier-summary/1',
    name: config.name,
    dense: before.accuracies,
    pruned: after.accuracies,
    retained: retained(before.accuracies, after.accuracies),
    sparsity: sparsityOf(pruned, dense.graph).sparsity,
    contradictions: before.contradictions + after.contradictions,
    layers: shape.layers,
    bytes: {
      dense: inspect(dense).bytes,
      pruned: sparseBytes(shape),
      deflated: await deflatedBytes(paths.pruned),
    },
    imagesPerSecond: {
      dense: imagesPerSecond(dense, set),
      pruned: imagesPerSecond(pruned, set),
    },
    attack: methodOf(after.attacks),
    verifier: methodOf(after.verifiers),
    ...sharesOf('attacks', before.attacks, after.attacks, ({ broken }) => broken),
    ...sharesOf('verifiers', before.verifiers, after.verifiers, ({ certified }) => certified),
    ...(after.suspicions && {
      suspicions: after.suspicions.map((one) => ({ ...one, text: suspicionText(one) })),
    }),
    provenance: {
      espalier: VERSION,
      node: process.version,
      binary,
      threads,
      seed: config.seed,
      data: {
        name: set.title,
        source: set.source,
        sha256: set.sha256,
        train: train.count,
        heldOut: held.count,
        test: set.test.count,
      },
      extraData: false,
      config,
      startedAt: state.startedAt,
      finishedAt: new Date().toISOString(),
      seconds: state.seconds + (performance.now() - started) / 1000,
    },
  };
}

/** `outcomes.json`: what each test image contributes to the accuracies of the pruned network. */
export const outcomesText = (outcomes: Outcomes): string =>
  `${JSON.stringify({ schema: 'espalier-outcomes/1', ...outcomes }, null, 2)}\n`;

/** The methods of an evaluation as one: names and settings, in order. */
const methodOf = (methods: readonly MethodShare[]): Summary['attack'] => ({
  name: methods.map(({ name }) => name).join(', '),
  description: methods.map(({ description }) => description).join('; '),
});

/** Shares of each method, under their key, where there are several. */
function sharesOf<K extends 'attacks' | 'verifiers', T extends MethodShare>(
  key: K,
  dense: readonly T[],
  pruned: readonly T[],
  count: (method: T) => number,
): Partial<Record<K, readonly MethodCounts[]>> {
  if (pruned.length < 2) return {};
  const counts = pruned.map((method, i) => {
    const { name, description } = method;
    return { name, description, dense: count(dense[i]!), pruned: count(method) };
  });
  return { [key]: counts } as unknown as Partial<Record<K, readonly MethodCounts[]>>;
}

function retained(dense: Accuracies, pruned: Accuracies): Summary['retained'] {
  const share = (key: keyof Accuracies): number | null =>
    dense[key].correct === 0 ? null : pruned[key].value / dense[key].value;
  return { benign: share('benign'), era: share('era'), vra: share('vra') };
}

async function deflatedBytes(path: string): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  const { deflateRawSync } = await import('node:zlib');
  return deflateRawSync(await readFile(path), { level: 9 }).length;
}

const BINS = 60;

/** Weights of each prunable layer before and after; pruned zeros are left out. */
export function histograms(dense: Model, pruned: Model): HistogramPair[] {
  return inspect(dense).layers.map(({ name }) => {
    const [before, after] = [dense, pruned].map(({ params }) => params.get(name)?.read());
    let [min, max] = [0, 0];
    for (const values of [before, after])
      for (const w of values ?? []) [min, max] = [Math.min(min, w), Math.max(max, w)];
    const count = (values: Float32Array | undefined, skipZeros: boolean): number[] => {
      const bins = new Array<number>(BINS).fill(0);
      const scale = BINS / (max - min || 1);
      for (const w of values ?? [])
        if (!skipZeros || w !== 0) bins[Math.min(BINS - 1, Math.floor((w - min) * scale))]!++;
      return bins;
    };
    return { name, min, max, dense: count(before, false), pruned: count(after, true) };
  });
}

const SHOWN = 8;

/** The first test images, attacked, with the largest radius that interval bounds certify. */
export function exhibits(
  model: Model,
  set: DataSet,
  config: EvaluateConfig,
  seed: number,
): Exhibit[] {
  const { images, labels, index } = batchOf(set, set.test, 0, Math.min(SHOWN, set.test.count));
  const { attacked, clean, moved, radii } = withCanonical(model, (canonical) => {
    const job = { model: canonical, images, labels, index, eps: config.eps ?? 0.1, seed };
    const attacked = worstImages(job, listed(config.attack));
    const [clean, moved] = [images, attacked].map((of) => predictions(canonical, of, labels));
    return { attacked, clean, moved, radii: certifiedRadii(canonical, images, labels) };
  });
  const size = images.length / labels.length;
  return Array.from(labels, (label, i) => ({
    index: i,
    label: set.classes[label]!,
    shape: set.shape,
    image: Array.from(images.subarray(i * size, (i + 1) * size)),
    adversarial: Array.from(attacked.subarray(i * size, (i + 1) * size)),
    predicted: set.classes[clean![i]!] ?? 'none',
    predictedAdversarial: set.classes[moved![i]!] ?? 'none',
    certifiedRadius: radii[i]!,
  }));
}

/** Each image as the first attack that breaks it leaves it, or else the last one. */
function worstImages(job: AttackJob, plugIns: readonly PlugIn[]): Float32Array {
  const worst = job.images.slice();
  let open = [...job.labels.keys()];
  const size = worst.length / open.length;
  for (const { name, ...options } of plugIns) {
    if (open.length === 0) break;
    const found = runAttack(lookup(attacks, name, 'attack'), options, pick(job, open));
    for (const [at, i] of open.entries())
      worst.set(found.images.subarray(at * size, (at + 1) * size), i * size);
    open = open.filter((_, at) => found.broken[at] === 0);
  }
  return worst;
}

/** Largest certified L-infinity radius of each image, by bisection to 1/4096. */
function certifiedRadii(model: AnyModel, images: Float32Array, labels: Int32Array): number[] {
  const lo = Array.from(labels, () => 0);
  for (let width = 0.5; width >= 1 / 4096; width /= 2) {
    // One radius a call, so every sample is asked on its own.
    for (let i = 0; i < labels.length; i++) {
      const size = images.length / labels.length;
      const one = images.subarray(i * size, (i + 1) * size);
      const [margin] = leastMargins(model, one, [labels[i]!], lo[i]! + width, { sound: true });
      if (margin! > 0) lo[i]! += width;
    }
  }
  return lo;
}
