/**
 * The mask of the `keep` largest scores, exactly, by radix selection: the bits of an f32 are
 * mapped to an integer of the same order, and the rank-`keep` value is found eight bits at a
 * time from the top. Equal scores (+0 and -0 are equal) are kept from the lowest index up; NaN
 * ranks below -inf. Cost: five passes over the scores.
 */
import { bytes } from './simd';

@inline
function key_of(p: usize): u32 {
  // Adding +0 turns -0 into +0.
  const v = load<f32>(p) + 0;
  if (v != v) return 0;
  const b = reinterpret<u32>(v);
  return b >>> 31 ? ~b : b | 0x80000000;
}

/** mask [n] = 1 for the `keep` largest of scores [n], else 0. One row; work: 256 counts. */
export function mask_top_k(
  n: i32, keep: i32, scores: usize, mask: usize, work: usize, r0: i32, r1: i32,
): void {
  if (r0 >= r1) return;
  if (keep <= 0) {
    memory.fill(mask, 0, bytes(n));
    return;
  }
  let left = min<i32>(keep, n);
  let prefix: u32 = 0;
  let known: u32 = 0;
  for (let shift = 24; shift >= 0; shift -= 8) {
    memory.fill(work, 0, 1024);
    for (let i = 0; i < n; i++) {
      const key = key_of(scores + bytes(i));
      if ((key & known) != prefix) continue;
      const slot = work + bytes((key >>> shift) & 255);
      store<u32>(slot, load<u32>(slot) + 1);
    }
    let digit = 255;
    for (; digit > 0; digit--) {
      const count = load<i32>(work + bytes(digit));
      if (count >= left) break;
      left -= count;
    }
    prefix |= (<u32>digit) << shift;
    known |= (<u32>255) << shift;
  }
  // `left` elements equal to the threshold are still wanted.
  for (let i = 0; i < n; i++) {
    const key = key_of(scores + bytes(i));
    let on = key > prefix;
    if (key == prefix && left > 0) {
      on = true;
      left--;
    }
    store<f32>(mask + bytes(i), on ? 1 : 0);
  }
}
