/** All training objectives by name. */
import type { Objective } from '../objective';
import { adversarial } from './adversarial';
import { benign } from './benign';
import { crownIbp } from './crown-ibp';
import { ibp } from './ibp';

export const objectives: Readonly<Record<string, Objective>> = {
  benign,
  adversarial,
  ibp,
  'crown-ibp': crownIbp,
};
