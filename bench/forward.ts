/** Forward passes of whole networks, from an array of images to one of logits. */

import { freeModel } from '../src/nn/model';
import { compilePlan, type Plan } from '../src/plan/plan';
import {
  CNN_LARGE,
  CNN_SMALL,
  forward as inValues,
  loweredOf,
  planned,
  type Setting,
  VGG16,
  VGG16_TINY,
} from './networks';
import type { Subject } from './subject';

/** Networks with their batches. */
export const NETWORKS: Readonly<
  Record<
    'full' | 'tiny',
    readonly { readonly setting: Setting; readonly batches: readonly number[] }[]
  >
> = {
  full: [
    { setting: CNN_SMALL, batches: [1, 64] },
    { setting: CNN_LARGE, batches: [1, 64] },
    { setting: VGG16, batches: [1, 8] },
  ],
  tiny: [
    { setting: CNN_SMALL, batches: [1, 2] },
    { setting: VGG16_TINY, batches: [2] },
  ],
};

export const forward: Subject = {
  about: 'forward passes of cnn-small, cnn-large and vgg16: in the value domain, and as plans',
  *races({ engine, size }) {
    for (const { setting, batches } of NETWORKS[size]) {
      const model = loweredOf(engine, setting);
      for (const batch of batches) {
        const [direct, any] = [false, true].map((allowWinograd) =>
          compilePlan(model, { batch, allowWinograd }),
        ) as [Plan, Plan];
        yield {
          title: `${setting.network}, forward, batch ${batch}`,
          contestants: [
            inValues('value domain', model, batch),
            planned('plan, direct sums', direct),
            planned('plan', any),
          ],
          quotients: [{ of: 'plan', to: 'value domain' }],
        };
        direct.free();
        any.free();
      }
      freeModel(model);
    }
  },
};
