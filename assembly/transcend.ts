/**
 * exp, log, sigmoid, tanh and the normal distribution of two f64 lanes, and of four f32 lanes through them.
 *
 * Why f64 inside: the f32 results are then correctly rounded but for about one case in 10^5
 * (error below 0.501 ulp, measured in test/assembly/unary.test.ts), and sigmoid and tanh are
 * monotone, which interval bounds take for granted: neighbouring f32 arguments move either
 * function by far more than the error made here, and where the functions saturate that error
 * shrinks with the same factor as the slope. Only plain multiplications and additions are used,
 * so that both binaries give the same bits.
 *
 * Method: exp by reduction modulo ln 2 and the Taylor polynomial of degree 11 on |r| <= ln2 / 2
 * (truncation 1.4e-14 relative); log by exponent extraction and the atanh series (2e-14). The tail of the
 * normal distribution is its density times Mills' ratio R: (|x| + 3) R(|x|) is a polynomial of degree 14
 * in (|x| - 3) / (|x| + 3), fitted at Chebyshev's points (5e-11 relative).
 * Cost: about 20 flops a lane.
 */

// 1.5 * 2^52: adding it leaves the rounded integer in the low bits of the mantissa.
const MAGIC: f64 = 6755399441055744.0;
const LOG2E: f64 = 1.4426950408889634;
const LN2_HI: f64 = 6.93147180369123816490e-1;
const LN2_LO: f64 = 1.90821492927058770002e-10;

/** p * x + c. */
@inline
export function step(p: v128, x: v128, c: f64): v128 {
  return f64x2.add(f64x2.mul(p, x), f64x2.splat(c));
}

/** ((p x + a) x + b) x + c: three steps of a polynomial. */
@inline
export function steps(p: v128, x: v128, a: f64, b: f64, c: f64): v128 {
  return step(step(step(p, x, a), x, b), x, c);
}

/** exp for arguments in [-700, 700] or NaN. */
@inline
export function exp_f64(x: v128): v128 {
  const shifted = f64x2.add(f64x2.mul(x, f64x2.splat(LOG2E)), f64x2.splat(MAGIC));
  const k = f64x2.sub(shifted, f64x2.splat(MAGIC));
  let r = f64x2.sub(x, f64x2.mul(k, f64x2.splat(LN2_HI)));
  r = f64x2.sub(r, f64x2.mul(k, f64x2.splat(LN2_LO)));
  let p = steps(f64x2.splat(1.0 / 39916800.0), r, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0);
  p = steps(p, r, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0);
  p = steps(p, r, 1.0 / 24.0, 1.0 / 6.0, 0.5);
  p = step(step(p, r, 1.0), r, 1.0);
  // 2^k: k's low bits, biased, moved into the exponent. A NaN stays one through the product.
  const scale = i64x2.shl(i64x2.add(shifted, i64x2.splat(1023)), 52);
  return f64x2.mul(p, scale);
}

/** log of a positive normal f64, +-0 (-inf), +inf, negative (NaN) or NaN. */
@inline
export function log_f64(x: v128): v128 {
  // Subtracting the bits of sqrt(1/2) first puts the mantissa into [sqrt(1/2), sqrt(2)).
  const from_half = i64x2.sub(x, i64x2.splat(0x3fe6a09e667f3bcd));
  const e_bits = i64x2.shr_s(from_half, 52);
  const m = i64x2.sub(x, i64x2.shl(e_bits, 52));
  const e = f64x2.sub(i64x2.add(e_bits, i64x2.splat(0x4338000000000000)), f64x2.splat(MAGIC));
  const one = f64x2.splat(1);
  const s = f64x2.div(f64x2.sub(m, one), f64x2.add(m, one));
  const z = f64x2.mul(s, s);
  let p = steps(f64x2.splat(2.0 / 17.0), z, 2.0 / 15.0, 2.0 / 13.0, 2.0 / 11.0);
  p = steps(p, z, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0);
  p = step(step(p, z, 2.0 / 3.0), z, 2.0);
  let y = f64x2.add(f64x2.mul(e, f64x2.splat(LN2_LO)), f64x2.mul(s, p));
  y = f64x2.add(f64x2.mul(e, f64x2.splat(LN2_HI)), y);
  y = v128.bitselect(x, y, f64x2.eq(x, f64x2.splat(f64.POSITIVE_INFINITY)));
  y = v128.bitselect(f64x2.splat(f64.NEGATIVE_INFINITY), y, f64x2.eq(x, f64x2.splat(0)));
  // Negative or NaN: neither is >= 0.
  return v128.bitselect(y, f64x2.splat(NaN), f64x2.ge(x, f64x2.splat(0)));
}

@inline
export function log_scalar(x: f64): f64 {
  return f64x2.extract_lane(log_f64(f64x2.splat(x)), 0);
}

/** Clamps so that exp stays far from f64's limits, yet far outside of f32's. NaN passes. */
@inline
function clamp_exponent(x: v128): v128 {
  return f64x2.max(f64x2.min(x, f64x2.splat(110)), f64x2.splat(-110));
}

@inline
function sigmoid_f64(x: v128): v128 {
  const one = f64x2.splat(1);
  return f64x2.div(one, f64x2.add(one, exp_f64(clamp_exponent(f64x2.neg(x)))));
}

@inline
function tanh_f64(x: v128): v128 {
  const one = f64x2.splat(1);
  const e = exp_f64(clamp_exponent(f64x2.add(x, x)));
  const far = f64x2.sub(one, f64x2.div(f64x2.splat(2), f64x2.add(e, one)));
  // Near zero the difference cancels: x - x^3/3 + 2x^5/15 (next term 4e-11 relative at 0.03).
  const z = f64x2.mul(x, x);
  const p = step(step(f64x2.splat(2.0 / 15.0), z, -1.0 / 3.0), z, 1.0);
  const small = f64x2.lt(f64x2.abs(x), f64x2.splat(0.03));
  return v128.bitselect(f64x2.mul(x, p), far, small);
}

/** The standard normal distribution function, relatively exact in its lower tail too. */
@inline
function normal_f64(x: v128): v128 {
  const one = f64x2.splat(1);
  // NaN passes; beyond 15 the tail is 0 in f32.
  const t = f64x2.min(f64x2.abs(x), f64x2.splat(15));
  const shifted = f64x2.add(t, f64x2.splat(3));
  const u = f64x2.div(f64x2.sub(t, f64x2.splat(3)), shifted);
  let p = f64x2.splat(2.477528791584228e-6);
  p = steps(p, u, 9.181576207155935e-7, -1.8584982911717523e-5, -1.8187767025335798e-5);
  p = steps(p, u, 7.711461790475081e-5, 0.0001575970995959323, -0.00025586529261647313);
  p = steps(p, u, -0.0010470157567140138, 0.0010274416301017163, 0.006972855945094409);
  p = steps(p, u, -0.01046285300755551, -0.04726304613628108, 0.23001771959837802);
  p = step(step(p, u, -0.5093319813631503), u, 0.7290836901333753);
  const density = exp_f64(f64x2.mul(f64x2.mul(t, t), f64x2.splat(-0.5)));
  const tail = f64x2.div(f64x2.mul(density, p), shifted);
  return v128.bitselect(tail, f64x2.sub(one, tail), f64x2.lt(x, f64x2.splat(0)));
}

@inline
function low(x: v128): v128 {
  return f64x2.promote_low_f32x4(x);
}

@inline
function high(x: v128): v128 {
  return f64x2.promote_low_f32x4(upper(x));
}

@inline
export function upper(x: v128): v128 {
  return v128.shuffle<i64>(x, x, 1, 1);
}

@inline
export function narrow(lo: v128, hi: v128): v128 {
  return v128.shuffle<i64>(f32x4.demote_f64x2_zero(lo), f32x4.demote_f64x2_zero(hi), 0, 2);
}

export function exp_f32(x: v128): v128 {
  return narrow(exp_f64(clamp_exponent(low(x))), exp_f64(clamp_exponent(high(x))));
}

export function log_f32(x: v128): v128 {
  return narrow(log_f64(low(x)), log_f64(high(x)));
}

export function sigmoid_f32(x: v128): v128 {
  return narrow(sigmoid_f64(low(x)), sigmoid_f64(high(x)));
}

export function tanh_f32(x: v128): v128 {
  return narrow(tanh_f64(low(x)), tanh_f64(high(x)));
}

export function normal_f32(x: v128): v128 {
  return narrow(normal_f64(low(x)), normal_f64(high(x)));
}
