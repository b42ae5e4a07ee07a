/**
 * Judges a network by the three accuracies: benign, empirical robust (ERA, under an attack) and
 * verifiable robust (VRA, under a verifier), sample by sample, and looks for contradictions: a sample
 * both certified and broken would mean an unsound verifier. Of an attack in another norm only what it
 * finds inside of the verifier's ball counts.
 */
import { type AttackOutcome, outside, runAttack, wrongSamples } from '../attack/attack';
import { attacks } from '../attack/attacks/registry';
import { batchOf } from '../data/batches';
import { fitted } from '../data/layout';
import type { DataSet, Split } from '../data/types';
import type { Norm } from '../domain/balls';
import { lookup } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import { freezeSparsity } from '../nn/freeze';
import { lower } from '../nn/lower';
import { type AnyModel, freeModel, type Model } from '../nn/model';
import type { PlugIn } from '../options';
import { proportion } from '../report/binomial';
import type { Accuracies } from '../report/types';
import { sizeOf } from '../tensor/shape';
import { normOf, type Verdict, verdictsInParts } from '../verify/verifier';
import { verifiers } from '../verify/verifiers/registry';
import { inSlices } from './slices';

/** What is measured and how; limits take the first images of the split, null all of them. */
export interface EvaluateSettings {
  readonly eps: number | null;
  readonly attack: PlugIn;
  readonly attackLimit: number | null;
  readonly verifier: PlugIn;
  readonly verifyLimit: number | null;
  /** Images at once. */
  readonly batch: number;
}

export interface Evaluation {
  readonly accuracies: Accuracies;
  readonly contradictions: number;
}

export interface EvaluateHooks {
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
  readonly seed?: number;
  readonly title?: string;
  /** Verdicts of the first images, where they are known already; then nothing else is verified. */
  readonly verdicts?: readonly KnownVerdict[];
}

export interface KnownVerdict {
  readonly verdict: Verdict['verdict'];
  readonly radius?: number;
  /** Of the ball; default that of the config's verifier. */
  readonly norm?: Norm;
}

const SAVED = 'Nothing is lost: evaluation starts again.';

/** `config.eps` must be resolved. Limits take the first images of the split. */
export async function evaluate(
  model: Model,
  given: DataSet,
  split: Split,
  config: EvaluateSettings,
  { onEvent, signal, seed = 0, title = 'evaluate', verdicts: known }: EvaluateHooks = {},
): Promise<Evaluation> {
  const set = fitted(model, given, onEvent);
  const eps = config.eps ?? 0.1;
  const attack = lookup(attacks, config.attack.name, 'attack');
  const verifier = lookup(verifiers, config.verifier.name, 'verifier');
  const attackTotal = Math.min(split.count, config.attackLimit ?? split.count);
  const verifyTotal = known?.length ?? Math.min(split.count, config.verifyLimit ?? split.count);
  const size = sizeOf(set.shape);
  const counts = { benign: 0, era: 0, vra: 0, contradictions: 0 };
  const canonical = freezeSparsity(lower(model));
  const started = performance.now();
  onEvent?.({ type: 'phase', phase: 'evaluate', title, total: split.count, done: 0 });
  if (!known)
    tellMemory(canonical, Math.min(verifyTotal, config.batch), [config.verifier], onEvent);
  try {
    for (let from = 0; from < split.count; from += config.batch) {
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted) throw new Interrupted(SAVED);
      const to = Math.min(split.count, from + config.batch);
      const { images, labels, index } = batchOf(set, split, from, to);
      const wrong = wrongSamples(canonical, images, labels);
      counts.benign += wrong.reduce((n, w) => n + 1 - w, 0);
      const attacked = Math.max(0, Math.min(to, attackTotal) - from);
      const verified = Math.max(0, Math.min(to, verifyTotal) - from);
      const head = (n: number) => ({
        model: canonical,
        images: images.subarray(0, (images.length / labels.length) * n),
        labels: labels.subarray(0, n),
        index: index.subarray(0, n),
        eps,
      });
      const { broken, images: found } =
        attacked > 0
          ? runAttack(attack, config.attack, { ...head(attacked), seed })
          : { broken: new Uint8Array(), images };
      const verdicts: readonly KnownVerdict[] =
        known?.slice(from, from + verified) ??
        (verified > 0
          ? await inSlices(verdictsInParts(verifier, head(verified), config.verifier), {
              signal,
              saved: SAVED,
            })
          : []);
      for (const b of broken) counts.era += 1 - b;
      const own = normOf(verifier, config.verifier);
      verdicts.forEach(({ verdict, radius = 0, norm = own }, i) => {
        if (verdict === 'certified') counts.vra++;
        else if (radius < eps) return;
        const [x, image] = [images, found].map((all) => all.subarray(i * size, (i + 1) * size));
        const refuted = broken[i] === 1 && outside({ eps, norm }, x!, image!) === undefined;
        // `wrong` is the clean image, which lies in every ball: a point that needs no attack.
        if (wrong[i] === 1 || refuted) counts.contradictions++;
      });
      const rate = (1000 * to) / (performance.now() - started);
      const metrics = { benign: counts.benign / to };
      onEvent?.({ type: 'progress', done: to, total: split.count, rate, unit: 'images', metrics });
    }
  } finally {
    freeModel(canonical);
  }
  return {
    accuracies: {
      benign: proportion(counts.benign, split.count),
      era: proportion(counts.era, attackTotal),
      vra: proportion(counts.vra, verifyTotal),
    },
    contradictions: counts.contradictions,
  };
}

/** Tells how large the batches of verifiers are, and what memory they are taken to need. */
export function tellMemory(
  model: AnyModel,
  images: number,
  plugIns: readonly PlugIn[],
  onEvent: Listener | undefined,
): void {
  for (const { name, ...options } of plugIns) {
    const needs = verifiers[name]?.memoryFor?.(model, images, options);
    if (!needs || images === 0) continue;
    const { samples, bytes } = needs;
    const many = samples === 1 ? 'one image' : `${samples} images`;
    const text = `${name}: ${many} at a time, at most about ${Math.ceil(bytes / 2 ** 20)} MiB`;
    onEvent?.({ type: 'note', text });
  }
}

export function describeMethods(config: EvaluateSettings): { attack: string; verifier: string } {
  const eps = Number((config.eps ?? 0.1).toPrecision(6));
  const attack = lookup(attacks, config.attack.name, 'attack');
  const verifier = lookup(verifiers, config.verifier.name, 'verifier');
  return {
    attack: attack.describe(config.attack, eps),
    verifier: verifier.describe(config.verifier, eps),
  };
}

/** Attacks a few images for the report. */
export function exhibitAttack(
  model: AnyModel,
  images: Float32Array,
  labels: Int32Array,
  config: EvaluateSettings,
  seed: number,
): AttackOutcome {
  const attack = lookup(attacks, config.attack.name, 'attack');
  const index = Int32Array.from(labels, (_, i) => i);
  const eps = config.eps ?? 0.1;
  return runAttack(attack, config.attack, { model, images, labels, index, eps, seed });
}
