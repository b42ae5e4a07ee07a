/**
 * Interval bound propagation (IBP, Gowal et al. 2018): boxes, a lower and an upper bound for every value.
 *
 * Affine layers go through centre and radius: c' = W c + b, r' = |W| r. With `sound` the radius also
 * covers two rounding errors of that layer: that of c' itself, and that of the network's own float32
 * execution from any point of the box; so the box contains what the network computes, in any
 * summation order, fused or not, and what exact arithmetic would (docs/numerics.md). It costs no
 * extra product: |W| is applied to r (1 + g) + 2 g |c| instead of r, with g = gamma(terms of a sum).
 */
import { add, affine, lincomb, maximum } from '../tensor/ops/core';
import { abs, clamp } from '../tensor/ops/elementwise';
import { type Outward, toInfSup, toMidRad } from '../tensor/ops/interval';
import { filled, type Tensor } from '../tensor/tensor';
import { type Domain, refuseWinograd } from './domain';
import {
  EXACT,
  joinShare,
  layerError,
  NO_ERROR,
  OUTWARD,
  roundUp,
  U,
  UNDERFLOW,
  widening,
} from './rounding';

/** Elementwise bounds lo <= x <= hi, [n, ...shape] each. */
export interface Box {
  readonly lo: Tensor;
  readonly hi: Tensor;
}

export interface IntervalOptions {
  /** Round outwards. Bounds without it are for training and for comparison with other tools. */
  readonly sound: boolean;
}

export interface BallOptions extends IntervalOptions {
  /** Valid range of inputs, with which the ball is intersected, or null for none. Default [0, 1]. */
  readonly range?: readonly [lo: number, hi: number] | null;
}

/** The L-infinity ball of radius eps around x, intersected with the valid range of inputs. */
export function ball(x: Tensor, eps: number, { sound, range = [0, 1] }: BallOptions): Box {
  const radius = filled(x.engine, x.shape, sound ? roundUp(eps) : eps);
  const [lo, hi] = toInfSup(x, radius, sound ? OUTWARD : EXACT);
  return range ? { lo: clamp(lo, ...range), hi: clamp(hi, ...range) } : { lo, hi };
}

/** The interval domain (IBP). */
export function interval({ sound }: IntervalOptions): Domain<Box> {
  const rounding = sound ? OUTWARD : EXACT;
  return {
    affine(_, w, { lo, hi }) {
      if (sound) refuseWinograd(w);
      if (w.accumulationLength === 0) return { lo: w.apply(lo), hi: w.apply(hi) };
      const { radiusIn, radiusOut, biasFactor } = sound
        ? layerError(w.accumulationLength)
        : NO_ERROR;
      const [c, r] = toMidRad(lo, hi, rounding, radiusIn);
      const bias = sound ? w.bias : undefined;
      const centre = w.apply(c);
      const radius = w.applyAbs(r, bias && affine(abs(bias), biasFactor, 0));
      const [l, h] = toInfSup(centre, radius, rounding, radiusOut);
      return { lo: l, hi: h };
    },
    pointwise({ layer, options }, { lo, hi }) {
      const [low, high] = layer.range?.(lo, hi, options) ?? [
        layer.f(lo, options),
        layer.f(hi, options),
      ];
      const box = { lo: low, hi: high };
      if (!sound || layer.error === 0) return box;
      // The range is computed in float32, as an execution is: both can be off by `error`.
      const times = layer.range ? 2 : 1;
      const inputError = layer.inputError
        ? affine(maximum(abs(lo), abs(hi)), roundUp(times * layer.inputError * U), UNDERFLOW)
        : undefined;
      const widths = widening(times * layer.error * U, times * (layer.absolute ?? 0) * U);
      return widenBox(box, inputError ?? filled(lo.engine, lo.shape, 0), widths);
    },
    join({ layer, options }, boxes) {
      const lo = layer.combine(
        boxes.map((b) => b.lo),
        options,
      );
      const hi = layer.combine(
        boxes.map((b) => b.hi),
        options,
      );
      const roundings = layer.roundings(boxes.length);
      if (!sound || roundings === 0) return { lo, hi };
      // Terms can cancel, so the error is measured against the sum of their sizes.
      const sizes = boxes.map((b) => maximum(abs(b.lo), abs(b.hi)));
      const size = layer.combine(sizes, options);
      const error = affine(size, joinShare(roundings), UNDERFLOW);
      return widenBox({ lo, hi }, add(error, overflowGuard(size)), OUTWARD);
    },
  };
}

/**
 * Is 0 where a size is below 2^80 and NaN from there on. Added to a radius it voids the bound (NaN proves
 * nothing) where a sum could overflow in some order of execution (docs/numerics.md, "Overflow").
 */
export function overflowGuard(size: Tensor): Tensor {
  const large = affine(size, 2 ** 48, 0);
  return lincomb(1, large, -1, large);
}

/** Moves both ends outwards by `radius`, and by the relative and absolute widening of `outward`. */
function widenBox({ lo, hi }: Box, radius: Tensor, outward: Outward): Box {
  return { lo: toInfSup(lo, radius, outward)[0], hi: toInfSup(hi, radius, outward)[1] };
}
