/**
 * Seeded damage to files, and the promise every reader makes about damaged files: an EspalierError
 * or success, in under a second.
 */
import { EspalierError } from '../../src/errors';
import { type Sampler, sampler } from './random';

type Damage = (bytes: Uint8Array, s: Sampler) => Uint8Array;

const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

const splice = (bytes: Uint8Array, from: number, to: number, middle: Uint8Array): Uint8Array => {
  const out = new Uint8Array(from + middle.length + bytes.length - to);
  out.set(bytes.subarray(0, from));
  out.set(middle, from);
  out.set(bytes.subarray(to), from + middle.length);
  return out;
};

const block = (bytes: Uint8Array, s: Sampler): [number, number] => {
  const from = s.whole(bytes.length + 1);
  return [from, Math.min(bytes.length, from + s.whole(32))];
};

const DAMAGES: readonly Damage[] = [
  // Truncation.
  (bytes, s) => bytes.slice(0, s.whole(bytes.length + 1)),
  // A flipped bit.
  (bytes, s) => {
    const out = bytes.slice();
    if (out.length > 0) out[s.whole(out.length)]! ^= 1 << s.whole(8);
    return out;
  },
  // Another byte.
  (bytes, s) => {
    const out = bytes.slice();
    if (out.length > 0) out[s.whole(out.length)] = s.whole(256);
    return out;
  },
  // A block removed, repeated elsewhere, or of noise.
  (bytes, s) => splice(bytes, ...block(bytes, s), new Uint8Array(0)),
  (bytes, s) => {
    const at = s.whole(bytes.length + 1);
    return splice(bytes, at, at, bytes.slice(...block(bytes, s)));
  },
  (bytes, s) => {
    const at = s.whole(bytes.length + 1);
    const noise = Uint8Array.from({ length: 1 + s.whole(8) }, () => s.whole(256));
    return splice(bytes, at, at, noise);
  },
  // A length field blown up: 1, 2, 4 or 8 bytes of an edge value.
  (bytes, s) => {
    const width = 1 << s.whole(4);
    if (bytes.length < width) return bytes;
    const out = bytes.slice();
    const at = s.whole(out.length - width + 1);
    const value = BigInt(EDGES[s.whole(EDGES.length)]!) << (s.whole(4) === 0 ? 32n : 0n);
    for (let i = 0; i < width; i++) out[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
    return out;
  },
];

/** `bytes` with one to four damages. */
export function mutate(bytes: Uint8Array, s: Sampler): Uint8Array {
  let out = bytes;
  for (let i = s.whole(4); i >= 0; i--) out = DAMAGES[s.whole(DAMAGES.length)]!(out, s);
  return out;
}

/** Text with tokens dropped, repeated, swapped or replaced by one of `vocabulary`. */
export function mutateText(text: string, vocabulary: readonly string[], s: Sampler): string {
  const tokens = text.match(/[\w.+-]+|\s+|[^\s\w]/g) ?? [];
  for (let i = s.whole(4); i >= 0; i--) {
    const at = s.whole(tokens.length + 1);
    const word = vocabulary[s.whole(vocabulary.length)] ?? '';
    const other = tokens[s.whole(tokens.length)] ?? word;
    const kind = s.whole(4);
    if (kind === 0) tokens.splice(at, 1 + s.whole(3));
    else if (kind === 1) tokens.splice(at, 0, ...tokens.slice(at, at + s.whole(12)));
    else if (kind === 2) tokens.splice(at, 1, other);
    else tokens.splice(at, s.whole(2), word);
  }
  return tokens.join('');
}

export interface Tally {
  readonly accepted: number;
  readonly refused: number;
  /** Milliseconds of processor time for the slowest file, the better of two runs. */
  readonly slowest: number;
}

/**
 * Gives `rounds` files of `make` to `read`. Throws at the first that raises anything but an
 * EspalierError of one readable message, with the round, so that it can be made again.
 */
export function fuzz<T>(
  rounds: number,
  make: (s: Sampler) => T,
  read: (file: T) => unknown,
  seed = 0,
): Tally {
  let accepted = 0;
  let slowest = 0;
  for (let round = 0; round < rounds; round++) {
    const file = make(sampler(seed + round));
    const run = (): boolean => {
      try {
        read(file);
        return true;
      } catch (error) {
        if (error instanceof EspalierError && error.message.length < 20_000) return false;
        throw new Error(`round ${round}: ${String(error).slice(0, 500)}`, { cause: error });
      }
    };
    const { value, ms } = timed(run);
    if (value) accepted++;
    slowest = Math.max(slowest, ms > 500 ? Math.min(ms, timed(run).ms) : ms);
  }
  return { accepted, refused: rounds - accepted, slowest };
}

/**
 * What `run` gives and the milliseconds of processor time it took (of the clock, other work on the
 * machine would count, too).
 */
export function timed<T>(run: () => T): { value: T; ms: number } {
  const start = process.cpuUsage();
  const value = run();
  const { user, system } = process.cpuUsage(start);
  return { value, ms: (user + system) / 1000 };
}
