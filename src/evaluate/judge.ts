/**
 * The three accuracies with a cascade of verifiers in the place of one, and certified radii: first
 * the certification, shared among processes and resumable, then clean and attacked accuracy, which
 * looks for contradictions with it.
 */

import { fitted } from '../data/layout';
import type { DataSet } from '../data/types';
import { lookup } from '../errors';
import type { Listener, StopSignal } from '../events';
import { freezeSparsity } from '../nn/freeze';
import { lower } from '../nn/lower';
import { freeModel, type Model } from '../nn/model';
import type { PlugIn } from '../options';
import { certifiedCurve, type RadiusCurve } from '../report/radius';
import { normOf } from '../verify/verifier';
import { verifiers } from '../verify/verifiers/registry';
import { BLOCK, type Certification, certify, type Shard } from './certify-run';
import { type EvaluateSettings, type Evaluation, evaluate, tellMemory } from './evaluate';

export interface CertifiedBy {
  readonly name: string;
  readonly description: string;
  /** Samples it certified, which those before it left unknown. */
  readonly certified: number;
  readonly seconds: number;
}

export interface Judgement extends Evaluation {
  readonly verifiers: readonly CertifiedBy[];
  readonly radii?: RadiusCurve;
  readonly samples: Certification['samples'];
}

export interface JudgeJob {
  readonly verifiers: readonly PlugIn[];
  readonly radius: boolean;
  /** Folder of the journals. */
  readonly dir: string;
  /** SHA-256 of the model file, and how it was read. */
  readonly identity: unknown;
  readonly shard: Shard;
  readonly startOthers?: () => Promise<void>;
}

/** `config.evaluate.eps` is resolved. Of a shard the verdicts are its own only, and nothing else is done. */
export async function judge(
  model: Model,
  given: DataSet,
  config: { readonly evaluate: EvaluateSettings; readonly seed: number },
  job: JudgeJob,
  hooks: { readonly onEvent?: Listener; readonly signal?: StopSignal },
): Promise<Judgement | undefined> {
  const set = fitted(model, given, hooks.onEvent);
  const split = set.test;
  const eps = config.evaluate.eps ?? 0.1;
  const total = Math.min(split.count, config.evaluate.verifyLimit ?? split.count);
  const canonical = freezeSparsity(lower(model));
  let certification: Certification;
  try {
    const identity = { model: job.identity, data: set.sha256 };
    hooks.onEvent?.({ type: 'phase', phase: 'verify', title: 'certify', total, done: 0 });
    tellMemory(canonical, Math.min(total, BLOCK), job.verifiers, hooks.onEvent);
    certification = await certify(
      { model: canonical, set, split, eps, verifiers: job.verifiers, radius: job.radius },
      { ...job, ...hooks, identity, total },
    );
  } finally {
    freeModel(canonical);
  }
  if (job.shard.count > 1 && !job.startOthers) return undefined;
  const { samples, seconds } = certification;
  const norms = new Map(
    job.verifiers.map(({ name, ...options }) => [
      name,
      normOf(lookup(verifiers, name, 'verifier'), options),
    ]),
  );
  const evaluation = await evaluate(model, set, split, config.evaluate, {
    ...hooks,
    seed: config.seed,
    verdicts: samples.map(({ by, ...one }) => ({ ...one, norm: norms.get(by)! })),
  });
  const counted = job.verifiers.map(({ name, ...options }): CertifiedBy => {
    const certified = samples.filter((s) => s.by === name && s.verdict === 'certified').length;
    const description = lookup(verifiers, name, 'verifier').describe(options, eps);
    return { name, description, certified, seconds: seconds[name] ?? 0 };
  });
  const radii = job.radius ? { radii: certifiedCurve(samples.map((s) => s.radius ?? 0)) } : {};
  return { ...evaluation, verifiers: counted, samples, ...radii };
}
