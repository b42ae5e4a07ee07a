/**
 * Zonotopes as a forward domain: x = centre + sum of e_i generator_i + box part, with all e_i and those of the
 * box part in [-1, 1] (DeepZ, Singh et al. 2018; hybrid zonotopes, Mirman et al. 2018, "DiffAI"). For training:
 * no roundings are covered, and gradients flow.
 *
 * An affine layer applies to centre and generators, |W| to the box part. A pointwise layer takes the slope of
 * its upper line for all of them, and the band that is left of the function is a new error of every value. For
 * max(x, 0) that is the parallel relaxation, so that with all errors as generators the bounds are those of
 * Fast-Lin and of the dual of Wong and Kolter 2018.
 *
 * What becomes of new errors, and how generators are added up, is one of three `Errors`:
 * exact: a generator each. hybrid: into the box part, which forgets how they cancel. projected: generators are
 * kept as `count` random sums with Cauchy weights, whose median size estimates the sum of sizes (Wong et al.
 * 2018, "Scaling provable adversarial defenses", section 3.2).
 *
 * Deviations: Wong et al. project the errors of every layer apart and add up their medians; here one set of
 * sums holds all errors of a sample, as sums of independent Cauchy variables are Cauchy again.
 * It lives beside the linear bounds, whose relaxations it uses. Cost: a forward pass a generator.
 */
import type { Domain, NodeWith } from '../domain/domain';
import type { Box } from '../domain/interval';
import { biasColumn, marginSpecification, mergeRows, type Network, ownRows } from '../domain/rows';
import type { PointwiseLayer } from '../nn/layer';
import type { Engine } from '../runtime/engine';
import { add, lincomb, mul, neg, reshape, sub, sumAxes } from '../tensor/ops/core';
import { abs, relu } from '../tensor/ops/elementwise';
import { matmul } from '../tensor/ops/product';
import type { RandomKey } from '../tensor/ops/random';
import { concat } from '../tensor/ops/shape';
import { sizeOf } from '../tensor/shape';
import { filled, input, type Tensor } from '../tensor/tensor';
import { cauchy, medianSize } from './cauchy';
import { relax } from './relaxations';

export interface Zonotope {
  /** [n, ...shape]. */
  readonly centre: Tensor;
  /** [n, ...shape], at least 0. */
  readonly box: Tensor;
  /** [n, generators, ...shape]. */
  readonly rows: Tensor;
}

/** What becomes of errors; radii are [n, ...shape]. */
export interface Errors {
  /** Zonotope around a centre with an error of size `radius` in every value. */
  begin(centre: Tensor, radius: Tensor): Zonotope;
  /** The zonotope with a new error of size `radius` in every value. */
  grow(at: Zonotope, radius: Tensor): Zonotope;
  /** Sum of the sizes of all generators, or its estimate: [n, ...shape]. */
  size(rows: Tensor): Tensor;
}

const sumOfSizes = (rows: Tensor): Tensor => {
  const [n, , ...shape] = rows.shape;
  return reshape(sumAxes(abs(rows), 1, 2), [n!, ...shape]);
};

/** A generator for every value: [n, size, ...shape] of radii [n, ...shape]. */
function oneEach(radius: Tensor): Tensor {
  const [n, ...shape] = radius.shape as [number, ...number[]];
  const size = sizeOf(shape);
  const unit = new Float32Array(size * size);
  for (let i = 0; i < size; i++) unit[i * size + i] = 1;
  const rows = mul(input(radius.engine, unit, [size, size]), reshape(radius, [n, 1, size]));
  return reshape(rows, [n, size, ...shape]);
}

const zeros = ({ engine, shape }: Tensor): Tensor => filled(engine, shape, 0);

export const exact: Errors = {
  begin: (centre, radius) => ({ centre, box: zeros(centre), rows: oneEach(radius) }),
  grow: (at, radius) => ({ ...at, rows: concat([at.rows, oneEach(radius)], 1) }),
  size: sumOfSizes,
};

export const hybrid: Errors = {
  ...exact,
  grow: (at, radius) => ({ ...at, box: add(at.box, radius) }),
};

/** Generators as `count` random sums; `key` names the samples. One begins, the others grow, in order. */
export function projected(count: number, key: RandomKey): Errors {
  let layers = 0;
  const random = (radius: Tensor): Tensor => {
    const [n, ...shape] = radius.shape as [number, ...number[]];
    const weights = cauchy(radius.engine, [n, count, ...shape], {
      ...key,
      stream: key.stream + 1000 * layers++,
    });
    return mul(weights, reshape(radius, [n, 1, ...shape]));
  };
  return {
    begin: (centre, radius) => ({ centre, box: zeros(centre), rows: random(radius) }),
    grow: (at, radius) => ({ ...at, rows: add(at.rows, random(radius)) }),
    size: medianSize,
  };
}

/** The box around a zonotope. */
export function boxAround({ centre, box, rows }: Zonotope, errors: Errors): Box {
  const radius = add(box, errors.size(rows));
  return { lo: sub(centre, radius), hi: add(centre, radius) };
}

/** The zonotope of a box of inputs. */
export const zonotopeOf = ({ lo, hi }: Box, errors: Errors): Zonotope =>
  errors.begin(lincomb(0.5, lo, 0.5, hi), lincomb(-0.5, lo, 0.5, hi));

/** The same shape of samples for all generators: [n, m, ...] as [n * m, ...], and back. */
const flat = ({ shape: [n, m, ...rest] }: Tensor): number[] => [n! * m!, ...rest];
const overRows = (rows: Tensor, f: (t: Tensor) => Tensor): Tensor => {
  const y = f(reshape(rows, flat(rows)));
  return reshape(y, [rows.shape[0]!, rows.shape[1]!, ...y.shape.slice(1)]);
};

/** The zonotope domain. */
export function zonotope(errors: Errors): Domain<Zonotope> {
  return {
    affine(node, w, { centre, box, rows }) {
      const { bias } = w;
      const shift = bias && reshape(biasColumn(bias, node.shape), [1, ...node.shape]);
      const linear = (t: Tensor): Tensor => (shift ? sub(w.apply(t), shift) : w.apply(t));
      return { centre: w.apply(centre), box: w.applyAbs(box), rows: overRows(rows, linear) };
    },
    pointwise: (node, x) => throughPointwise(node, x, errors),
    join({ layer, options }, xs) {
      const combine = (parts: readonly Tensor[]): Tensor => layer.combine(parts, options);
      const first = xs[0]!;
      if (layer.pick) {
        // Of a maximum only its box is kept.
        const { lo, hi } = boxAround(first, errors);
        const [low, high] = [combine([lo]), combine([hi])];
        const rows = zeros(overRows(first.rows, (t) => combine([t])));
        const at = { centre: lincomb(0.5, low, 0.5, high), box: zeros(low), rows };
        return errors.grow(at, lincomb(-0.5, low, 0.5, high));
      }
      const all = aligned(xs);
      const [n, m] = first.rows.shape as [number, number];
      const rows = combine(all.map((x) => reshape(x, flat(x))));
      return {
        centre: combine(xs.map(({ centre }) => centre)),
        box: combine(xs.map(({ box }) => box)),
        rows: reshape(rows, [n, all[0]!.shape[1] ?? m, ...rows.shape.slice(1)]),
      };
    },
  };
}

/** Generators of several zonotopes, those that some of them do not have yet as zeros. */
function aligned(xs: readonly Zonotope[]): Tensor[] {
  const most = Math.max(...xs.map(({ rows }) => rows.shape[1]!));
  return xs.map(({ rows }) => {
    const [n, m, ...shape] = rows.shape as [number, number, ...number[]];
    return m === most ? rows : concat([rows, filled(rows.engine, [n, most - m, ...shape], 0)], 1);
  });
}

/** f(x) within slope x + [low, high] over the box: all is scaled, and the band's half width is a new error. */
function throughPointwise(
  node: NodeWith<PointwiseLayer>,
  { centre, box, rows }: Zonotope,
  errors: Errors,
): Zonotope {
  const at = boxAround({ centre, box, rows }, errors);
  const { low, lowOffset, up, upOffset } = relax(node, at, { sound: false, slopes: 'parallel' });
  // The lower line is at least slope x + lowOffset + the least of (low - up) x.
  const turn = sub(low, up);
  const least = sub(mul(relu(turn), at.lo), mul(relu(neg(turn)), at.hi));
  const floor = add(lowOffset, least);
  const moved = {
    centre: add(mul(up, centre), lincomb(0.5, floor, 0.5, upOffset)),
    box: mul(abs(up), box),
    rows: mul(rows, reshape(up, [up.shape[0]!, 1, ...up.shape.slice(1)])),
  };
  return errors.grow(moved, lincomb(-0.5, floor, 0.5, upOffset));
}

/** Lower bounds of z_y - z_j, [n, classes], from the zonotope in front of `lastAffine`, or of the outputs. */
export function zonotopeMargins(
  network: Network,
  { centre, box, rows }: Zonotope,
  labels: ArrayLike<number>,
  errors: Errors,
): Tensor {
  const [n, m] = rows.shape as [number, number];
  const engine: Engine = centre.engine;
  const specification = marginSpecification(engine, labels, sizeOf(network.graph.output));
  const { merged, offsets } = mergeRows(network, specification.matrix);
  const inputs = merged.shape[1]!;
  const middle = matmul(reshape(centre, [n, inputs]), merged, { tb: true, bias: offsets });
  const boxed = matmul(reshape(box, [n, inputs]), abs(merged), { tb: true });
  const spread = matmul(reshape(rows, [n * m, inputs]), merged, { tb: true });
  const sizes = errors.size(reshape(spread, [n, m, merged.shape[0]!]));
  return ownRows(sub(middle, add(boxed, sizes)), specification);
}
