/** Convolutions of the zoo, and ones with groups, forward and both gradients. */
import { type ConvOptions, convSize } from '../src/tensor/convolution';
import { conv2d, conv2dInputGrad, conv2dWeightGrad } from '../src/tensor/ops/product';
import { type Shape, sizeOf } from '../src/tensor/shape';
import { keep, step, type Tensor } from '../src/tensor/tensor';
import { depthwiseRaces } from './depthwise';
import type { Contestant } from './harness';
import { assertClose, noise } from './networks';
import type { Subject } from './subject';

interface Case {
  readonly batch: number;
  readonly from: number;
  readonly to: number;
  readonly side: number;
  readonly kernel: number;
  readonly stride: number;
}

const conv = (...[batch, from, to, side, kernel, stride]: readonly number[]): Case => ({
  batch: batch!,
  from: from!,
  to: to!,
  side: side!,
  kernel: kernel!,
  stride: stride!,
});

/** The layers of cnn-small, cnn-large and vgg16: batch, channels in and out, side, kernel, stride. */
const CASES: Readonly<Record<'full' | 'tiny', readonly Case[]>> = {
  full: [
    conv(128, 1, 16, 28, 4, 2),
    conv(128, 16, 32, 14, 4, 2),
    conv(64, 1, 32, 28, 3, 1),
    conv(64, 32, 32, 28, 4, 2),
    conv(64, 32, 64, 14, 3, 1),
    conv(64, 64, 64, 14, 4, 2),
    conv(8, 3, 64, 32, 3, 1),
    conv(8, 64, 64, 32, 3, 1),
    conv(8, 128, 128, 16, 3, 1),
    conv(8, 256, 256, 8, 3, 1),
    conv(8, 512, 512, 4, 3, 1),
    conv(8, 512, 512, 2, 3, 1),
    conv(1, 16, 32, 14, 4, 2),
    conv(1, 64, 64, 32, 3, 1),
  ],
  tiny: [conv(2, 3, 5, 6, 3, 1), conv(1, 2, 9, 6, 4, 2)],
};

export const convolutions: Subject = {
  about: 'convolutions of the zoo and ones with groups, forward and both gradients',
  async *races(context) {
    const { engine, size } = context;
    for (const one of CASES[size]) {
      const { batch, from, to, side, kernel, stride } = one;
      const o: ConvOptions = { stride: [stride, stride], pad: [1, 1, 1, 1], dilation: [1, 1] };
      const random = (shape: Shape): Tensor => keep(engine, shape, noise(sizeOf(shape)));
      const x = random([batch, from, side, side]);
      const w = random([to, from, kernel, kernel]);
      const g = random([batch, to, ...convSize([side, side], [kernel, kernel], o)]);
      yield {
        title: `conv ${kernel}x${kernel}/${stride}, ${from} to ${to}, ${side}x${side}, batch ${batch}`,
        contestants: contestants(x, w, g, o),
      };
      for (const t of [x, w, g]) t.free();
    }
    yield* depthwiseRaces(context);
  },
};

/**
 * The forward pass is checked against sums in double precision, the gradients by what makes them
 * transposes: <conv(x, w), g> = <x, inputGrad(g, w)> = <w, weightGrad(x, g)>.
 */
function contestants(x: Tensor, w: Tensor, g: Tensor, o: ConvOptions): Contestant[] {
  const { engine } = x;
  const [oh, ow] = g.shape.slice(2) as [number, number];
  const flops = 2 * w.size * g.shape[0]! * oh * ow;
  const ways: readonly {
    name: string;
    make: () => Tensor;
    check: (result: Float32Array) => void;
  }[] = [
    {
      name: 'forward',
      make: () => conv2d(x, w, o),
      check: (y) => checkForward(y, x, w, g.shape, o),
    },
    {
      name: 'input gradient',
      make: () => conv2dInputGrad(g, w, x.shape, o),
      check: (dx) => checkInner(dx, x),
    },
    {
      name: 'weight gradient',
      make: () => conv2dWeightGrad(x, g, w.shape, o),
      check: (dw) => checkInner(dw, w),
    },
  ];
  const whole = (): number =>
    inner(
      step(engine, () => conv2d(x, w, o).read()),
      g.read(),
    );
  const checkInner = (gradient: Float32Array, of: Tensor): void =>
    assertClose([inner(gradient, of.read())], [whole()], 1e-5, 'a gradient of a convolution');
  return ways.map(({ name, make, check }) => ({
    name,
    flops,
    images: x.shape[0]!,
    run: () => step(engine, () => void make()),
    check: () => check(step(engine, () => make().read())),
  }));
}

const inner = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** Some outputs, spread over batch, channels and places. */
function checkForward(y: Float32Array, x: Tensor, w: Tensor, shape: Shape, o: ConvOptions): void {
  const [, c, h, width] = x.shape as [number, number, number, number];
  const [, , kh, kw] = w.shape as [number, number, number, number];
  const [, oc, oh, ow] = shape as [number, number, number, number];
  const [images, weights] = [x.read(), w.read()];
  const at = (place: number): number => {
    const [q, p, f, n] = [
      place % ow,
      Math.floor(place / ow) % oh,
      Math.floor(place / ow / oh) % oc,
      Math.floor(place / ow / oh / oc),
    ];
    let sum = 0;
    for (let k = 0; k < c * kh * kw; k++) {
      const [v, u, ch] = [k % kw, Math.floor(k / kw) % kh, Math.floor(k / kw / kh)];
      const [i, j] = [p * o.stride[0] + u - o.pad[0], q * o.stride[1] + v - o.pad[1]];
      if (i < 0 || i >= h || j < 0 || j >= width) continue;
      sum += images[((n * c + ch) * h + i) * width + j]! * weights[f * c * kh * kw + k]!;
    }
    return sum;
  };
  const places = Array.from({ length: 101 }, (_, i) => Math.floor((i * (y.length - 1)) / 100));
  assertClose(
    places.map((place) => y[place]!),
    places.map(at),
    1e-5,
    'a convolution',
  );
}
