/** Auto-PGD on the cross entropy (Croce and Hein 2020), see ../apgd.ts. */
import * as v from 'valibot';
import { APGD_OPTIONS, apgdText, fromStarts } from '../apgd';
import { attack } from '../attack';
import { crossEntropy } from '../loss';

export const apgdCe = attack({
  name: 'apgd-ce',
  about: 'Auto-PGD on the cross entropy: steps, restarts, rho, norm',
  options: v.strictObject(APGD_OPTIONS),
  describe: (o, eps) => apgdText('APGD-CE', o, eps),
  norm: (o) => o.norm,
  passes: (o) => 3 * o.restarts * (o.steps + 1),
  search: (subject, o) => fromStarts(subject, 'apgdCe', crossEntropy(subject.label), o),
});
