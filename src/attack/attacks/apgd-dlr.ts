/** Auto-PGD on the difference of logits ratio (Croce and Hein 2020), see ../apgd.ts. */
import * as v from 'valibot';
import { APGD_OPTIONS, apgdText, fromStarts } from '../apgd';
import { attack } from '../attack';
import { dlr, FEW_CLASSES } from '../loss';

export const apgdDlr = attack({
  name: 'apgd-dlr',
  about: 'Auto-PGD on the difference of logits ratio: steps, restarts, rho, norm',
  options: v.strictObject(APGD_OPTIONS),
  describe: (o, eps) => `${apgdText('APGD-DLR', o, eps)} (${FEW_CLASSES})`,
  norm: (o) => o.norm,
  passes: (o) => 3 * o.restarts * (o.steps + 1),
  search: (subject, o) => fromStarts(subject, 'apgdDlr', dlr(subject.label), o),
});
