/** Work in parts on the event loop: signals and timers get their turn between parts. */
import { Interrupted, type StopSignal } from '../events';

/** Milliseconds of work between two turns of the event loop. */
const SLICE = 50;

export interface SliceOptions {
  readonly signal?: StopSignal | undefined;
  /** What an interruption leaves behind, as one sentence for the user. */
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
