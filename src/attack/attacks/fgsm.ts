/** Fast gradient sign method (Goodfellow et al. 2015): one step of length eps. */
import * as v from 'valibot';
import { step } from '../../tensor/tensor';
import { ascend } from '../ascent';
import { attack, batchTensor } from '../attack';

export const fgsm = attack({
  name: 'fgsm',
  about: 'fast gradient sign method: one step of length eps',
  options: v.strictObject({}),
  describe: (_, eps) => `FGSM, L-infinity, eps ${eps}`,
  norm: () => 'linf',
  run(job) {
    return step(job.model.engine, () => {
      const x = batchTensor(job);
      const ball = { x, eps: job.eps, norm: 'linf' } as const;
      return ascend(job.model, ball, x, job.labels, job.eps).next.read();
    });
  },
});
