/** Work in parts on the event loop: signals and timers get their turn between parts. */
import { Interrupted, type Listener, type Phase, type StopSignal } from '../events';

/** Milliseconds of work between two turns of the event loop. */
const SLICE = 50;

export interface SliceOptions {
  readonly signal?: StopSignal | undefined;
  /** Sentence for the user that says what an interruption leaves behind. */
  readonly saved: string;
}

/** Lets others run if this has worked for a slice of time, or has just begun. */
export function sharing(): () => Promise<void> {
  let last = Number.NEGATIVE_INFINITY;
  return async () => {
    if (performance.now() - last < SLICE) return;
    await new Promise((resolve) => setImmediate(resolve));
    last = performance.now();
  };
}

/**
 * The result of all parts. One engine takes one such work at a time.
 *
 * Raises Interrupted, with the work ended, as soon as the signal is aborted.
 */
export async function inSlices<T>(
  parts: Generator<unknown, T>,
  { signal, saved }: SliceOptions,
): Promise<T> {
  const share = sharing();
  try {
    for (;;) {
      await share();
      if (signal?.aborted) throw new Interrupted(saved);
      const { done, value } = parts.next();
      if (done) return value;
    }
  } finally {
    parts.return(undefined as T);
  }
}

export interface InTurn<R> extends SliceOptions {
  readonly phase: Phase;
  /** Of the items, as in `12 images`. */
  readonly unit: string;
  /** Items that were done before. */
  readonly before?: number;
  /** Numbers worth showing, from the results so far. */
  metrics(results: readonly R[]): Readonly<Record<string, number>>;
  readonly onEvent?: Listener | undefined;
}

/**
 * The results of the items, one after the other, while the event loop has its turn and progress is told.
 *
 * Raises Interrupted between two items once the signal is aborted.
 */
export async function inTurn<T, R>(
  items: readonly T[],
  told: InTurn<R>,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const { phase, unit, before = 0, metrics, onEvent, signal } = told;
  const results: R[] = [];
  const total = before + items.length;
  const started = performance.now();
  onEvent?.({ type: 'phase', phase, title: phase, total, done: before });
  for (const item of items) {
    await new Promise((resolve) => setImmediate(resolve));
    if (signal?.aborted) throw new Interrupted(told.saved);
    results.push(await work(item));
    const done = before + results.length;
    const rate = (1000 * results.length) / (performance.now() - started);
    onEvent?.({ type: 'progress', done, total, rate, unit, metrics: metrics(results) });
  }
  return results;
}
