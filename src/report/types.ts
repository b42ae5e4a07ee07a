/**
 * What a run leaves behind, as plain JSON: `summary.json` is a `Summary`.
 *
 * All accuracies are fractions with their counts and a 95 % Clopper-Pearson interval; nothing here
 * depends on the engine, so reports can be made from files alone.
 */

/** A measured proportion. `value = correct / total`, `[lo, hi]` its 95 % confidence interval. */
export interface Proportion {
  readonly value: number;
  readonly correct: number;
  readonly total: number;
  readonly lo: number;
  readonly hi: number;
}

/** The three accuracies of one network: benign, under attack, under a verifier. */
export interface Accuracies {
  readonly benign: Proportion;
  readonly era: Proportion;
  readonly vra: Proportion;
}

/** One prunable weight tensor of the pruned network. */
export interface LayerSummary {
  readonly name: string;
  readonly shape: readonly number[];
  readonly weights: number;
  readonly nonzero: number;
  /** Fraction kept, in [0, 1]. */
  readonly density: number;
  /** Multiply-adds an image, dense and on the non-zeros. */
  readonly macs: number;
  readonly macsNonzero: number;
}

/** The three accuracies by their short names. */
export const ACCURACIES = ['benign', 'era', 'vra'] as const;
export type Accuracy = (typeof ACCURACIES)[number];

/** A method of several with its share, in images of each network. */
export interface MethodCounts {
  readonly name: string;
  readonly description: string;
  readonly dense: number;
  readonly pruned: number;
}

export interface Summary {
  readonly schema: 'espalier-summary/1';
  readonly name: string;
  readonly dense: Accuracies;
  readonly pruned: Accuracies;
  /** Pruned over dense, each in [0, ...); NaN-free: null where the dense accuracy is 0. */
  readonly retained: {
    readonly benign: number | null;
    readonly era: number | null;
    readonly vra: number | null;
  };
  /** Fraction of prunable weights (convolution and dense kernels) that are zero. */
  readonly sparsity: number;
  /** Samples both certified and successfully attacked, over both networks: must be 0. */
  readonly contradictions: number;
  readonly layers: readonly LayerSummary[];
  readonly bytes: {
    /** Parameters as float32. */
    readonly dense: number;
    /** Non-zero prunable weights as float32 plus 4-byte column indices, plus the rest as float32. */
    readonly pruned: number;
    /** The pruned model file, deflated. */
    readonly deflated: number;
  };
  /** Images a second of plain inference on this machine, one call a batch. */
  readonly imagesPerSecond: { readonly dense: number; readonly pruned: number };
  /** Of several, names and settings in order. */
  readonly attack: { readonly name: string; readonly description: string };
  readonly verifier: { readonly name: string; readonly description: string };
  /** Where there are several: in the order they were tried, with the images each broke that those before did not. */
  readonly attacks?: readonly MethodCounts[];
  /** The same of verifiers: the images each certified that those before did not. */
  readonly verifiers?: readonly MethodCounts[];
  /** Signs that ERA of the pruned network says less than it seems; absent where there are none. */
  readonly suspicions?: readonly {
    readonly kind: string;
    /** Images that show it. */
    readonly images: number;
    /** In words. */
    readonly text: string;
  }[];
  readonly provenance: {
    readonly espalier: string;
    readonly node: string;
    readonly binary: 'simd' | 'relaxed';
    readonly threads: number;
    readonly seed: number;
    readonly data: {
      readonly name: string;
      readonly source: string;
      readonly sha256: string;
      readonly train: number;
      readonly heldOut: number;
      readonly test: number;
    };
    readonly extraData: boolean;
    readonly config: unknown;
    readonly startedAt: string;
    readonly finishedAt: string;
    /** Seconds of computing, without the time the run lay stopped. */
    readonly seconds: number;
  };
}

/** One line of `journal.jsonl` about an epoch of training. */
export interface EpochRecord {
  readonly event: 'epoch';
  readonly phase: 'pretrain' | 'prune' | 'finetune' | 'control';
  /** Pruning round, 0 for pre-training. */
  readonly round: number;
  /** 1-based epoch within its phase. */
  readonly epoch: number;
  /** 1-based epoch over the whole run. */
  readonly overall: number;
  readonly loss: number;
  readonly learningRate: number;
  /** Objective's own scalars at the end of the epoch: eps, kappa, natural accuracy, ... */
  readonly metrics: Readonly<Record<string, number>>;
  /** On the held-out split: accuracy and the objective's robust accuracy, fractions. */
  readonly heldOut: { readonly benign: number; readonly robust: number };
  readonly seconds: number;
  readonly imagesPerSecond: number;
}

/** Weights of one layer before and after, as counts over equal bins of [min, max]. */
export interface HistogramPair {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly dense: readonly number[];
  /** Non-zero weights only. */
  readonly pruned: readonly number[];
}

/** A test image with what the attack and the verifier say of the pruned network. */
export interface Exhibit {
  readonly index: number;
  readonly label: string;
  readonly shape: readonly [number, number, number];
  /** Pixels in [0, 1], [C, H, W] row-major. */
  readonly image: readonly number[];
  readonly adversarial: readonly number[];
  readonly predicted: string;
  readonly predictedAdversarial: string;
  /** Largest certified L-infinity radius found by bisection, 0 if none. */
  readonly certifiedRadius: number;
}

/** Everything `report.html` shows. */
export interface ReportData {
  readonly summary: Summary;
  readonly epochs: readonly EpochRecord[];
  readonly histograms: readonly HistogramPair[];
  readonly exhibits: readonly Exhibit[];
}

/** Accuracies on the held-out images, in [0, 1]. */
export interface HeldOutAccuracies {
  readonly benign: number;
  /** In the objective's own sense. */
  readonly robust: number;
}

/** A layer that lost its filters of the smallest scores. */
export interface SensitivityPoint extends HeldOutAccuracies {
  /** Filters removed, and their share in (0, 1). */
  readonly removed: number;
  readonly share: number;
  /** Share of the network's prunable weights that went with them. */
  readonly weights: number;
}

export interface LayerSensitivity {
  /** Layers whose filters go together: one, or residual partners. */
  readonly layers: readonly string[];
  readonly filters: number;
  /** By rising share. */
  readonly points: readonly SensitivityPoint[];
}

/** Of layers to the loss of their filters (sensitivity.ts). */
export interface Sensitivity {
  readonly objective: string;
  /** By which filters were chosen. */
  readonly score: string;
  /** Held-out images that the accuracies are of. */
  readonly images: number;
  /** Of the whole network. */
  readonly whole: HeldOutAccuracies;
  readonly layers: readonly LayerSensitivity[];
}
