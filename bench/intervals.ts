/**
 * Interval bounds of images, sound in floating point, over the zeros of masked networks and dense:
 * lower bounds of all margins, as `leastMargins` and the verifiers compute them. Masks are by
 * magnitude, of one share in every layer, on drawn weights. The dense side is the same call on a
 * model whose zeros nobody declared; `plain` does not count roundings.
 */

import { freezeSparsity } from '../src/nn/freeze';
import { lower } from '../src/nn/lower';
import { type AnyModel, freeModel } from '../src/nn/model';
import { ballMargins } from '../src/plan/margins';
import type { Engine } from '../src/runtime/engine';
import { sizeOf } from '../src/tensor/shape';
import { input, step } from '../src/tensor/tensor';
import type { Contestant, Race } from './harness';
import {
  assertClose,
  CNN_LARGE,
  CNN_SMALL,
  loweredOf,
  noise,
  type Setting,
  VGG16,
  VGG16_TINY,
} from './networks';
import { maskBySize } from './sparse';
import type { Subject } from './subject';

const EPS = 2 / 255;
/** Sound bounds may take 15 % more time. */
const SOUND_BAR = 1 / 1.15;

interface Case {
  readonly setting: Setting;
  readonly batch: number;
}

/** Sparsities, and how much faster than dense bounds they are wanted to be. */
interface Size {
  readonly cases: readonly Case[];
  readonly sparsities: readonly (readonly [share: number, bar?: number])[];
}

const SIZES: Readonly<Record<'full' | 'tiny', Size>> = {
  full: {
    cases: [
      { setting: { ...CNN_LARGE, input: VGG16.input }, batch: 64 },
      { setting: VGG16, batch: 8 },
    ],
    sparsities: [
      [0.9, 4],
      [0.95, 7],
      [0.99, 14],
    ],
  },
  // Tiny networks have no weights to spare.
  tiny: {
    cases: [
      { setting: CNN_SMALL, batch: 3 },
      { setting: VGG16_TINY, batch: 1 },
    ],
    sparsities: [[0.5]],
  },
};

export const intervals: Subject = {
  about: 'interval bounds over the zeros of masked networks, and dense',
  *races({ engine, size }) {
    for (const one of SIZES[size].cases)
      for (const [share, bar] of SIZES[size].sparsities) yield* raceOf(engine, one, share, bar);
  },
};

function* raceOf(
  engine: Engine,
  { setting, batch }: Case,
  sparsity: number,
  bar: number | undefined,
): Generator<Race> {
  const dense = loweredOf(engine, setting);
  maskBySize(dense, sparsity);
  const sparse = freezeSparsity(lower(dense));
  const images = noise(batch * sizeOf(setting.input));
  const [plain, sound] = [false, true].map((way) => marginsOf(dense, images, batch, way));
  const contestant = (name: string, model: AnyModel, way: boolean): Contestant => ({
    name,
    images: batch,
    run: () => marginsOf(model, images, batch, way),
    check() {
      const got = marginsOf(model, images, batch, way);
      if (way) assertLower(got, plain!, sound!, name);
      else assertClose(got, plain!, 1e-4, name);
    },
  });
  yield {
    title: `${setting.network}, batch ${batch}, ${100 * sparsity} % zeros`,
    contestants: [
      contestant('sparse', sparse, true),
      contestant('sparse, plain', sparse, false),
      contestant('dense', dense, true),
      contestant('dense, plain', dense, false),
    ],
    quotients: [
      { of: 'sparse', to: 'dense', ...(bar === undefined ? {} : { bar }) },
      { of: 'sparse', to: 'sparse, plain', bar: SOUND_BAR },
      { of: 'dense', to: 'dense, plain', bar: SOUND_BAR },
    ],
  };
  for (const model of [sparse, dense]) freeModel(model);
}

/** Sound bounds are below the others, and pay for rounding about what those of the dense model pay. */
function assertLower(
  got: Float32Array,
  plain: Float32Array,
  sound: Float32Array,
  who: string,
): void {
  const size = plain.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const room = 1e-6 * size;
  const fine = got.every(
    (v, i) => v <= plain[i]! + room && plain[i]! - v <= 1.5 * (plain[i]! - sound[i]!) + room,
  );
  if (!fine || got.length !== plain.length) throw new Error(`${who}: expected sound bounds`);
}

/** Lower bounds of all margins. */
const marginsOf = (model: AnyModel, images: Float32Array, batch: number, sound: boolean) =>
  step(model.engine, () => {
    const x = input(model.engine, images, [batch, ...model.graph.network.input]);
    const labels = Int32Array.from({ length: batch }, (_, i) => i % 10);
    return ballMargins(model, x, EPS, labels, { sound }).read();
  });
