/** Cases of products, convolutions, pools and losses. */
import * as loss from '../../src/tensor/ops/loss';
import * as pool from '../../src/tensor/ops/pool';
import * as product from '../../src/tensor/ops/product';
import type { Shape } from '../../src/tensor/shape';
import { nd } from '../helpers/nd';
import { sampler } from '../helpers/random';
import * as reference from '../helpers/reference';
import type { OpCase } from './case';

const random = sampler(12);

const SIZES: readonly (readonly [m: number, k: number, n: number])[] = [
  [1, 1, 1],
  [3, 17, 5],
  [17, 3, 9],
  [0, 3, 2],
  [2, 0, 3],
  [2, 3, 0],
];
const FLAGS = [false, true];

const MATMUL: readonly OpCase[] = SIZES.flatMap(([m, k, n]) =>
  FLAGS.flatMap((ta) =>
    FLAGS.flatMap((tb) =>
      FLAGS.map((biased): OpCase => {
        const inputs = [random.array(ta ? [k, m] : [m, k]), random.array(tb ? [n, k] : [k, n])];
        return {
          op: 'matmul',
          about: `[${m}, ${k}] x [${k}, ${n}]${ta ? ' ta' : ''}${tb ? ' tb' : ''}${biased ? ' bias' : ''}`,
          inputs: biased ? [...inputs, random.array([n])] : inputs,
          run: ([a, b, bias]) => product.matmul(a!, b!, { ta, tb, bias }),
          reference: ([a, b, bias]) => reference.matmul(a!, b!, { ta, tb, bias }),
        };
      }),
    ),
  ),
);

type Two = readonly [number, number];
interface Conv {
  readonly about: string;
  readonly x: Shape;
  readonly w: Shape;
  readonly stride?: Two;
  readonly pad?: readonly [number, number, number, number];
  readonly dilation?: Two;
}

const CONVS: readonly Conv[] = [
  { about: '1 x 1', x: [2, 3, 4, 5], w: [5, 3, 1, 1] },
  { about: '3 x 3 on its own size', x: [1, 1, 3, 3], w: [1, 1, 3, 3] },
  {
    about: '4 x 4, stride 2, padding 1',
    x: [2, 1, 8, 8],
    w: [3, 1, 4, 4],
    stride: [2, 2],
    pad: [1, 1, 1, 1],
  },
  { about: 'stride that leaves a rest', x: [3, 2, 7, 6], w: [9, 2, 3, 2], stride: [3, 2] },
  { about: 'stride above the kernel', x: [1, 2, 7, 7], w: [2, 2, 2, 2], stride: [3, 3] },
  { about: 'padding on one side', x: [2, 2, 4, 3], w: [3, 2, 3, 2], pad: [2, 0, 0, 1] },
  { about: 'padding wider than the input', x: [1, 1, 1, 1], w: [2, 1, 3, 3], pad: [2, 2, 2, 2] },
  { about: 'dilation', x: [2, 3, 7, 8], w: [3, 3, 3, 2], dilation: [2, 3], pad: [1, 1, 1, 1] },
  {
    about: 'dilation and stride',
    x: [1, 2, 9, 9],
    w: [2, 2, 3, 3],
    dilation: [2, 2],
    stride: [2, 3],
    pad: [2, 2, 2, 2],
  },
  { about: '17 channels', x: [1, 17, 3, 3], w: [9, 17, 2, 1], pad: [1, 0, 0, 1] },
  { about: 'an empty batch', x: [0, 2, 4, 4], w: [3, 2, 3, 3] },
];

const CONV: readonly OpCase[] = CONVS.flatMap(({ about, x, w, ...rest }): OpCase[] => {
  const o = { stride: [1, 1] as Two, pad: [0, 0, 0, 0] as const, dilation: [1, 1] as Two, ...rest };
  const [oh, ow] = reference.size2(x.slice(2), w.slice(2), o);
  const y = [x[0]!, w[0]!, oh, ow];
  const [rx, rw, ry, rb] = [x, w, y, [w[0]!]].map((shape) => random.array(shape));
  return [
    {
      op: 'conv2d',
      about,
      inputs: [rx!, rw!],
      run: ([p, q]) => product.conv2d(p!, q!, o),
      reference: ([p, q]) => reference.conv2d(p!, q!, o),
    },
    {
      op: 'conv2d',
      about: `${about}, bias`,
      inputs: [rx!, rw!, rb!],
      run: ([p, q, b]) => product.conv2d(p!, q!, o, b),
      reference: ([p, q, b]) => reference.conv2d(p!, q!, o, b),
    },
    {
      op: 'conv2dInputGrad',
      about,
      inputs: [ry!, rw!],
      run: ([g, q]) => product.conv2dInputGrad(g!, q!, x, o),
      reference: ([g, q]) => reference.conv2dInputGrad(g!, q!, x, o),
    },
    {
      op: 'conv2dWeightGrad',
      about,
      inputs: [rx!, ry!],
      run: ([p, g]) => product.conv2dWeightGrad(p!, g!, w, o),
      reference: ([p, g]) => reference.conv2dWeightGrad(p!, g!, w, o),
    },
  ];
});

const POOLS: readonly { about: string; x: Shape; o: pool.PoolOptions }[] = [
  { about: '2 x 2', x: [2, 3, 4, 6], o: { kernel: [2, 2], stride: [2, 2], pad: [0, 0, 0, 0] } },
  {
    about: 'overlap and padding',
    x: [1, 2, 7, 7],
    o: { kernel: [3, 3], stride: [2, 2], pad: [1, 1, 1, 1] },
  },
  {
    about: 'uneven everything',
    x: [1, 2, 5, 8],
    o: { kernel: [3, 2], stride: [1, 3], pad: [0, 1, 2, 0] },
  },
  {
    about: 'the whole plane',
    x: [3, 1, 3, 5],
    o: { kernel: [3, 5], stride: [3, 5], pad: [0, 0, 0, 0] },
  },
  {
    about: 'an empty batch',
    x: [0, 2, 4, 4],
    o: { kernel: [2, 2], stride: [2, 2], pad: [0, 0, 0, 0] },
  },
];

const POOL: readonly OpCase[] = POOLS.flatMap(({ about, x, o }): OpCase[] => {
  const [oh, ow] = reference.size2(x.slice(2), o.kernel, o);
  return [
    {
      op: 'maxPool',
      about,
      inputs: [random.distinct(x)],
      run: ([p]) => pool.maxPool(p!, o),
      reference: ([p]) => reference.maxPool(p!, o.kernel, o),
    },
    {
      op: 'avgPool',
      about,
      inputs: [random.array(x)],
      run: ([p]) => pool.avgPool(p!, o),
      reference: ([p]) => reference.avgPool(p!, o.kernel, o),
    },
    {
      op: 'avgPoolGrad',
      about,
      inputs: [random.array([x[0]!, x[1]!, oh, ow])],
      run: ([g]) => pool.avgPoolGrad(g!, x, o),
      reference: ([g]) => reference.avgPoolGrad(g!, x, o.kernel, o),
    },
  ];
});

const LOGITS: readonly Shape[] = [
  [1, 1],
  [3, 17],
  [5, 3],
  [0, 4],
];

const LOSS: readonly OpCase[] = LOGITS.flatMap((shape): OpCase[] => {
  const [n, k] = shape as [number, number];
  const labels = Array.from({ length: n }, (_, i) => (2 * i) % k);
  return [
    {
      op: 'softmax',
      about: `[${shape}]`,
      inputs: [random.array(shape, -5, 5)],
      run: ([x]) => loss.softmax(x!),
      reference: ([x]) => reference.softmax(x!),
    },
    {
      op: 'crossEntropy',
      about: `[${shape}]`,
      inputs: [random.array(shape, -5, 5)],
      run: ([x]) => loss.crossEntropy(x!, labels),
      reference: ([x]) => reference.crossEntropy(x!, labels),
    },
    {
      op: 'crossEntropy',
      about: `[${shape}], large logits`,
      inputs: [
        nd(
          shape,
          random.array(shape, -5, 5).data.map((value) => 100 * value),
        ),
      ],
      run: ([x]) => loss.crossEntropy(x!, labels),
      reference: ([x]) => reference.crossEntropy(x!, labels),
    },
  ];
});

export const STRUCTURED: readonly OpCase[] = [...MATMUL, ...CONV, ...POOL, ...LOSS];
