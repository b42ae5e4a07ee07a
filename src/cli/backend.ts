/**
 * What the commands ask of the floors below, in terms of files, configs and plain results. The real
 * one is `wiring.ts`, loaded when a command first needs it; tests hand in their own.
 */

import type { ImageBounds } from '../evaluate/bounds';
import type {
  Certified,
  CertifyOptions,
  Checked,
  CheckFilesOptions,
} from '../evaluate/certificates';
import type { Evaluation } from '../evaluate/records';
import type { SmoothOptions, SmoothResult } from '../evaluate/smooth';
import type { FolderOptions } from '../evaluate/store';
import type { FileVerdict, VerifyFileJob } from '../evaluate/verify';
import type { VnncompOptions, VnncompResult } from '../evaluate/vnncomp';
import type { Listener, StopSignal } from '../events';
import type { ModelFile, ReadOptions } from '../io/read';
import type { BenchRow } from '../measure/bench';
import type { Fit } from '../measure/fit';
import type { Inspection } from '../measure/inspect';
import type { PlanView } from '../measure/plan-view';
import type { PlugIn } from '../options';
import type { Compacted, CompactJob } from '../recipe/compact';
import type { Config } from '../recipe/config';
import type { Conversion } from '../recipe/convert';
import type { RunDir } from '../recipe/run-dir';
import type { SensitivityJob } from '../recipe/sensitivity';
import type { JobEstimate } from '../recipe/sweep/estimate';
import type { SweepOptions } from '../recipe/sweep/execute';
import type { Plan } from '../recipe/sweep/plan';
import type { SweepResult } from '../report/sweep-types';
import type { Sensitivity, Summary } from '../report/types';
import type { Engine, LoadOptions } from '../runtime/engine';

export type EngineHandle = Pick<Engine, 'info' | 'close'>;

/** Hooks by which a long job tells how far it is, and is told to stop. */
export interface Hooks {
  readonly onEvent: Listener;
  readonly signal: StopSignal;
}

export interface Backend {
  load(options: Pick<LoadOptions, 'threads' | 'binary'>): Promise<EngineHandle>;
  compress(config: Config, job: Hooks & RunJob): Promise<Summary>;
  /** The first phase of a run. */
  pretrain(config: Config, job: Hooks & RunJob): Promise<void>;
  /** Does the jobs of a sweep that are not done, by an executor, and sums up. */
  sweep(plan: Plan, options: SweepOptions): Promise<SweepResult>;
  /** Work and time of a sweep on this machine, before it runs. */
  estimate(engine: EngineHandle, plan: Plan, hooks: Hooks): Promise<readonly JobEstimate[]>;
  prune(engine: EngineHandle, job: Hooks & PruneJob): Promise<Inspection>;
  finetune(engine: EngineHandle, job: Hooks & FinetuneJob): Promise<Inspection>;
  /** Evaluates; of a runner that does only a share, what is known so far. */
  evaluate(engine: EngineHandle, job: Hooks & EvaluateJob): Promise<Evaluation>;
  bounds(engine: EngineHandle, job: Hooks & BoundsJob): Promise<readonly ImageBounds[]>;
  smooth(engine: EngineHandle, job: Hooks & SmoothJob): Promise<SmoothResult>;
  certify(engine: EngineHandle, job: Hooks & CertifyJob): Promise<readonly Certified[]>;
  check(engine: EngineHandle, job: Hooks & CheckJob): Promise<readonly Checked[]>;
  verify(engine: EngineHandle, job: Hooks & VerifyFileJob): Promise<FileVerdict>;
  /** Every instance of a benchmark folder. */
  vnncomp(engine: EngineHandle, job: Hooks & VnncompOptions): Promise<VnncompResult>;
  /** With `plan`, its plans too, measured. */
  inspect(engine: EngineHandle, model: string, as: ReadOptions, plan?: PlanJob): Promise<Inspected>;
  /** Accuracies as each layer loses filters; with a page in the place `out`. */
  sensitivity(engine: EngineHandle, job: Hooks & SensitivityFileJob): Promise<Sensitivity>;
  convert(engine: EngineHandle, from: string, to: OutFile, as: ReadOptions): Promise<Conversion>;
  compact(engine: EngineHandle, job: CompactJob): Promise<Compacted>;
  /** The config recorded in a model file, or undefined. */
  recordedConfig(model: string): Promise<unknown>;
  benchmark(engine: EngineHandle, options: { seconds: number }): Promise<readonly BenchRow[]>;
  /** Costs of plans on this machine, written to `out` if given. */
  fit(engine: EngineHandle, options: { seconds: number } & Partial<OutFile>): Promise<Fit>;
  /** Float32 matrix product in GFLOP/s, measured for about `seconds`. */
  productSpeed(engine: EngineHandle, seconds: number): Promise<number>;
  /** Which of the built-in binaries this runtime can compile. */
  binaries(): Promise<{ simd: boolean; relaxed: boolean }>;
}

/** A file to write; what is there already stays unless it is to be replaced. */
export interface OutFile {
  readonly out: string;
  readonly replace?: boolean;
}

/** A model in a file, of whatever format. */
export interface ModelJob {
  readonly model: string;
  /** For models of other tools. */
  readonly as: ReadOptions;
}

export interface Inspected extends Inspection, Partial<Pick<ModelFile, 'format' | 'notes'>> {
  readonly plan?: PlanView;
}

export interface PlanJob {
  readonly batch: number;
  readonly seconds: number;
  /** A file of fitted costs. */
  readonly costs?: string;
}

export interface SensitivityFileJob
  extends ModelJob,
    Partial<OutFile>,
    Omit<SensitivityJob, keyof Hooks> {}

export interface RunJob {
  readonly dir: RunDir;
  readonly engine: EngineHandle;
  /** Run with whose phases a new one begins. */
  readonly from?: string | undefined;
}

export interface PruneJob extends ModelJob, OutFile {
  readonly strategy: PlugIn;
  readonly sparsity: number;
  readonly seed: number;
}

export interface FinetuneJob extends ModelJob, OutFile {
  readonly config: Config;
}

export interface EvaluateJob extends ModelJob {
  /** `data`, `seed` and `evaluate` count, the latter with its `eps` resolved. */
  readonly config: Config;
  /** In the place of the config's one. */
  readonly verifiers?: readonly PlugIn[];
  /** True where certified radii are searched. */
  readonly radius?: boolean;
  readonly runner?: PlugIn;
  /** Folder of journals, and the number of this process among those that write there. */
  readonly folder?: Pick<FolderOptions, 'dir' | 'writer'>;
}

export interface BoundsJob extends ModelJob {
  readonly data: Config['data'];
  /** Positions in the test split. */
  readonly indices: readonly number[];
  readonly eps: number;
  readonly method: PlugIn;
}

export interface SmoothJob extends ModelJob, Omit<SmoothOptions, keyof Hooks> {
  readonly data: Config['data'];
}

export interface CertifyJob extends ModelJob, Omit<CertifyOptions, keyof Hooks> {
  readonly data: Config['data'];
}

export interface CheckJob extends ModelJob, Omit<CheckFilesOptions, keyof Hooks> {}
