/** Philox4x32-10 and the fills made of it, in BigInt and f64: the reference for random.ts. */

const MASK = 0xffffffffn;
const UNIT = 2 ** -24;

export function philox(counter: ArrayLike<number>, key: ArrayLike<number>): number[] {
  let [c0, c1, c2, c3] = Array.from(counter, (v) => BigInt(v >>> 0)) as [
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  let [k0, k1] = Array.from(key, (v) => BigInt(v >>> 0)) as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const a = c0 * 0xd2511f53n;
    const b = c2 * 0xcd9e8d57n;
    [c0, c1, c2, c3] = [(b >> 32n) ^ c1 ^ k0, b & MASK, (a >> 32n) ^ c3 ^ k1, a & MASK];
    k0 = (k0 + 0x9e3779b9n) & MASK;
    k1 = (k1 + 0xbb67ae85n) & MASK;
  }
  return [c0, c1, c2, c3].map(Number);
}

/** seed_lo, seed_hi, stream. */
type Seed = readonly [number, number, number];

/** The 24 high bits of word j of row `id`. */
function bits(j: number, [lo, hi, stream]: Seed, id: number): number {
  return philox([j >>> 2, id, stream, 0], [lo, hi])[j & 3]! >>> 8;
}

export function uniforms(cols: number, seed: Seed, id: number, lo: number, hi: number): number[] {
  return Array.from({ length: cols }, (_, j) => lo + (hi - lo) * bits(j, seed, id) * UNIT);
}

export function normals(cols: number, seed: Seed, id: number, mean: number, std: number): number[] {
  return Array.from({ length: cols }, (_, j) => {
    const pair = j & ~1;
    const radius = Math.sqrt(-2 * Math.log((bits(pair, seed, id) + 1) * UNIT));
    const angle = 2 * Math.PI * bits(pair + 1, seed, id) * UNIT;
    return mean + std * radius * (j & 1 ? Math.sin(angle) : Math.cos(angle));
  });
}
