/**
 * Events that a run tells while it works: the one stream below progress bars, JSONL lines and any other
 * observer. The recipe emits; it never prints.
 */

/** The phases of a run and of the other long jobs. */
export type Phase =
  | 'data'
  | 'pretrain'
  | 'prune'
  | 'finetune'
  | 'control'
  | 'evaluate'
  | 'verify'
  | 'certify'
  | 'check'
  | 'smooth'
  | 'sweep'
  | 'report';

/** A phase begins, or goes on from `done` after a resume. OneHotRows are the phase's own, e.g. images. */
export interface PhaseEvent {
  readonly type: 'phase';
  readonly phase: Phase;
  readonly title: string;
  readonly total: number;
  readonly done: number;
}

/** Work done so far in the phase that began last; `rate` is units a second. */
export interface ProgressEvent {
  readonly type: 'progress';
  readonly done: number;
  readonly total: number;
  readonly rate: number;
  readonly unit: string;
  readonly metrics: Readonly<Record<string, number>>;
}

/**
 * A sentence worth keeping on the screen. A fault is output that could not be made, though the work is
 * done and stays: the exit code says so in the end.
 */
export interface MessageEvent {
  readonly type: 'note' | 'warning' | 'fault';
  readonly text: string;
}

export type RunEvent = PhaseEvent | ProgressEvent | MessageEvent;

export type Listener = (event: RunEvent) => void;

/** Flag that a long job looks at to know that it should stop: an `AbortSignal` is one. */
export interface StopSignal {
  readonly aborted: boolean;
}

/**
 * Raised by a run whose `signal` was aborted, after its state was saved: no failure, and no bug.
 * Deliberately not an `EspalierError`, as nothing was wrong.
 */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  /** `saved` says what was saved and where, as one sentence for the user. */
  constructor(readonly saved: string) {
    super(`interrupted. ${saved}`);
  }
}
