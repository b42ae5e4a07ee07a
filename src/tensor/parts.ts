/**
 * Long computations in parts: a generator that yields where its caller may look at the time, at a
 * signal, or let others run, and returns the result. What it computes does not depend on that. Ended
 * early (`return()`), it gives its memory back.
 *
 * A scope of scratch memory stays open while it waits. Others may use the engine meanwhile, as long as
 * they end what they begin: of two computations in parts one must end before the other goes on.
 */
import type { Engine } from '../runtime/engine';

export type Parts<T> = Generator<void, T>;

/** The result of all parts, at once. */
export function whole<T>(parts: Generator<unknown, T>): T {
  for (;;) {
    const { done, value } = parts.next();
    if (done) return value;
  }
}

/** Work that has no parts, as one. */
export const inOnePart = <A extends unknown[], T>(work: (...given: A) => T) =>
  function* (...given: A): Parts<T> {
    const result = work(...given);
    yield;
    return result;
  };

/** `step()` around work in parts, whose result holds no tensors. */
export function* stepInParts<T>(engine: Engine, work: () => Parts<T>): Parts<T> {
  engine.arena.enter();
  try {
    return yield* work();
  } finally {
    engine.arena.leave();
  }
}
