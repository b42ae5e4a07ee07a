/**
 * Convolutions with groups, depthwise ones among them, as layers of a network through the library that users
 * import: so a build that has no such race in its benches can hold it too (`--against DIR`).
 */
import { pathToFileURL } from 'node:url';
import type * as espalier from '../src/index';
import type { Contestant, Context, Race } from './harness';
import { assertClose, noise } from './networks';

interface Case {
  readonly batch: number;
  readonly channels: number;
  readonly outputs?: number;
  readonly groups: number;
  readonly side: number;
  readonly kernel: number;
  readonly stride: number;
}

const CASES: Readonly<Record<Context['size'], readonly Case[]>> = {
  full: [
    { batch: 32, channels: 32, groups: 32, side: 32, kernel: 3, stride: 1 },
    { batch: 32, channels: 64, groups: 64, side: 32, kernel: 3, stride: 2 },
    { batch: 32, channels: 128, groups: 128, side: 16, kernel: 3, stride: 1 },
    { batch: 32, channels: 256, groups: 256, side: 8, kernel: 3, stride: 1 },
    { batch: 32, channels: 64, groups: 64, side: 16, kernel: 5, stride: 1 },
    { batch: 16, channels: 64, outputs: 64, groups: 8, side: 16, kernel: 3, stride: 1 },
    { batch: 1, channels: 64, groups: 64, side: 32, kernel: 3, stride: 1 },
  ],
  tiny: [{ batch: 2, channels: 4, groups: 4, side: 6, kernel: 3, stride: 1 }],
};

/** How much faster than the slices and concatenations of former builds they are to be. */
const BAR = 3;

export async function* depthwiseRaces(context: Context): AsyncGenerator<Race> {
  for (const one of CASES[context.size]) {
    const race = await raceOf(one, context);
    yield { ...race, elsewhere: (other) => raceOf(one, other), bar: BAR };
    race.close();
  }
}

async function raceOf(
  { batch, channels, outputs = channels, groups, side, kernel, stride }: Case,
  { engine: like, library }: Context,
): Promise<Race & { close(): void }> {
  const L = (await import(pathToFileURL(library).href)) as typeof espalier;
  const engine = await L.load({ ...like.info() });
  const pad = (kernel - 1) / 2;
  const options = { channels: outputs, kernel, stride, padding: pad, groups, bias: false };
  const input = [channels, side, side];
  const nodes = [{ name: 'conv', layer: 'conv2d', options }];
  const model = L.createModel(engine, { name: 'grouped', input, nodes });
  const weight = model.params.get('conv.weight')!;
  const x = L.keep(engine, [batch, ...input], noise(batch * channels * side * side));
  const to = Math.floor((side + 2 * pad - kernel) / stride) + 1;
  const g = L.keep(engine, [batch, outputs, to, to], noise(batch * outputs * to * to));
  const forward = () => L.logits(model, x);
  /** The inner product of the output with g, and its gradient. */
  const gradientOf = (wanted: espalier.Tensor) =>
    L.gradients(engine, [wanted], () => ({ loss: L.sum(L.mul(forward(), g)) })).gradients[0]!;
  const inner = (a: ArrayLike<number>, b: Float32Array): number =>
    b.reduce((sum, v, i) => sum + v * a[i]!, 0);
  const whole = (): number =>
    inner(
      L.step(engine, () => forward().read()),
      g.read(),
    );
  const ways: readonly (readonly [string, () => espalier.Tensor, espalier.Tensor])[] = [
    ['forward', forward, g],
    ['forward and input gradient', () => gradientOf(x), x],
    ['forward and weight gradient', () => gradientOf(weight), weight],
  ];
  const flops = 2 * weight.size * batch * to * to;
  const contestants = ways.map(([name, make, by], i): Contestant => {
    // <conv(x, w), g> = <x, inputGrad(g, w)> = <w, weightGrad(x, g)>.
    const check = (): void => {
      const found = inner(
        L.step(engine, () => make().read()),
        by.read(),
      );
      assertClose([found], [whole()], 1e-4, `${name} of a convolution with groups`);
    };
    const run = () => L.step(engine, () => void make());
    return { name, images: batch, flops: i === 0 ? flops : 2 * flops, run, check };
  });
  const kind = groups === channels ? 'depthwise' : `${groups} groups`;
  return {
    title: `conv ${kernel}x${kernel}/${stride}, ${kind}, ${channels} to ${outputs}, ${side}x${side}, batch ${batch}`,
    contestants,
    close: () => engine.close(),
    done: () => engine.close(),
  };
}
