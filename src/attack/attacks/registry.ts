/** All attacks by name. */
import type { Attack } from '../attack';
import { fgsm } from './fgsm';
import { pgd } from './pgd';

export const attacks: Readonly<Record<string, Attack>> = { fgsm, pgd };
