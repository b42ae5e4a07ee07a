/**
 * Masked networks, over their zeros and dense: every layer, and whole networks. Masks are by
 * magnitude, of one share in every layer, on drawn weights.
 */

import { freeModel, type Model } from '../src/nn/model';
import { compilePlan, type Plan } from '../src/plan/plan';
import { compileSparsePlan } from '../src/plan/sparse-plan';
import type { Engine } from '../src/runtime/engine';
import { sizeOf } from '../src/tensor/shape';
import type { Contestant, Race } from './harness';
import {
  assertClose,
  CNN_LARGE,
  CNN_SMALL,
  forwardFlops,
  loweredOf,
  noise,
  type Setting,
  VGG16,
  VGG16_TINY,
} from './networks';
import type { Subject } from './subject';

/** Tiny networks have no weights to spare. */
const SPARSITIES = { full: [0.9, 0.95, 0.99], tiny: [0.5] };

interface Case {
  readonly setting: Setting;
  readonly batch: number;
  /** The least that is wanted over the dense plan, for each sparsity. */
  readonly bars: readonly number[];
}

const CASES: Readonly<Record<'full' | 'tiny', readonly Case[]>> = {
  full: [
    { setting: CNN_LARGE, batch: 64, bars: [4, 7, 15] },
    { setting: VGG16, batch: 8, bars: [4, 7, 15] },
    { setting: CNN_LARGE, batch: 1, bars: [] },
    { setting: VGG16, batch: 1, bars: [] },
  ],
  tiny: [
    { setting: CNN_SMALL, batch: 3, bars: [] },
    { setting: VGG16_TINY, batch: 1, bars: [] },
  ],
};

export const sparse: Subject = {
  about: 'masked networks over their zeros, and dense',
  *races({ engine, size }) {
    for (const one of CASES[size])
      for (const [at, sparsity] of SPARSITIES[size].entries())
        yield* racesOf(engine, one, sparsity, one.bars[at]);
  },
};

/** Sets the smallest weights of every convolution and dense layer to 0. */
export function maskBySize(model: Model, sparsity: number): void {
  for (const [name, t] of model.params) {
    if (!name.endsWith('.weight')) continue;
    const values = t.read();
    const order = values.map(Math.abs).sort();
    const least = order[Math.min(t.size - 1, Math.floor(sparsity * t.size))]!;
    t.write(values.map((v) => (Math.abs(v) < least ? 0 : v)));
  }
}

function* racesOf(
  engine: Engine,
  { setting, batch }: Case,
  sparsity: number,
  bar: number | undefined,
): Generator<Race> {
  const model = loweredOf(engine, setting);
  maskBySize(model, sparsity);
  const ways = [
    ['sparse', compileSparsePlan(model, { batch })],
    ['dense', compilePlan(model, { batch, allowWinograd: true })],
    ['dense, direct sums', compilePlan(model, { batch })],
  ] as const;
  const images = noise(batch * sizeOf(setting.input));
  const want = ways[2][1].run(images);
  const title = `${setting.network}, batch ${batch}, ${100 * sparsity} % zeros`;
  const of = 'sparse';
  yield {
    title,
    contestants: ways.map(([name, plan]) => whole(name, plan, images, want)),
    quotients: ways.slice(1).map(([to]) => ({ of, to, ...(bar === undefined ? {} : { bar }) })),
  };
  yield { title: `${title}: its layers`, contestants: layers(ways[0][1]) };
  for (const [, plan] of ways) plan.free();
  freeModel(model);
}

export function whole(
  name: string,
  plan: Plan,
  images: Float32Array,
  want: Float32Array,
): Contestant {
  return {
    name,
    flops: plan.batch * forwardFlops(plan.model),
    images: plan.batch,
    run: () => plan.run(images),
    check: () => assertClose(plan.run(images), want, 1e-4, name),
  };
}

/** The steps of a plan, once each: of one block of images. */
export const layers = (plan: Plan): Contestant[] =>
  plan.steps.map(({ node, form, run }) => ({ name: `${node}: ${form}`, run }));
