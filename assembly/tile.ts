/**
 * The register tile under every product and convolution: up to 4 rows of A times a panel of 8
 * columns of B. Eight accumulators, two vectors of B, one broadcast of A and one product fill
 * 12 of the 16 xmm registers V8 works with.
 *
 * Each element of the result is one chain of multiply-adds over k in increasing order, whatever
 * the number of rows: a row's bits do not depend on the tile it falls into.
 *
 * a: rows a_row bytes apart, elements a_col bytes apart. b: [k][8]. c: rows c_row bytes apart,
 * 8 contiguous columns. Cost: 64 flops in 8 multiply-adds per step, for 6 loads.
 */
import { madd } from './simd';

/** What the chain of an element starts from and ends in; flags. */
export const enum From {
  ZERO = 0,
  C = 1,
  /** bias[column] of 8 columns. */
  COLUMN_BIAS = 2,
  /** bias[row] of the tile's rows. */
  ROW_BIAS = 4,
  /** max(0, sum) is written. */
  RELU = 8,
}

@inline
function start(from: i32, bias: usize, row: usize, half: usize, c: usize): v128 {
  let v = from & From.C ? v128.load(c + half) : f32x4.splat(0);
  if (from & From.COLUMN_BIAS) v = f32x4.add(v, v128.load(bias + half));
  if (from & From.ROW_BIAS) v = f32x4.add(v, v128.load32_splat(bias + row * 4));
  return v;
}

@inline
function tile(
  rows: i32, a: usize, a_row: usize, a_col: usize, b: usize, k: i32,
  c: usize, c_row: usize, from: i32, bias: usize,
): void {
  const c1 = c + c_row, c2 = c1 + c_row, c3 = c2 + c_row;
  let s00 = start(from, bias, 0, 0, c), s01 = start(from, bias, 0, 16, c);
  let s10 = f32x4.splat(0), s11 = f32x4.splat(0), s20 = f32x4.splat(0), s21 = f32x4.splat(0);
  let s30 = f32x4.splat(0), s31 = f32x4.splat(0);
  if (rows > 1) {
    s10 = start(from, bias, 1, 0, c1);
    s11 = start(from, bias, 1, 16, c1);
  }
  if (rows > 2) {
    s20 = start(from, bias, 2, 0, c2);
    s21 = start(from, bias, 2, 16, c2);
  }
  if (rows > 3) {
    s30 = start(from, bias, 3, 0, c3);
    s31 = start(from, bias, 3, 16, c3);
  }
  let a0 = a, a1 = a0 + a_row, a2 = a1 + a_row, a3 = a2 + a_row;
  const end = b + (<usize>k << 5);
  for (; b < end; b += 32) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let v = v128.load32_splat(a0);
    a0 += a_col;
    s00 = madd(v, b0, s00);
    s01 = madd(v, b1, s01);
    if (rows > 1) {
      v = v128.load32_splat(a1);
      a1 += a_col;
      s10 = madd(v, b0, s10);
      s11 = madd(v, b1, s11);
    }
    if (rows > 2) {
      v = v128.load32_splat(a2);
      a2 += a_col;
      s20 = madd(v, b0, s20);
      s21 = madd(v, b1, s21);
    }
    if (rows > 3) {
      v = v128.load32_splat(a3);
      a3 += a_col;
      s30 = madd(v, b0, s30);
      s31 = madd(v, b1, s31);
    }
  }
  if (from & From.RELU) {
    const zero = f32x4.splat(0);
    s00 = f32x4.max(s00, zero);
    s01 = f32x4.max(s01, zero);
    s10 = f32x4.max(s10, zero);
    s11 = f32x4.max(s11, zero);
    s20 = f32x4.max(s20, zero);
    s21 = f32x4.max(s21, zero);
    s30 = f32x4.max(s30, zero);
    s31 = f32x4.max(s31, zero);
  }
  v128.store(c, s00);
  v128.store(c, s01, 16);
  if (rows > 1) {
    v128.store(c1, s10);
    v128.store(c1, s11, 16);
  }
  if (rows > 2) {
    v128.store(c2, s20);
    v128.store(c2, s21, 16);
  }
  if (rows > 3) {
    v128.store(c3, s30);
    v128.store(c3, s31, 16);
  }
}

// Inlined into the nest of loops around it: V8 unrolls an innermost loop by its depth, and on
// Node 20, where every turn of a loop checks the stack, that is worth 18 % of the speed.
@inline
function tile4(
  a: usize, a_row: usize, a_col: usize, b: usize, k: i32,
  c: usize, c_row: usize, from: i32, bias: usize,
): void {
  tile(4, a, a_row, a_col, b, k, c, c_row, from, bias);
}

function tile3(
  a: usize, a_row: usize, a_col: usize, b: usize, k: i32,
  c: usize, c_row: usize, from: i32, bias: usize,
): void {
  tile(3, a, a_row, a_col, b, k, c, c_row, from, bias);
}

function tile2(
  a: usize, a_row: usize, a_col: usize, b: usize, k: i32,
  c: usize, c_row: usize, from: i32, bias: usize,
): void {
  tile(2, a, a_row, a_col, b, k, c, c_row, from, bias);
}

function tile1(
  a: usize, a_row: usize, a_col: usize, b: usize, k: i32,
  c: usize, c_row: usize, from: i32, bias: usize,
): void {
  tile(1, a, a_row, a_col, b, k, c, c_row, from, bias);
}

/**
 * The left 4 columns of HALF rows, as `tile` would compute them. With 8 rows V8 would keep some of
 * the sums in memory.
 */
function half6(
  a: usize, a_row: usize, a_col: usize, b: usize, k: i32,
  c: usize, c_row: usize, from: i32, bias: usize,
): void {
  const c3 = c + c_row * 3;
  let s0 = start(from, bias, 0, 0, c), s1 = start(from, bias, 1, 0, c + c_row);
  let s2 = start(from, bias, 2, 0, c + c_row * 2);
  let s3 = start(from, bias, 3, 0, c3), s4 = start(from, bias, 4, 0, c3 + c_row);
  let s5 = start(from, bias, 5, 0, c3 + c_row * 2);
  const end = b + (<usize>k << 5);
  let a3 = a + a_row * 3;
  for (; b < end; b += 32) {
    const v = v128.load(b);
    s0 = madd(v128.load32_splat(a), v, s0);
    s1 = madd(v128.load32_splat(a + a_row), v, s1);
    s2 = madd(v128.load32_splat(a + a_row * 2), v, s2);
    s3 = madd(v128.load32_splat(a3), v, s3);
    s4 = madd(v128.load32_splat(a3 + a_row), v, s4);
    s5 = madd(v128.load32_splat(a3 + a_row * 2), v, s5);
    a += a_col;
    a3 += a_col;
  }
  end_half(from, c, s0);
  end_half(from, c + c_row, s1);
  end_half(from, c + c_row * 2, s2);
  end_half(from, c3, s3);
  end_half(from, c3 + c_row, s4);
  end_half(from, c3 + c_row * 2, s5);
}

@inline
function end_half(from: i32, c: usize, sum: v128): void {
  v128.store(c, from & From.RELU ? f32x4.max(sum, f32x4.splat(0)) : sum);
}

/** Rows of `multiply_half`. */
export const HALF: i32 = 6;

/**
 * C tile [rows <= HALF, 8] = start + A [rows, k] B [k, 8], of which only the left 4 columns are
 * wanted; the others are written or not.
 */
export function multiply_half(
  rows: i32, a: usize, a_row: usize, a_col: usize, b: usize, k: i32,
  c: usize, c_row: usize, from: i32, bias: usize,
): void {
  if (rows >= HALF) {
    half6(a, a_row, a_col, b, k, c, c_row, from, bias);
    return;
  }
  multiply_once(rows, a, a_row, a_col, b, k, c, c_row, from, bias);
  if (rows <= 4) return;
  const next = from & From.ROW_BIAS ? bias + 16 : bias;
  tile1(a + a_row * 4, a_row, a_col, b, k, c + c_row * 4, c_row, from, next);
}

/** C tile [rows <= 4, 8] = start + A [rows, k] B [k, 8]. */
@inline
export function multiply(
  rows: i32, a: usize, a_row: usize, a_col: usize, b: usize, k: i32,
  c: usize, c_row: usize, from: i32, bias: usize,
): void {
  if (rows >= 4) tile4(a, a_row, a_col, b, k, c, c_row, from, bias);
  else if (rows == 3) tile3(a, a_row, a_col, b, k, c, c_row, from, bias);
  else if (rows == 2) tile2(a, a_row, a_col, b, k, c, c_row, from, bias);
  else tile1(a, a_row, a_col, b, k, c, c_row, from, bias);
}

/** `multiply` as a call, for where it is not the innermost loop of a nest. */
export function multiply_once(
  rows: i32, a: usize, a_row: usize, a_col: usize, b: usize, k: i32,
  c: usize, c_row: usize, from: i32, bias: usize,
): void {
  multiply(rows, a, a_row, a_col, b, k, c, c_row, from, bias);
}
