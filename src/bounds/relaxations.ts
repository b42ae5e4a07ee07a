/**
 * Linear relaxations of a pointwise layer over boxes: low x + lowOffset <= f(x) <= up x + upOffset for every
 * x in [lo, hi], from the layer's own `relax` in f64, one call a value (those of max(x, 0) written out).
 *
 * With `sound` slopes and offsets in float32 still enclose f, and all that float32 does on the way:
 * a slope rounded to float32 moves the offset by what that can matter in the box, the product of a
 * coefficient and a slope is off by u, an execution's f by the layer's `error`; offsets are rounded
 * outwards last (docs/numerics.md, "Linear bounds").
 *
 * Gradients: closed for functions with one breakpoint, central differences in f64 for the others, so an
 * activation's author writes none. Cost: about 100 ns a value, 10 ns of max(x, 0).
 */

import type { NodeWith } from '../domain/domain';
import type { Box } from '../domain/interval';
import {
  F32_UP,
  F64_SHARE,
  pointwiseError,
  roundDown,
  SLOPE_PRODUCT,
  UNDERFLOW,
} from '../domain/rounding';
import type { PointwiseLayer } from '../nn/layer';
import { mul } from '../tensor/ops/core';
import { record } from '../tensor/tape';
import { empty, input, type Tensor } from '../tensor/tensor';

/**
 * Lower slopes of unstable neurons. adaptive: 1 or 0, whichever leaves less area (CROWN, Zhang et
 * al. 2018); parallel: that of the upper line (Fast-Lin, Weng et al. 2018, and the dual of Wong and
 * Kolter 2018); zero: the smallest.
 */
export type Slopes = 'adaptive' | 'parallel' | 'zero';
export const SLOPES = ['adaptive', 'parallel', 'zero'] as const satisfies readonly Slopes[];

/** Tables shaped like the box. */
export interface Relaxation {
  readonly low: Tensor;
  readonly lowOffset: Tensor;
  readonly up: Tensor;
  readonly upOffset: Tensor;
  /**
   * 1 for unstable neurons of layers with a breakpoint, whose lower slope may be any between the two there, else
   * 0; undefined for other layers.
   */
  readonly unstable: Float32Array | undefined;
}

export interface RelaxOptions {
  readonly sound: boolean;
  readonly slopes: Slopes;
}

type Four = [low: number, lowOffset: number, up: number, upOffset: number];
type Node = NodeWith<PointwiseLayer>;
const UNKNOWN: Four = [Number.NaN, Number.NaN, Number.NaN, Number.NaN];

const isUnstable = (lo: number, hi: number): boolean => lo < 0 && hi > 0;

/** The relaxation of exact arithmetic. */
function relaxationOf({ layer, options }: Node, lo: number, hi: number, slopes: Slopes): Four {
  const [low, lowOffset, up, upOffset] = layer.relax(lo, hi, options);
  const [below] = layer.breakpointSlopes?.(options) ?? [];
  if (below === undefined || slopes === 'adaptive' || !isUnstable(lo, hi))
    return [low, lowOffset, up, upOffset];
  return [slopes === 'zero' ? below : up, 0, up, upOffset];
}

/** Rounding of a line, and of what meets it. */
interface Rounding {
  /** Error of an execution's f. */
  readonly own: number;
  /** Slope of the steepest line whose product with a coefficient the offset has to cover. */
  readonly steepest: number;
  /** The largest |f| and |x| over the box. */
  readonly value: number;
  readonly size: number;
}

/** An offset with which the line, its slope rounded, lies no less far in one direction. */
function shift(slope: number, offset: number, lo: number, hi: number, sign: 1 | -1, r: Rounding) {
  const rounded = Math.fround(slope);
  const plain = (slope === 0 || slope === 1) && offset === 0;
  const slack = plain
    ? 0
    : F64_SHARE * (Math.abs(slope) * r.size + Math.abs(offset) + r.value) + UNDERFLOW;
  const product = Math.max(r.steepest, slope === 0 || slope === 1 ? 0 : Math.abs(slope));
  const [p, q] = [(slope - rounded) * lo, (slope - rounded) * hi];
  const moved = sign > 0 ? Math.max(p, q) : Math.min(p, q);
  return offset + moved + sign * (slack + r.own + SLOPE_PRODUCT * product * r.size);
}

/** A relaxation in float32, rounded outwards. */
function outward({ layer, options }: Node, lo: number, hi: number, exact: Four): Four {
  const [low, lowOffset, up, upOffset] = exact;
  const size = Math.max(Math.abs(lo), Math.abs(hi));
  // Between the lines lies f, so the greater of these is at least |f| where f is not monotone.
  const value = layer.range
    ? Math.max(
        ...[lo, hi].flatMap((x) => [Math.abs(low * x + lowOffset), Math.abs(up * x + upOffset)]),
      )
    : Math.max(Math.abs(layer.scalar(lo, options)), Math.abs(layer.scalar(hi, options)));
  const slopes = layer.breakpointSlopes?.(options) ?? [];
  const off = layer.error * value + (layer.inputError ?? 0) * size + (layer.absolute ?? 0);
  const rounding = {
    own: pointwiseError(off),
    // An unstable neuron's slope may be any between the two: its product is rounded like that of the larger.
    steepest: isUnstable(lo, hi) ? Math.max(0, ...slopes.map(Math.abs)) : 0,
    value,
    size,
  };
  return [
    Math.fround(low),
    roundDown(shift(low, lowOffset, lo, hi, -1, rounding)),
    Math.fround(up),
    -roundDown(-shift(up, upOffset, lo, hi, 1, rounding)),
  ];
}

/**
 * Relaxation of max(x, 0) for unstable neurons, where nearly all of the time would go: what `roundedRelaxation`
 * gives for slopes 0 and 1, to a rounding outwards.
 */
function rectified(
  [a, b, c, d]: Tables,
  i: number,
  lo: number,
  hi: number,
  { sound, slopes }: RelaxOptions,
): void {
  const chord = hi / (hi - lo);
  const offset = -lo * chord;
  const low = slopes === 'parallel' ? chord : slopes === 'adaptive' && hi > -lo ? 1 : 0;
  a[i] = low;
  c[i] = chord;
  if (!sound) {
    d[i] = offset;
    return;
  }
  const size = Math.max(hi, -lo);
  const product = SLOPE_PRODUCT * size;
  const moved = Math.abs(chord - c[i]!) * size;
  const slack = F64_SHARE * (chord * size + offset + hi) + UNDERFLOW;
  b[i] = -((product + (low === chord ? moved + slack : 0)) * F32_UP + UNDERFLOW);
  d[i] = (offset + moved + slack + product) * F32_UP + UNDERFLOW;
}

/** Relaxation of one pointwise node over the boxes in front of it. */
export function relax(node: Node, { lo, hi }: Box, options: RelaxOptions): Relaxation {
  const { engine, shape, size } = lo;
  const four = Array.from({ length: 4 }, () => empty(engine, shape));
  const [low, high] = [engine.memory.f32(lo.ptr, size), engine.memory.f32(hi.ptr, size)];
  const tables = four.map((t) => engine.memory.f32(t.ptr, size)) as Tables;
  for (const table of tables) table.fill(0);
  const [below, above] = exactSlopes(node);
  const isRectifier = below === 0 && above === 1;
  const [a, , c] = tables;
  for (let i = 0; i < size; i++) {
    const [p, q] = [low[i]!, high[i]!];
    // Most values are on one side of a breakpoint; only slopes 0 and 1 are exact in float32.
    if (below !== undefined && q <= 0 && p > -LARGE) a[i] = c[i] = below;
    else if (above !== undefined && p >= 0 && q < LARGE) a[i] = c[i] = above;
    else if (isRectifier && p < 0 && q > 0 && q - p < LARGE) rectified(tables, i, p, q, options);
    // Ends may cross by a rounding where bounds of two origins meet.
    else fill(tables, i, roundedRelaxation(node, Math.min(p, q), Math.max(p, q), options));
  }
  const rates = memo(() => ratesOf(node, lo.read(), hi.read(), options.slopes));
  const [y0, y1, y2, y3] = four.map((y, k) => {
    const pull = (end: 0 | 1) =>
      moves(node, k, options.slopes)
        ? (g: Tensor) => mul(g, input(engine, rates()[2 * k + end]!, shape))
        : null;
    return record(y, [lo, hi], [pull(0), pull(1)]);
  });
  const unstable = memo(() => node.layer.breakpointSlopes && unstableValues(lo.read(), hi.read()));
  return {
    ...{ low: y0!, lowOffset: y1!, up: y2!, upOffset: y3! },
    get unstable() {
      return unstable();
    },
  };
}

/** 1 where a box holds numbers of both signs. */
const unstableValues = (low: Float32Array, high: Float32Array): Float32Array =>
  low.map((p, i) => (isUnstable(Math.min(p, high[i]!), Math.max(p, high[i]!)) ? 1 : 0));

type Tables = [Float32Array, Float32Array, Float32Array, Float32Array];
const LARGE = 2 ** 127;

function fill(tables: Tables, i: number, four: Four): void {
  for (let k = 0; k < 4; k++) tables[k]![i] = four[k]!;
}

function roundedRelaxation(
  node: Node,
  lo: number,
  hi: number,
  { sound, slopes }: RelaxOptions,
): Four {
  if (!Number.isFinite(hi - lo)) return UNKNOWN;
  const exact = relaxationOf(node, lo, hi, slopes);
  return sound ? outward(node, lo, hi, exact) : exact;
}

/** The slopes below and above a breakpoint, where a line of that slope is the function and is exact. */
function exactSlopes({ layer, options }: Node): readonly (number | undefined)[] {
  if (layer.error > 0) return [];
  const isExact = (slope: number | undefined): boolean => slope === 0 || slope === 1;
  const [below, above] = layer.breakpointSlopes?.(options) ?? [];
  return [isExact(below) ? below : undefined, isExact(above) ? above : undefined];
}

/** True if the two lines over a box differ, that is, where tighter boxes could help. */
export function isLoose(node: Node, lo: number, hi: number): boolean {
  if (node.layer.breakpointSlopes) return isUnstable(lo, hi) || !(hi >= lo);
  const [low, lowOffset, up, upOffset] = node.layer.relax(lo, hi, node.options);
  return !(low === up && lowOffset === upOffset);
}

function memo<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** True if number k of the four depends on the box: of lower lines at a breakpoint only parallel slopes do. */
const moves = ({ layer }: Node, k: number, slopes: Slopes): boolean =>
  !layer.breakpointSlopes || k >= 2 || (k === 0 && slopes === 'parallel');

/** Derivatives of the four numbers by lo and by hi: [low by lo, low by hi, lowOffset by lo, ...]. */
function ratesOf(node: Node, low: Float32Array, high: Float32Array, slopes: Slopes) {
  const atBreakpoint = node.layer.breakpointSlopes?.(node.options);
  if (atBreakpoint) return breakpointRates(atBreakpoint, low, high);
  const rates = Array.from({ length: 8 }, () => new Float32Array(low.length));
  for (let i = 0; i < low.length; i++) {
    const [lo, hi] = [low[i]!, high[i]!];
    if (!(hi > lo)) continue;
    const eight = differences((a, b) => relaxationOf(node, a, b, slopes), lo, hi);
    eight.forEach((rate, k) => {
      rates[k]![i] = rate;
    });
  }
  return rates;
}

/**
 * Derivatives of the chord's slope (t hi - s lo) / (hi - lo) and of its offset hi (t - slope) by the ends; a
 * lower slope that moves is the chord's.
 */
function breakpointRates(
  [s, t]: readonly [number, number],
  low: Float32Array,
  high: Float32Array,
): Float32Array[] {
  const [byLo, byHi, offsetByLo, offsetByHi] = Array.from(
    { length: 4 },
    () => new Float32Array(low.length),
  ) as [Float32Array, Float32Array, Float32Array, Float32Array];
  for (let i = 0; i < low.length; i++) {
    const [lo, hi] = [low[i]!, high[i]!];
    if (!isUnstable(lo, hi)) continue;
    const width = hi - lo;
    const [p, q] = [((t - s) * hi) / width ** 2, ((s - t) * lo) / width ** 2];
    byLo[i] = p;
    byHi[i] = q;
    offsetByLo[i] = -hi * p;
    offsetByHi[i] = t - (t * hi - s * lo) / width - hi * q;
  }
  return [byLo, byHi, byLo, byHi, byLo, byHi, offsetByLo, offsetByHi];
}

function differences(f: (lo: number, hi: number) => Four, lo: number, hi: number): number[] {
  const h = 1e-4 * (hi - lo);
  const [a, b] = [f(lo - h, hi), f(lo + h, hi)];
  const [c, d] = [f(lo, hi - h), f(lo, hi + h)];
  return a.flatMap((_, k) => [(b[k]! - a[k]!) / (2 * h), (d[k]! - c[k]!) / (2 * h)]);
}
