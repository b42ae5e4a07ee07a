/**
 * Elementwise functions of two broadcast arrays: a and b have strides in elements over
 * [d0, d1, d2], where 0 repeats; y is contiguous. Rows are the d0 * d1 innermost lines.
 * y may be a or b where that one is contiguous too. NaN goes through maximum and minimum; the
 * comparisons give 0 for it. Cost: bound by memory for inner strides 0 and 1.
 */
import { bytes, indicator, load_part, store_part } from './simd';

const enum Op {
  ADD,
  SUB,
  MUL,
  DIV,
  MAXIMUM,
  MINIMUM,
  /** By run time: what may be slow shares one copy of the loops. */
  COMPARE,
}

/** Which of a > b and a == b make 1. */
const enum Take {
  GREATER = 1,
  EQUAL = 2,
}

@inline
function apply(op: Op, take: i32, a: v128, b: v128): v128 {
  if (op == Op.ADD) return f32x4.add(a, b);
  if (op == Op.SUB) return f32x4.sub(a, b);
  if (op == Op.MUL) return f32x4.mul(a, b);
  if (op == Op.DIV) return f32x4.div(a, b);
  if (op == Op.MAXIMUM) return f32x4.max(a, b);
  if (op == Op.MINIMUM) return f32x4.min(a, b);
  const greater = take & Take.GREATER ? f32x4.gt(a, b) : f32x4.splat(0);
  return indicator(take & Take.EQUAL ? v128.or(greater, f32x4.eq(a, b)) : greater);
}

/** One line of which both inner strides are 0 or 1. A repeated operand is loaded once, ahead. */
@inline
function line(
  op: Op, take: i32, count: i32, a: usize, move_a: bool, b: usize, move_b: bool, y: usize,
): void {
  const av = v128.load32_splat(a);
  const bv = v128.load32_splat(b);
  const end = bytes(count);
  let i: usize = 0;
  for (; i + 16 <= end; i += 16) {
    const u = move_a ? v128.load(a + i) : av;
    v128.store(y + i, apply(op, take, u, move_b ? v128.load(b + i) : bv));
  }
  if (i < end) {
    const rest = <i32>((end - i) >> 2);
    const u = move_a ? load_part(a + i, rest) : av;
    store_part(y + i, apply(op, take, u, move_b ? load_part(b + i, rest) : bv), rest);
  }
}

@inline
function broadcast(
  op: Op, take: i32, d1: i32, d2: i32, a: usize, a0: i32, a1: i32, a2: i32,
  b: usize, b0: i32, b1: i32, b2: i32, y: usize, r0: i32, r1: i32,
): void {
  if (d2 == 0 || r0 >= r1) return;
  let i0 = r0 / d1;
  let i1 = r0 % d1;
  for (let r = r0; r < r1; r++) {
    const pa = a + bytes(i0 * a0 + i1 * a1);
    const pb = b + bytes(i0 * b0 + i1 * b1);
    const py = y + bytes(r) * d2;
    if (a2 == 1 && b2 == 1) line(op, take, d2, pa, true, pb, true, py);
    else if ((a2 | b2) == 1) line(op, take, d2, pa, a2 == 1, pb, b2 == 1, py);
    else {
      for (let j = 0; j < d2; j++) {
        const u = v128.load32_zero(pa + bytes(j * a2)), v = v128.load32_zero(pb + bytes(j * b2));
        v128.store32_lane(py + bytes(j), apply(op, take, u, v), 0);
      }
    }
    if (++i1 == d1) {
      i1 = 0;
      i0++;
    }
  }
}

function add_(
  d0: i32, d1: i32, d2: i32, a: usize, a0: i32, a1: i32, a2: i32,
  b: usize, b0: i32, b1: i32, b2: i32, y: usize, r0: i32, r1: i32,
): void {
  broadcast(Op.ADD, 0, d1, d2, a, a0, a1, a2, b, b0, b1, b2, y, r0, r1);
}

function sub_(
  d0: i32, d1: i32, d2: i32, a: usize, a0: i32, a1: i32, a2: i32,
  b: usize, b0: i32, b1: i32, b2: i32, y: usize, r0: i32, r1: i32,
): void {
  broadcast(Op.SUB, 0, d1, d2, a, a0, a1, a2, b, b0, b1, b2, y, r0, r1);
}

function mul_(
  d0: i32, d1: i32, d2: i32, a: usize, a0: i32, a1: i32, a2: i32,
  b: usize, b0: i32, b1: i32, b2: i32, y: usize, r0: i32, r1: i32,
): void {
  broadcast(Op.MUL, 0, d1, d2, a, a0, a1, a2, b, b0, b1, b2, y, r0, r1);
}

function div_(
  d0: i32, d1: i32, d2: i32, a: usize, a0: i32, a1: i32, a2: i32,
  b: usize, b0: i32, b1: i32, b2: i32, y: usize, r0: i32, r1: i32,
): void {
  broadcast(Op.DIV, 0, d1, d2, a, a0, a1, a2, b, b0, b1, b2, y, r0, r1);
}

export function maximum(
  d0: i32, d1: i32, d2: i32, a: usize, a0: i32, a1: i32, a2: i32,
  b: usize, b0: i32, b1: i32, b2: i32, y: usize, r0: i32, r1: i32,
): void {
  broadcast(Op.MAXIMUM, 0, d1, d2, a, a0, a1, a2, b, b0, b1, b2, y, r0, r1);
}

export function minimum(
  d0: i32, d1: i32, d2: i32, a: usize, a0: i32, a1: i32, a2: i32,
  b: usize, b0: i32, b1: i32, b2: i32, y: usize, r0: i32, r1: i32,
): void {
  broadcast(Op.MINIMUM, 0, d1, d2, a, a0, a1, a2, b, b0, b1, b2, y, r0, r1);
}

function compare(
  take: i32, d1: i32, d2: i32, a: usize, a0: i32, a1: i32, a2: i32,
  b: usize, b0: i32, b1: i32, b2: i32, y: usize, r0: i32, r1: i32,
): void {
  broadcast(Op.COMPARE, take, d1, d2, a, a0, a1, a2, b, b0, b1, b2, y, r0, r1);
}

/** a > b ? 1 : 0. */
export function greater(
  d0: i32, d1: i32, d2: i32, a: usize, a0: i32, a1: i32, a2: i32,
  b: usize, b0: i32, b1: i32, b2: i32, y: usize, r0: i32, r1: i32,
): void {
  compare(Take.GREATER, d1, d2, a, a0, a1, a2, b, b0, b1, b2, y, r0, r1);
}

/** a >= b ? 1 : 0. */
export function greater_equal(
  d0: i32, d1: i32, d2: i32, a: usize, a0: i32, a1: i32, a2: i32,
  b: usize, b0: i32, b1: i32, b2: i32, y: usize, r0: i32, r1: i32,
): void {
  compare(Take.GREATER | Take.EQUAL, d1, d2, a, a0, a1, a2, b, b0, b1, b2, y, r0, r1);
}

/** a == b ? 1 : 0. */
export function equal(
  d0: i32, d1: i32, d2: i32, a: usize, a0: i32, a1: i32, a2: i32,
  b: usize, b0: i32, b1: i32, b2: i32, y: usize, r0: i32, r1: i32,
): void {
  compare(Take.EQUAL, d1, d2, a, a0, a1, a2, b, b0, b1, b2, y, r0, r1);
}

// The plain names are compiler built-ins inside this file.
export { add_ as add, sub_ as sub, mul_ as mul, div_ as div };
