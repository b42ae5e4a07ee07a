/** All training objectives by name. */
import type { Objective } from '../objective';
import { adversarial } from './adversarial';
import { benign } from './benign';
import { crownIbp } from './crown-ibp';
import { domainAdaptation } from './domain-adaptation';
import { ensemble } from './ensemble';
import { free } from './free';
import { ibp } from './ibp';
import { smoothing } from './smoothing';
import { trades } from './trades';

export const objectives: Readonly<Record<string, Objective>> = {
  benign,
  adversarial,
  trades,
  free,
  ensemble,
  'domain-adaptation': domainAdaptation,
  smoothing,
  ibp,
  'crown-ibp': crownIbp,
};
