/**
 * gelu and hard-swish as exporters spell them: read as one layer, and what onnxruntime makes of the
 * spelling is within what the layer's error counts. What only looks like them is refused, or stays apart.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readOnnx } from '../../src/io/onnx/reader';
import { compile } from '../../src/nn/graph';
import type { PointwiseLayer } from '../../src/nn/layer';
import { type Engine, load } from '../../src/runtime/engine';
import { difference, ours } from '../helpers/onnx-compare';
import { type FileCase, floats, type NodeCase, onnxFile } from '../helpers/onnx-files';
import { installed, runOrt } from '../helpers/onnxruntime';
import { sampler } from '../helpers/random';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

/** A node in a few words: `out=Op(a,b)`; numbers are constants of their own. */
function nodes(text: string): Pick<FileCase, 'nodes' | 'tensors'> {
  const tensors: Record<string, ReturnType<typeof floats>> = {};
  const list = text.split(' ').map((word): NodeCase => {
    const [, out, op, from] = /^(\w+)=(\w+)\((.*)\)$/.exec(word)!;
    const inputs = from!.split(',').map((name) => {
      if (name === '' || Number.isNaN(Number(name))) return name;
      tensors[`c${name}`] = floats([], [Number(name)]);
      return `c${name}`;
    });
    const attributes: NodeCase['attributes'] =
      op === 'HardSigmoid' ? { alpha: { float: 1 / 6 }, beta: { float: 0.5 } } : {};
    return { op: op!, in: inputs, out: [out!], attributes };
  });
  return { nodes: list, tensors };
}

const file = (text: string, input: readonly number[] = [0, 6]): Uint8Array =>
  onnxFile({ input, ...nodes(text) });

const ERF = 'd=Div(x,1.4142135381698608) e=Erf(d) f=Add(e,1)';
const TANH = 'p=Pow(x,3) k=Mul(p,0.044715) s=Add(x,k) w=Mul(s,0.7978845608) t=Tanh(w) f=Add(1,t)';
const KERAS = 'a=Mul(x,0.7978845834732056) b=Mul(x,x) c=Mul(0.044714998,b) g=Add(c,1) w=Mul(a,g)';

const SPELT: readonly (readonly [title: string, layer: string, text: string])[] = [
  ['PyTorch', 'gelu', `${ERF} m=Mul(x,f) y=Mul(m,0.5)`],
  ['half of x first', 'gelu', `${ERF} h=Mul(x,0.5) y=Mul(h,f)`],
  ['half of the sum first', 'gelu', `${ERF} h=Mul(0.5,f) y=Mul(x,h)`],
  ['by the reciprocal', 'gelu', 'd=Mul(0.70710678,x) e=Erf(d) f=Add(1,e) m=Mul(f,x) y=Mul(0.5,m)'],
  ['half by division', 'gelu', `${ERF} m=Mul(x,f) y=Div(m,2)`],
  ['tanh of a power', 'gelu', `${TANH} h=Mul(x,0.5) y=Mul(h,f)`],
  [
    'tanh of products',
    'gelu',
    `${TANH.replace('p=Pow(x,3)', 'q=Mul(x,x) p=Mul(q,x)')} m=Mul(f,x) y=Mul(m,0.5)`,
  ],
  ['tanh of a product of sums', 'gelu', `${KERAS} t=Tanh(w) f=Add(t,1) h=Mul(0.5,f) y=Mul(x,h)`],
  ['HardSigmoid', 'hard-swish', 'h=HardSigmoid(x) y=Mul(x,h)'],
  ['Clip, then a sixth', 'hard-swish', 's=Add(x,3) c=Clip(s,0,6) m=Mul(x,c) y=Div(m,6)'],
  ['a sixth of Clip', 'hard-swish', 's=Add(x,3) c=Clip(s,0,6) m=Div(c,6) y=Mul(m,x)'],
  ['Clip of a sixth', 'hard-swish', 's=Div(x,6) t=Add(s,0.5) c=Clip(t,0,1) y=Mul(c,x)'],
];

const U = 2 ** -24;

describe('spelt out', () => {
  it.each(SPELT)('%s is %s', async (_, layer, text) => {
    const { network } = readOnnx(file(text), 'made');
    expect(network.nodes.map((node) => node.layer)).toEqual([layer]);
    const [node] = compile(network).nodes;
    const tanh = /Tanh/.test(text);
    if (layer === 'gelu') expect(node!.options.approximate).toBe(tanh ? 'tanh' : 'none');
    if (!installed) return;
    const count = 30_000;
    const x = new Float32Array(6 * count);
    const s = sampler(11);
    for (let i = 0; i < x.length; i++) x[i] = s.real(-8, 8) * (i % 3 === 0 ? 0.1 : 1);
    const { data } = await runOrt(file(text), x, [count, 6]);
    const rule = node!.layer as PointwiseLayer;
    const most = x.reduce((worst, at, i) => {
      const exact = rule.scalar(at, node!.options);
      const counted = rule.error! * U * Math.abs(exact) + rule.inputError! * U * Math.abs(at);
      return Math.max(worst, Math.abs(data[i]! - exact) / (counted + 2 ** -149));
    }, 0);
    expect(most).toBeLessThan(1);
    const some = x.subarray(0, 60);
    expect(difference(ours(engine, file(text), some, 10), data.subarray(0, 60))).toBeUndefined();
  });

  it('is found behind other arithmetic, several times, and with other readers of its x', async () => {
    const text = `z=Mul(x,2.5) v=Add(z,0.25) ${ERF.replace('(x', '(v')} m=Mul(v,f) y=Mul(m,0.5) ${TANH.replaceAll(
      /\b([pkswtf])\b/g,
      '$12',
    ).replaceAll('x', 'y')} h=Mul(y,0.5) n=Mul(h,f2) o=Add(n,y)`;
    const { network } = readOnnx(file(text), 'made');
    expect(network.nodes.map(({ layer }) => layer)).toEqual(['scale', 'gelu', 'gelu', 'add']);
    if (!installed) return;
    const x = Float32Array.from(sampler(3).array([7, 6], -2, 2).data);
    const { data } = await runOrt(file(text), x, [7, 6]);
    expect(difference(ours(engine, file(text), x, 7), data)).toBeUndefined();
  });

  it.each([
    ['another factor', `${ERF} m=Mul(x,f) y=Mul(m,0.4)`],
    ['another divisor', `${ERF.replace('1.4142135381698608', '1.4142')} m=Mul(x,f) y=Mul(m,0.5)`],
    ['another summand', `${ERF.replace('(e,1)', '(e,2)')} m=Mul(x,f) y=Mul(m,0.5)`],
    ['another cube', `${TANH.replace('0.044715', '0.044')} m=Mul(f,x) y=Mul(m,0.5)`],
    ['another x', `r=Relu(x) ${ERF} m=Mul(r,f) y=Mul(m,0.5)`],
    ['what cancels', `${ERF} a=Mul(x,3.5) b=Mul(x,-3) s=Add(a,b) y=Mul(s,f)`],
    ['x before the sum', `${ERF.replace(' f=Add(e,1)', '')} h=Mul(x,0.5) m=Mul(h,e) y=Add(h,m)`],
    ['other limits', 's=Add(x,3) c=Clip(s,0,5) m=Mul(x,c) y=Div(m,6)'],
    ['no upper limit', 's=Add(x,3) c=Clip(s,0) m=Mul(x,c) y=Div(m,6)'],
    [
      'many roundings',
      `${ERF} a=Mul(x,3) b=Mul(a,0.25) c=Mul(b,2) d2=Mul(c,f) i=Mul(d2,3) y=Mul(i,0.11111111)`,
    ],
  ])('%s is refused', (_, text) => {
    expect(() => readOnnx(file(text), 'made')).toThrow(/\((Erf|Mul|Pow)\): expected/);
  });

  it('keeps what else the nodes make', () => {
    const text = `${ERF} m=Mul(x,f) y=Mul(m,0.5) o=Add(y,e)`;
    expect(() => readOnnx(file(text), 'made')).toThrow('(Erf): expected constants');
  });
});
