/**
 * Attribution of a linear bound's looseness to the inputs: how much of what the relaxations of unstable neurons can
 * cost a row comes from the width of each input. Input splitting halves the input that has the most.
 *
 * Neuron i, whose two lines are at most `band_i` apart over its box, costs a row at most |a_i| band_i, a_i the row's
 * coefficient of its output. The share of input j in that is its share |G_ij| / (sum |G_ik| + r_i) in the range of the
 * neuron, where x = c + G e + r [-1, 1], e in [-1, 1]^inputs, is the affine form of the pre-activation: generators go
 * forward through the layers along the upper lines, and half of each band joins r. Estimates, not bounds: nothing
 * here is rounded outwards, and nothing is proved by it.
 *
 * Cost: inputs + 2 forward passes a sample, and one product of coefficients and shares a row.
 */
import type { NodeWith } from '../domain/domain';
import type { GraphNode } from '../nn/graph';
import type { AffineLayer, JoinLayer } from '../nn/layer';
import { add, lincomb, maximum, mul, reshape, sub } from '../tensor/ops/core';
import { abs } from '../tensor/ops/elementwise';
import { sizeOf } from '../tensor/shape';
import { filled, input, type Tensor } from '../tensor/tensor';
import { type BoundContext, boxOf, operatorAt, samplesOf } from './context';
import type { Relaxation } from './relaxations';

/** Coefficients [rows, values] of a backward pass, by position of the pointwise node behind them; -1 is the input. */
export type ObservedCoefficients = ReadonlyMap<number, Float32Array>;

/** An affine form of a node's values: generators [n * inputs, ...shape], sample after sample, and radius [n, ...shape]. */
interface Form {
  readonly generators: Tensor;
  readonly radius: Tensor;
}

/**
 * Looseness of rows by input, [rows, inputs]; row r is of sample `sample[r]`. Rows that `wanted` leaves out are 0.
 * Runs in the `step()` of the bounds.
 */
export function attribution(
  context: BoundContext,
  observed: ObservedCoefficients,
  sample: Int32Array,
  wanted: (row: number) => boolean,
): Float32Array {
  const inputs = sizeOf(context.graph.network.input);
  const found = new Float32Array(sample.length * inputs);
  const rows = Array.from(sample.keys()).filter(wanted);
  const forms = new Map<number, Form>([[-1, inputForm(context, inputs)]]);
  for (const [v, node] of context.graph.nodes.entries()) {
    const from = node.inputs.map((i) => forms.get(i)!);
    const relaxation = context.cache.get(v)?.relaxation;
    const coefficients = observed.get(v);
    if (!relaxation) {
      forms.set(v, linearForm(context, node, from));
      continue;
    }
    const band = bandOf(context, node, relaxation);
    forms.set(v, relaxedForm(from[0]!, relaxation, band));
    if (!coefficients) continue;
    const shares = sharesOf(from[0]!, band, inputs);
    const size = sizeOf(node.shape);
    for (const r of rows)
      addShares(
        found.subarray(r * inputs, (r + 1) * inputs),
        coefficients.subarray(r * size, (r + 1) * size),
        shares.subarray(sample[r]! * inputs * size, (sample[r]! + 1) * inputs * size),
      );
  }
  return found;
}

/** The box of the inputs: one generator each. */
function inputForm(context: BoundContext, inputs: number): Form {
  const { engine, graph, set } = context;
  const n = samplesOf(context);
  const [lo, hi] = [set.box.lo.read(), set.box.hi.read()];
  const units = new Float32Array(n * inputs * inputs);
  for (let at = 0; at < n * inputs; at++)
    units[at * inputs + (at % inputs)] = (hi[at]! - lo[at]!) / 2;
  return {
    generators: input(engine, units, [n * inputs, ...graph.network.input]),
    radius: filled(engine, [n, ...graph.network.input], 0),
  };
}

function linearForm(context: BoundContext, node: GraphNode, from: readonly Form[]): Form {
  if (node.layer.role === 'affine') {
    const w = operatorAt(context, node as NodeWith<AffineLayer>);
    const zero = w.apply(filled(context.engine, [1, ...node.inputShapes[0]!], 0));
    const [{ generators, radius }] = from as [Form];
    return { generators: sub(w.apply(generators), zero), radius: w.applyAbs(radius) };
  }
  const { options } = node;
  const layer = node.layer as JoinLayer;
  // Of a maximum every input counts as if it were the one.
  const generators = from.map((form) => (layer.pick ? abs(form.generators) : form.generators));
  const radii = from.map(({ radius }) => radius);
  return { generators: layer.combine(generators, options), radius: layer.combine(radii, options) };
}

/** The largest distance between the two lines of each neuron over its box, [n, ...shape]. */
function bandOf(context: BoundContext, node: GraphNode, relaxation: Relaxation): Tensor {
  const { low, lowOffset, up, upOffset } = relaxation;
  const { lo, hi } = boxOf(context, node.inputs[0]!);
  const [slope, offset] = [sub(up, low), sub(upOffset, lowOffset)];
  return add(maximum(mul(slope, lo), mul(slope, hi)), offset);
}

/** The form behind an activation, along its upper line. */
function relaxedForm({ generators, radius }: Form, { up }: Relaxation, band: Tensor): Form {
  const n = radius.shape[0]!;
  const size = radius.size / n;
  const inputs = generators.shape[0]! / n;
  const moved = mul(reshape(generators, [n, inputs, size]), reshape(up, [n, 1, size]));
  return {
    generators: reshape(moved, generators.shape),
    radius: lincomb(1, mul(radius, abs(up)), 0.5, band),
  };
}

/** band |G| / (sum |G| + r), [n, inputs, size]; 0 where that is no number. */
function sharesOf({ generators, radius }: Form, band: Tensor, inputs: number): Float32Array {
  const sizes = abs(generators).read();
  const [r, b] = [radius.read(), band.read()];
  const n = radius.shape[0]!;
  const size = r.length / n;
  for (let i = 0; i < n; i++)
    for (let k = 0; k < size; k++) {
      let total = r[i * size + k]!;
      for (let j = 0; j < inputs; j++) total += sizes[(i * inputs + j) * size + k]!;
      const share = b[i * size + k]! / total;
      const factor = share > 0 && Number.isFinite(share) ? share : 0;
      for (let j = 0; j < inputs; j++) sizes[(i * inputs + j) * size + k]! *= factor;
    }
  return sizes;
}

/** Adds sum over neurons of |a_i| share_ij to a row of `inputs` numbers. */
function addShares(into: Float32Array, row: Float32Array, shares: Float32Array): void {
  const size = row.length;
  for (let j = 0; j < into.length; j++) {
    let sum = 0;
    for (let k = 0; k < size; k++) sum += Math.abs(row[k]!) * shares[j * size + k]!;
    into[j]! += sum;
  }
}
