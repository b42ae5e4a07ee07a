/** All attacks by name. */
import type { Attack } from '../attack';
import { apgdCe } from './apgd-ce';
import { apgdDlr } from './apgd-dlr';
import { apgdT } from './apgd-t';
import { autoattack } from './autoattack';
import { bim } from './bim';
import { cw } from './cw';
import { deepfool } from './deepfool';
import { fab } from './fab';
import { fabT } from './fab-t';
import { fgsm } from './fgsm';
import { lbfgs } from './lbfgs';
import { mim } from './mim';
import { pgd } from './pgd';
import { square } from './square';

export const attacks: Readonly<Record<string, Attack>> = {
  fgsm,
  pgd,
  'apgd-ce': apgdCe,
  'apgd-dlr': apgdDlr,
  'apgd-t': apgdT,
  fab,
  'fab-t': fabT,
  square,
  autoattack,
  bim,
  mim,
  deepfool,
  cw,
  lbfgs,
};
