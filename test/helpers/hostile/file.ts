/** What a hostile file is to the harness, and what several kinds of them are made of. */
import { encode, type TensorInput } from '../../../src/io/safetensors';
import type { Sampler } from '../random';

/** Files by name in a folder of their own, and the command line that reads them there. */
export interface Hostile {
  /** What is done to the reader, in a few words. */
  readonly name: string;
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  readonly argv: readonly string[];
}

/** A kind of file: hand-made traps, and damage without end. */
export interface Kind {
  readonly traps: () => readonly Hostile[];
  readonly damaged?: (s: Sampler) => Hostile;
}

/** Largest file: what a stranger sends without a thought. */
export const MOST_BYTES = 100_000;

/** Sequences of terminals (CSI, OSC, a C1 control), an override of direction, a lone surrogate. */
export const ESCAPES = '\x1b[31mred\x1b]0;title\x07\x9b2J\rback\u202eevil\ud800';
export const LONG = 'n'.repeat(90_000);
export const NESTED = `${'['.repeat(20_000)}1${']'.repeat(20_000)}`;
export const NESTED_OBJECT = `${'{"a":'.repeat(11_000)}1${'}'.repeat(11_000)}`;
/** Names that are special somewhere in JavaScript, or on a disk. */
export const NAMES = [
  ...['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'then', '', ' ', '.', '..', '/'],
  ...['../../etc/passwd', 'a\0b', ESCAPES, LONG, '-'.repeat(80_000), `${'-'.repeat(80_000)}a`],
  ...['input', 'output', 'network', '<script>alert(1)</script>', '%s%n', '\u{1f600}'.repeat(9000)],
];

export const list = <T>(count: number, item: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => item(i));

export const pick = <T>(items: readonly T[], s: Sampler): T => items[s.whole(items.length)]!;

/** One of our model files: the network as JSON text, so that it may be no network at all. */
export function modelFile(
  network: string,
  tensors: Readonly<Record<string, TensorInput>> = {},
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  return encode(tensors, { format: 'espalier/1', network, ...metadata });
}

export const f32 = (shape: readonly number[], value = 0.5): TensorInput => ({
  dtype: 'F32',
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value),
});

/** A dense classifier, over means of `pool` x `pool` pixels where that is given. */
export const denseModel = (input: readonly number[], units: number, pool = 1): Uint8Array => {
  const size = input.reduce((a, b) => a * b, 1) / pool ** 2;
  const nodes = [
    ...(pool > 1 ? [{ name: 'pool', layer: 'avg-pool', options: { kernel: pool } }] : []),
    { name: 'flat', layer: 'flatten' },
    { name: 'fc', layer: 'dense', options: { units } },
  ];
  return modelFile(JSON.stringify({ name: 'small', input, nodes }), {
    'fc.weight': f32([units, size], 0.01),
    'fc.bias': f32([units], 0),
  });
};

/** Bytes of a safetensors file with that header, and `rest` bytes of zeros behind. */
export function withHeader(header: string, rest = 0): Uint8Array {
  const text = new TextEncoder().encode(header);
  const out = new Uint8Array(8 + text.length + rest);
  new DataView(out.buffer).setUint32(0, text.length, true);
  out.set(text, 8);
  return out;
}
