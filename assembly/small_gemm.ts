/**
 * The product of gemm.ts without its tiles, for the small binary: the last margins of a certificate
 * are all it is for. The same chains, hence the same bits. Cost: about a quarter of the tiles' speed.
 */
import { bytes, madd } from './simd';

/** c [m, n] = A B (+ bias [n]) (+ c), as in gemm.ts. Rows are m. */
export function gemm(
  m: i32, n: i32, k: i32, a: usize, a_row: i32, a_col: i32, packed: usize, bias: usize,
  c: usize, accumulate: i32, relu: i32, work: usize, r0: i32, r1: i32,
): void {
  const down = bytes(k) << 3;
  for (let r = r0; r < r1; r++) {
    const source = a + bytes(a_row) * r;
    let to = c + bytes(n) * r;
    for (let j = 0; j < n; j++, to += 4) {
      let p = packed + down * (j >> 3) + bytes(j & 7);
      let s = f32x4.splat(accumulate ? load<f32>(to) : 0);
      if (bias) s = f32x4.add(s, v128.load32_splat(bias + bytes(j)));
      let q = source;
      for (let i = 0; i < k; i++, p += 32, q += bytes(a_col)) {
        s = madd(v128.load32_splat(q), v128.load32_splat(p), s);
      }
      const v = f32x4.extract_lane(s, 0);
      store<f32>(to, relu ? max<f32>(v, 0) : v);
    }
  }
}
