/**
 * Pruned networks beside the engines that users would pick instead, on the same pruned weights: ours
 * over their zeros and dense, theirs dense, which is what they have. One thread each, in one
 * interleaved race; masks are by magnitude, of one share in every layer, on drawn weights; the outputs
 * have to be equal to 1e-4.
 */

import { freeModel } from '../../src/nn/model';
import { compilePlan } from '../../src/plan/plan';
import { compileSparsePlan } from '../../src/plan/sparse-plan';
import type { Quotient } from '../harness';
import { CNN_LARGE, CNN_SMALL, loweredOf, planned, VGG16, VGG16_TINY } from '../networks';
import { maskBySize } from '../sparse';
import type { Subject } from '../subject';
import { peersOf, rival } from './peers';

const [OURS, DENSE] = ['sparse', 'dense'];

/** Ratios that are wanted, at 90, 95 and 99 % zeros. */
type Bars = Readonly<Record<string, readonly number[]>>;
const MANY: Bars = {
  [DENSE]: [4, 7, 15],
  'onnxruntime-node': [1.5, 2.5, 6],
  'onnxruntime-web': [6, 11, 28],
};
const ONE: Bars = { 'onnxruntime-node': [1.2, 2, 4] };

const CASES = {
  full: {
    networks: [
      { setting: CNN_LARGE, batches: [64, 1] },
      { setting: VGG16, batches: [8, 1] },
    ],
    sparsities: [0.9, 0.95, 0.99],
  },
  tiny: {
    networks: [
      { setting: CNN_SMALL, batches: [2] },
      { setting: VGG16_TINY, batches: [1] },
    ],
    sparsities: [0.5],
  },
};

export const pruned: Subject = {
  about: 'pruned networks beside tfjs-backend-wasm, onnxruntime-web and onnxruntime-node',
  async *races({ engine, size }) {
    const { networks, sparsities } = CASES[size];
    for (const { setting, batches } of networks)
      for (const [at, sparsity] of sparsities.entries()) {
        const model = loweredOf(engine, setting);
        maskBySize(model, sparsity);
        const others = await peersOf(model);
        for (const batch of batches) {
          const plans = [
            compileSparsePlan(model, { batch }),
            compilePlan(model, { batch, allowWinograd: true }),
          ];
          const rivals = others.map((peer) => rival(peer, model, batch));
          const bars = batch === 1 ? ONE : MANY;
          yield {
            title: `${setting.network}, batch ${batch}, ${100 * sparsity} % zeros`,
            contestants: [planned(OURS, plans[0]!), planned(DENSE, plans[1]!), ...rivals],
            quotients: [DENSE, ...others.map(({ name }) => name)].map((to): Quotient => {
              const bar = bars[to]?.[at];
              return { of: OURS, to, ...(bar === undefined ? {} : { bar }) };
            }),
          };
          for (const plan of plans) plan.free();
        }
        for (const other of others) await other.free();
        freeModel(model);
      }
  },
};
