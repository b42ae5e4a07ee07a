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
import { takeRows } from '../tensor/ops/shape';
import { sizeOf } from '../tensor/shape';
import { filled, input, step, type Tensor } from '../tensor/tensor';
import { type BoundContext, boxOf, operatorAt } from './context';
import type { Relaxation } from './relaxations';

/** Coefficients [rows, values] of a backward pass, by position of the pointwise node behind them; -1 is the input. */
export type ObservedCoefficients = ReadonlyMap<number, Float32Array>;

/** Numbers of the forms of all nodes that stand in memory at once: 16 MiB. */
const NUMBERS = 1 << 22;

/** An affine form of a node's values: generators [n * inputs, ...shape], sample after sample, and radius [n, ...shape]. */
interface Form {
  readonly generators: Tensor;
  readonly radius: Tensor;
}

/**
 * Looseness of `rows` by input, [rows, inputs]; row r is of sample `sample[r]`. Other rows are 0. The context must be
 * prepared for the backward pass whose coefficients were observed.
 */
export function attribution(
  context: BoundContext,
  observed: ObservedCoefficients,
  sample: Int32Array,
  rows: readonly number[],
): Float32Array {
  const { network, nodes } = context.graph;
  const inputs = sizeOf(network.input);
  const found = new Float32Array(sample.length * inputs);
  const rowsOf = new Map<number, number[]>();
  for (const r of rows) rowsOf.set(sample[r]!, [...(rowsOf.get(sample[r]!) ?? []), r]);
  const samples = [...rowsOf.keys()];
  const numbers = nodes.reduce((sum, { shape }) => sum + sizeOf(shape), 0) * (inputs + 2);
  const most = Math.max(1, Math.floor(NUMBERS / numbers));
  for (let from = 0; from < samples.length; from += most) {
    const some = samples.slice(from, from + most);
    step(context.engine, () => {
      forms(context, some, (v, shares) => {
        const size = sizeOf(nodes[v]!.shape);
        some.forEach((i, k) => {
          for (const r of rowsOf.get(i)!)
            addShares(
              found.subarray(r * inputs, (r + 1) * inputs),
              observed.get(v)!.subarray(r * size, (r + 1) * size),
              shares.subarray(k * inputs * size, (k + 1) * inputs * size),
            );
        });
      });
    });
  }
  return found;
}

/** Takes the affine forms of the given samples through the network; `visit` gets the shares of each pointwise node. */
function forms(
  context: BoundContext,
  samples: readonly number[],
  visit: (node: number, shares: Float32Array) => void,
): void {
  const inputs = sizeOf(context.graph.network.input);
  const known = new Map<number, Form>([[-1, inputForm(context, samples, inputs)]]);
  for (const [v, node] of context.graph.nodes.entries()) {
    const from = node.inputs.map((i) => known.get(i)!);
    const relaxation = context.cache.get(v)?.relaxation;
    if (!relaxation) {
      known.set(v, linearForm(context, node, from));
      continue;
    }
    const [{ generators, radius }] = from as [Form];
    const table = (t: Tensor): Tensor => reshape(takeRows(flat(t), samples), radius.shape);
    const up = table(relaxation.up);
    const band = bandOf(context, node, { ...relaxation, up }, table);
    const [n, size] = [samples.length, sizeOf(node.shape)];
    const moved = mul(reshape(generators, [n, inputs, size]), reshape(up, [n, 1, size]));
    known.set(v, {
      generators: reshape(moved, generators.shape),
      radius: lincomb(1, mul(radius, abs(up)), 0.5, band),
    });
    visit(v, sharesOf(from[0]!, band, inputs));
  }
}

const flat = (t: Tensor): Tensor => reshape(t, [t.shape[0]!, sizeOf(t.shape.slice(1))]);

/** The boxes of the inputs: one generator an input. */
function inputForm(
  { engine, graph, set }: BoundContext,
  samples: readonly number[],
  inputs: number,
): Form {
  const [lo, hi] = [set.box.lo.read(), set.box.hi.read()];
  const units = new Float32Array(samples.length * inputs * inputs);
  samples.forEach((i, k) => {
    for (let j = 0; j < inputs; j++)
      units[(k * inputs + j) * inputs + j] = (hi[i * inputs + j]! - lo[i * inputs + j]!) / 2;
  });
  return {
    generators: input(engine, units, [samples.length * inputs, ...graph.network.input]),
    radius: filled(engine, [samples.length, ...graph.network.input], 0),
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

/** The largest distance between the two lines of each neuron over its box, [n, ...shape]; `table` picks samples. */
function bandOf(
  context: BoundContext,
  node: GraphNode,
  { low, lowOffset, up, upOffset }: Relaxation,
  table: (t: Tensor) => Tensor,
): Tensor {
  const { lo, hi } = boxOf(context, node.inputs[0]!);
  const slope = sub(up, table(low));
  const ends = maximum(mul(slope, table(lo)), mul(slope, table(hi)));
  return add(ends, sub(table(upOffset), table(lowOffset)));
}

/** band |G| / (sum |G| + r), [n, inputs, size]; 0 where that is no number. */
function sharesOf({ generators, radius }: Form, band: Tensor, inputs: number): Float32Array {
  const shares = abs(generators).read();
  const [r, b] = [radius.read(), band.read()];
  const n = radius.shape[0]!;
  const size = r.length / n;
  for (let i = 0; i < n; i++)
    for (let k = 0; k < size; k++) {
      let total = r[i * size + k]!;
      for (let j = 0; j < inputs; j++) total += shares[(i * inputs + j) * size + k]!;
      const share = b[i * size + k]! / total;
      const factor = share > 0 && Number.isFinite(share) ? share : 0;
      for (let j = 0; j < inputs; j++) shares[(i * inputs + j) * size + k]! *= factor;
    }
  return shares;
}

/** Adds the sum over neurons of |coefficient| share to each input's number of a row. */
function addShares(into: Float32Array, coefficients: Float32Array, shares: Float32Array): void {
  const size = coefficients.length;
  for (let j = 0; j < into.length; j++) {
    let sum = 0;
    for (let k = 0; k < size; k++) sum += Math.abs(coefficients[k]!) * shares[j * size + k]!;
    into[j]! += sum;
  }
}
