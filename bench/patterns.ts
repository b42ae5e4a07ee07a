/**
 * Masks with a pattern: 4 x 1 blocks by the kernel of blocks and by the one of rows, 2:4 and 1:4, beside
 * the dense plan. Weights are drawn; of a block or group the largest are kept.
 */

import { freeModel, type Model } from '../src/nn/model';
import { compilePlan } from '../src/plan/plan';
import { compileSparsePlan } from '../src/plan/sparse-plan';
import { type Costs, SHIPPED } from '../src/runtime/costs';
import type { Engine } from '../src/runtime/engine';
import { sizeOf } from '../src/tensor/shape';
import type { Race } from './harness';
import { CNN_LARGE, CNN_SMALL, loweredOf, noise, type Setting, VGG16 } from './networks';
import { layers, whole } from './sparse';
import type { Subject } from './subject';

interface Case {
  readonly setting: Setting;
  readonly batch: number;
  readonly sparsities: readonly number[];
}

const CASES: Readonly<Record<'full' | 'tiny', readonly Case[]>> = {
  full: [
    { setting: CNN_LARGE, batch: 64, sparsities: [0.5, 0.9, 0.95, 0.99] },
    { setting: VGG16, batch: 8, sparsities: [0.9] },
  ],
  tiny: [{ setting: CNN_SMALL, batch: 3, sparsities: [0.9] }],
};

/** Tables by which one of the two kernels is never, or always, taken. */
const ROWS: Costs = { ...SHIPPED, '4x1': { product: 1e9, row: 1e9 } };
const BLOCKS: Costs = { ...SHIPPED, '4x1': { product: 1e-9, row: 1e-9 } };

export const patterns: Subject = {
  about: 'masks of 4 x 1 blocks, 2:4 and 1:4',
  *races({ engine, size }) {
    for (const { setting, batch, sparsities } of CASES[size]) {
      for (const sparsity of sparsities) yield* blockRaces(engine, setting, batch, sparsity);
      for (const kept of [2, 1]) yield* ofFour(engine, setting, batch, kept);
    }
  },
};

/** Keeps the blocks of four rows with the largest sums of sizes. */
export function maskBlocks(model: Model, sparsity: number): void {
  for (const [name, t] of model.params) {
    if (!name.endsWith('.weight')) continue;
    const values = t.read();
    const columns = t.size / t.shape[0]!;
    const block = (i: number): number => Math.floor(i / columns / 4) * columns + (i % columns);
    const sums = new Float64Array(Math.ceil(t.shape[0]! / 4) * columns);
    values.forEach((v, i) => {
      sums[block(i)]! += Math.abs(v);
    });
    const least = sums.toSorted()[Math.min(sums.length - 1, Math.floor(sparsity * sums.length))]!;
    t.write(values.map((v, i) => (sums[block(i)]! < least ? 0 : v)));
  }
}

/** Keeps the `kept` largest of every 4 neighbouring inputs, where there are so many. */
export function maskOfFour(model: Model, kept: number): void {
  for (const [name, t] of model.params) {
    const [, channels = 1, ...kernel] = t.shape;
    if (!name.endsWith('.weight') || channels % 4 !== 0) continue;
    const area = sizeOf(kernel);
    const values = t.read();
    for (let group = 0; group < t.size / 4; group++) {
      const first = Math.floor(group / area) * 4 * area + (group % area);
      const places = [0, 1, 2, 3].map((i) => first + i * area);
      const order = places.toSorted((a, b) => Math.abs(values[a]!) - Math.abs(values[b]!));
      for (const i of order.slice(0, 4 - kept)) values[i] = 0;
    }
    t.write(values);
  }
}

function* blockRaces(
  engine: Engine,
  setting: Setting,
  batch: number,
  sparsity: number,
): Generator<Race> {
  const model = loweredOf(engine, setting);
  maskBlocks(model, sparsity);
  const ways = [
    ['blocks', compileSparsePlan(model, { batch, costs: BLOCKS })],
    ['rows', compileSparsePlan(model, { batch, costs: ROWS })],
    ['dense', compilePlan(model, { batch, allowWinograd: true })],
  ] as const;
  const images = noise(batch * sizeOf(setting.input));
  const want = ways[2][1].run(images);
  const title = `${setting.network}, batch ${batch}, 4 x 1 blocks, ${100 * sparsity} % zeros`;
  yield {
    title,
    contestants: ways.map(([name, plan]) => whole(name, plan, images, want)),
    quotients: ['rows', 'dense'].map((to) => ({ of: 'blocks', to })),
  };
  const both = ways
    .slice(0, 2)
    .flatMap(([name, plan]) =>
      layers(plan).map((layer) => ({ ...layer, name: `${name}, ${layer.name}` })),
    );
  yield { title: `${title}: layers`, contestants: both };
  for (const [, plan] of ways) plan.free();
  freeModel(model);
}

function* ofFour(engine: Engine, setting: Setting, batch: number, kept: number): Generator<Race> {
  const model = loweredOf(engine, setting);
  maskOfFour(model, kept);
  const ways = [
    ['sparse', compileSparsePlan(model, { batch, costs: ROWS })],
    ['dense', compilePlan(model, { batch, allowWinograd: true })],
  ] as const;
  const images = noise(batch * sizeOf(setting.input));
  const want = ways[1][1].run(images);
  yield {
    title: `${setting.network}, batch ${batch}, ${kept}:4`,
    contestants: ways.map(([name, plan]) => whole(name, plan, images, want)),
    quotients: [{ of: 'sparse', to: 'dense' }],
  };
  for (const [, plan] of ways) plan.free();
  freeModel(model);
}
