/** Says that a model has no weight outside of its masks, and no more than they keep. */
import { expect } from 'vitest';
import type { Model } from '../../src/nn/model';
import type { Masks } from '../../src/prune/strategy';

export function expectMasked(model: Model, masks: Masks): void {
  for (const [name, mask] of masks) {
    const values = model.params.get(name)!.read();
    expect(values.length, name).toBe(mask.length);
    values.forEach((w, i) => {
      if (mask[i] === 0 && !Object.is(w, 0)) expect(w, `${name}, place ${i}`).toBe(0);
    });
  }
}
