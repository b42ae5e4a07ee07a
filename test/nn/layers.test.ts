/**
 * Every layer of the registry against float64 and against its own matrix. The case table must name
 * every layer, so a new one without a case and a reference fails here.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { value } from '../../src/domain/value';
import { compile, type GraphNode } from '../../src/nn/graph';
import type { AffineLayer } from '../../src/nn/layer';
import { layers } from '../../src/nn/layers/registry';
import { type Model, nodeParams } from '../../src/nn/model';
import type { LinearOperator } from '../../src/nn/operator';
import { type Engine, load } from '../../src/runtime/engine';
import { mul, sum } from '../../src/tensor/ops/core';
import { gradients } from '../../src/tensor/tape';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import { expectClose } from '../helpers/close';
import { dot, map, type Nd, nd, numericGradients, sizeOf, tabulate } from '../helpers/nd';
import { LAYER_CASES, modelOf, networkOf, randomWeights, titleOf } from '../helpers/networks';
import { sampler } from '../helpers/random';
import { AFFINE, evaluate, JOIN, POINTWISE } from '../helpers/reference-network';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const random = sampler(21);
const tensor = ({ shape, data }: Nd): Tensor => input(engine, data, shape);
const back = (t: Tensor): Nd => nd(t.shape, t.read());

describe('the table', () => {
  it('has a case and a reference for every layer', () => {
    const names = Object.keys(layers).sort();
    expect([...new Set(LAYER_CASES.map((c) => c.kind))].sort()).toEqual(names);
    expect(Object.keys({ ...AFFINE, ...POINTWISE, ...JOIN }).sort()).toEqual(names);
    for (const [kind, { role, about }] of Object.entries(layers)) {
      expect(kind in { affine: AFFINE, pointwise: POINTWISE, join: JOIN }[role], kind).toBe(true);
      expect(about.length).toBeGreaterThan(5);
    }
  });
});

describe.each(LAYER_CASES.map((c) => [titleOf(c), c] as const))('%s', (_, layerCase) => {
  const network = networkOf(layerCase);
  const graph = compile(network);
  const weights = randomWeights(graph, random);
  /** Away from 0 and from ties, where some layers have kinks. */
  const draw = (batch: number): Nd =>
    map((v) => v! / 4 + 1 / 128, random.distinct([batch, ...layerCase.input]));
  const with_ = <T>(use: (model: Model) => T): T =>
    step(engine, () => use(modelOf(engine, network, weights)));

  it('computes what its reference computes', () => {
    const x = draw(3);
    const y = with_(({ graph, params }) => back(propagate(graph, params, value, tensor(x))));
    const expected = evaluate(graph, weights, x);
    expect(y.shape).toEqual([3, ...graph.output]);
    expectClose(y.data, expected.data, { rel: 2e-6, abs: 1e-6 });
  });

  it('takes an empty batch', () => {
    const y = with_(({ graph, params }) => propagate(graph, params, value, tensor(draw(0))).shape);
    expect(y).toEqual([0, ...graph.output]);
  });

  it('has the gradients of its reference, in parameters and input', () => {
    const x = draw(2);
    const factor = random.array([2, ...graph.output], 0.5, 1.5);
    const names = [...weights.keys()];
    const found = with_(({ graph, params }) => {
      const at = tensor(x);
      const wanted = [at, ...names.map((name) => params.get(name)!)];
      const { gradients: g } = gradients(engine, wanted, () => ({
        loss: sum(mul(propagate(graph, params, value, at), tensor(factor))),
      }));
      return g.map((t) => t.read());
    });
    const expected = numericGradients(
      ([at, ...ws]) => {
        const changed = new Map(names.map((name, i) => [name, ws[i]!]));
        return dot(evaluate(graph, changed, at!).data, factor.data);
      },
      [x, ...weights.values()],
    );
    const who = ['input', ...names];
    found.forEach(
      (g, i) => void expectClose(g, expected[i]!.data, { rel: 2e-5, abs: 1e-6 }, who[i]),
    );
  });

  const node = graph.nodes.at(-1)!;
  const { layer } = node;
  if (layer.role !== 'affine') return;
  affineTests(node, layer, with_);
});

/** The layer's matrix, from its action on the unit vectors, against all it claims of itself. */
function affineTests(
  node: GraphNode,
  layer: AffineLayer,
  with_: <T>(use: (model: Model) => T) => T,
): void {
  const o = node.options as never;
  const shape = node.inputShapes[0]!;
  const [inputs, outputs] = [sizeOf(shape), sizeOf(node.shape)];
  const use = <T>(fn: (w: LinearOperator) => T): T =>
    with_(({ params }) => {
      const own = nodeParams(node, params);
      return fn(layer.operator(layer.derive?.(own, o) ?? own, o, shape));
    });
  const apply = (x: Nd): Nd => use((w) => back(w.apply(tensor(x))));
  const offset = () => apply(nd([1, ...shape], new Float64Array(inputs)));
  const units = (n: number, s: readonly number[]): Nd =>
    nd([n, ...s], tabulate([n, n], ([i, j]) => Number(i === j)).data);
  /** [inputs, outputs]: row i is W e_i. */
  const matrix = (): Nd => {
    const [columns, zero] = [apply(units(inputs, shape)), offset()];
    return map((a, b) => a! - b!, nd([inputs, outputs], columns.data), nd([outputs], zero.data));
  };
  const times = (m: Nd, x: ArrayLike<number>): number[] =>
    Array.from({ length: outputs }, (_, j) =>
      Array.from(x).reduce((sum, v, i) => sum + v * m.data[i * outputs + j]!, 0),
    );
  /** One number a channel, for every output. */
  const spread = (perChannel: Nd): number[] => {
    const plane = outputs / perChannel.data.length;
    return Array.from({ length: outputs }, (_, i) => perChannel.data[Math.floor(i / plane)]!);
  };
  const bias = (): Nd | undefined => use(({ bias: b }) => b && back(b));

  it('is W x + b, b as told', () => {
    const b = bias();
    expectClose(offset().data, b ? spread(b) : new Float64Array(outputs), { rel: 1e-6, abs: 1e-7 });
    const x = random.array([1, ...shape]);
    const expected = times(matrix(), x.data).map((v, i) => v + offset().data[i]!);
    expectClose(apply(x).data, expected, { rel: 1e-5, abs: 1e-6 });
  });

  it('applies |W| to radii, and adds what a bias would', () => {
    const r = random.array([1, ...shape], 0, 2);
    const absolute = map((v) => Math.abs(v!), matrix());
    const expected = times(absolute, r.data);
    expectClose(
      use((w) => w.applyAbs(tensor(r)).read()),
      expected,
    );
    const channels = random.array([bias()?.data.length ?? node.shape[0]!], 0, 1);
    if (!bias() && !node.structure?.conv) return;
    const extra = spread(channels);
    expectClose(
      use((w) => w.applyAbs(tensor(r), tensor(channels)).read()),
      expected.map((v, i) => v + extra[i]!),
    );
  });

  it('transposes to W^T', () => {
    const m = matrix();
    const rows = use((w) => w.transpose(tensor(units(outputs, node.shape))).read());
    const expected = tabulate([outputs, inputs], ([j, i]) => m.data[i! * outputs + j!]!);
    expectClose(rows, expected.data, { rel: 1e-6, abs: 1e-6 });
    const [x, g] = [random.array([1, ...shape]), random.array([1, ...node.shape])];
    const y = map((a, b) => a! - b!, apply(x), offset());
    const back_ = use((w) => w.transpose(tensor(g)).read());
    expectClose([dot(x.data, back_)], [dot(y.data, g.data)], { rel: 1e-5, abs: 1e-5 });
  });

  it('has W x, without b, for the derivative of its transpose, and of |W| r |W|^T', () => {
    const [x, g] = [random.array([1, ...shape], 0, 1), random.array([1, ...node.shape])];
    const y = map((a, b) => a! - b!, apply(x), offset());
    const derivative = use((w) => {
      const at = tensor(g);
      const loss = () => ({ loss: sum(mul(w.transpose(at), tensor(x))) });
      return gradients(at.engine, [at], loss).gradients[0]!.read();
    });
    expectClose(derivative, y.data, { rel: 1e-5, abs: 1e-5 });
    const byAbs = use((w) => {
      const at = tensor(x);
      const loss = () => ({ loss: sum(mul(w.applyAbs(at), tensor(g))) });
      return gradients(at.engine, [at], loss).gradients[0]!.read();
    });
    const absolute = map((v) => Math.abs(v!), matrix());
    const expected = Array.from({ length: inputs }, (_, i) =>
      Array.from(g.data).reduce((total, v, j) => total + v * absolute.data[i * outputs + j]!, 0),
    );
    expectClose(byAbs, expected, { rel: 1e-5, abs: 1e-5 });
  });

  it('counts its terms and multiply-adds', () => {
    const m = matrix();
    const rows = Array.from({ length: outputs }, (_, j) =>
      Array.from({ length: inputs }, (_, i) => m.data[i * outputs + j]!).filter((v) => v !== 0),
    );
    const longest = Math.max(...rows.map((row) => row.length)) + (bias() ? 1 : 0);
    const terms = node.structure!.accumulationLength;
    if (terms === 0) expect(rows.every((row) => row.length <= 1 && (row[0] ?? 1) === 1)).toBe(true);
    else expect(terms).toBeGreaterThanOrEqual(longest);
    expect(terms).toBeLessThanOrEqual(2 * longest + 30);
    const macs = layer.macs?.(shape, node.shape, o);
    if (macs !== undefined) expect(macs).toBeGreaterThanOrEqual(rows.flat().length);
  });
}
