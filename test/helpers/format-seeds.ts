/** Damaged files of the small formats, each from a few sound ones, for the fuzz tests. */
import { deflateSync } from 'fflate';
import { writeCompact } from '../../src/io/compact-write';
import { crc32 } from '../../src/io/crc32';
import { writeNpy } from '../../src/io/npy';
import { writeNpz } from '../../src/io/npz';
import { encode } from '../../src/io/safetensors';
import { writeZip } from '../../src/io/zip';
import { mutate, mutateText } from './mutate';
import type { Sampler } from './random';

const pick = <T>(items: readonly T[], s: Sampler): T => items[s.whole(items.length)]!;

/** A `.npy` file with that header and eight bytes of data, version 1. */
export function npyOf(header: string, data: Uint8Array, version = 1): Uint8Array {
  const text = Buffer.from(header);
  const length = Buffer.alloc(version === 1 ? 2 : 4);
  if (version === 1) length.writeUInt16LE(text.length);
  else length.writeUInt32LE(text.length);
  const magic = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0]);
  return new Uint8Array(Buffer.concat([magic, length, text, data]));
}

const NPY_WORDS = [
  ...['True', 'False', "'<f4'", "'>f8'", "'|O'", "'<i8'", '1', '99999999999999999', '0', '-1'],
  ...['(', ')', ',', '[', ']', '{', '}', "'", '"', "'shape'", "'descr'", ':', 'L'],
];

export function npySeeds(): (s: Sampler) => Uint8Array {
  const files = [
    writeNpy(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]),
    writeNpy(Uint8Array.of(7), []),
    npyOf("{'descr': '>i8', 'fortran_order': True, 'shape': (2, 1), }\n", new Uint8Array(16), 3),
  ];
  const header = "{'descr': '<f2', 'fortran_order': True, 'shape': (2, 2), }\n";
  return (s) =>
    s.whole(2) === 0
      ? mutate(pick(files, s), s)
      : npyOf(mutateText(header, NPY_WORDS, s), new Uint8Array(8), 1 + s.whole(3));
}

export function npzSeeds(): (s: Sampler) => Uint8Array {
  const arrays = new Map([
    ['x', { values: Float32Array.of(1, 2, 3, 4), shape: [2, 2] }],
    ['y', { values: new Uint8Array(300), shape: [300] }],
  ]);
  const files = [writeNpz(arrays), writeNpz(arrays, { compress: false })];
  const npy = npySeeds();
  return (s) =>
    s.whole(2) === 0
      ? mutate(pick(files, s), s)
      : writeZip(new Map([[pick(['a.npy', '__proto__.npy', 'b'], s), npy(s)]]), s.whole(2) === 0);
}

export function safetensorsSeeds(): (s: Sampler) => Uint8Array {
  const file = encode(
    {
      a: { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
      b: { dtype: 'U8', shape: [], data: Uint8Array.of(1) },
    },
    { format: 'pt' },
  );
  const length = new DataView(file.buffer).getUint32(0, true);
  const header = new TextDecoder().decode(file.subarray(8, 8 + length));
  const words = ['{', '}', '[', ']', '"a"', '"b"', '"dtype"', 'F32', '9007199254740993', '-1', ','];
  return (s) => {
    if (s.whole(2) === 0) return mutate(file, s);
    const text = new TextEncoder().encode(mutateText(header, words, s));
    const out = new Uint8Array(8 + text.length + 17);
    new DataView(out.buffer).setUint32(0, text.length, true);
    out.set(text, 8);
    return out;
  };
}

/** `size` elements, of which the given share is 0 and the rest takes nine values. */
export function signed(size: number, zeros: number) {
  const values = Float32Array.from({ length: size }, (_, i) => {
    const hash = (Math.imul(i + 1, 2654435761) >>> 0) / 2 ** 32;
    return hash < zeros ? 0 : ((i % 9) - 4.5) / 4;
  });
  return { shape: [size], values };
}

/** Half of the files have a checksum that holds, so that the damage is met further in. */
export function compactSeeds(): (s: Sampler) => Uint8Array {
  const deflate = (bytes: Uint8Array): Uint8Array => deflateSync(bytes);
  const tensors = new Map([
    ['a.weight', signed(600, 0.9)],
    ['b.weight', { shape: [40, 30], values: signed(1200, 0.99).values }],
    ['a.bias', signed(7, 0)],
  ]);
  const file = writeCompact(tensors, { network: { name: 'x', input: [3], nodes: [] } }, deflate);
  return (s) => {
    const out = mutate(file, s);
    if (s.whole(2) === 0 || out.length < 4) return out;
    const sealed = out.slice();
    const end = sealed.length - 4;
    new DataView(sealed.buffer).setUint32(end, crc32(sealed.subarray(0, end)), true);
    return sealed;
  };
}

export const VNNLIB = `; a property
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(declare-const Y_1 Real)
(assert (>= X_0 -0.5))
(assert (<= X_0 1e-1))
(assert (or (and (<= X_1 1.5) (>= X_1 1)) (and (<= X_1 4) (>= X_1 3) (<= Y_0 0))))
(assert (or (and (<= (+ (* 2 Y_0) (- Y_1)) 3.0) (>= Y_1 Y_0)) (<= Y_0 Y_1)))
`;

/** Two networks of version 2.0 that share their input. */
export const VNNLIB_2 = `(vnnlib-version <2.0>)
(declare-network f (declare-input X_f real [1, 2] "in") (declare-output Y_f real [2] "out"))
(declare-network g (isomorphic-to f) (declare-input X_g real [1, 2]) (declare-output Y_g Float32 [2]))
(assert (and (== X_f[0,0] X_g[0,0]) (== X_f[0,1] X_g[0, 1])))
(assert (and (>= X_f[0,0] -0.5) (<= X_f[0,0] 1e-1) (>= X_g[0,1] 0) (<= X_g[0,1] 2)))
(assert (or (> (- Y_f[0] Y_g[0]) 0.05) (< Y_f[1] (* 2 Y_g[1])) (!= Y_f[0] 1)))
`;

const VNNLIB_WORDS = [
  ...['(', ')', 'and', 'or', '<=', '>=', '+', '-', '*', 'X_0', 'Y_1', 'X_9', '1e999', '0', '-2'],
  ...['assert', 'declare-const', 'Real', '(or', '(and', '(<= X_0 X_1)', '(* Y_0 Y_0)', '()', ';'],
  ...['X_f[0,0]', 'Y_g[1]', 'X_g[0,9]', '[', ']', '"', '"x y"', 'declare-network', '(equal-to f)'],
  ...['(== X_f[0,0] X_g[0,1])', 'f', 'g', '[1, 2]', '[0]', '[99999, 99999]', 'declare-input'],
];

export function vnnlibSeeds(): (s: Sampler) => string {
  return (s) => mutateText(s.whole(2) === 0 ? VNNLIB : VNNLIB_2, VNNLIB_WORDS, s);
}
