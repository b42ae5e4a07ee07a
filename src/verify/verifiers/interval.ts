/**
 * Interval bound propagation (Gowal et al. 2018) with outward rounding, of the box around a ball of
 * another norm. Cost: two products a layer, of W and of |W|.
 */
import * as v from 'valibot';
import { intervalMethod } from '../methods';
import { byBounds } from '../prove';
import { ballText, shared, soundness } from './options';

export const interval = byBounds({
  name: 'interval',
  about: 'interval bound propagation, sound in floating point: sound, norm',
  options: v.strictObject({ sound: shared.sound, norm: shared.norm }),
  describe: (o, eps) => `interval bounds, ${soundness(o.sound)}, ${ballText(o.norm, eps)}`,
  methods: ({ sound }) => [intervalMethod({ sound })],
});
