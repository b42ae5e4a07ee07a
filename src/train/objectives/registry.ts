/** All training objectives by name. */
import type { Objective } from '../objective';
import { adversarial } from './adversarial';
import { benign } from './benign';
import { ccIbp } from './cc-ibp';
import { crownIbp } from './crown-ibp';
import { domainAdaptation } from './domain-adaptation';
import { dual } from './dual';
import { ensemble } from './ensemble';
import { expIbp } from './exp-ibp';
import { free } from './free';
import { ibp } from './ibp';
import { mixtrain } from './mixtrain';
import { mtlIbp } from './mtl-ibp';
import { smallBox } from './small-box';
import { smoothing } from './smoothing';
import { trades } from './trades';
import { zonotope } from './zonotope';

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
  'mtl-ibp': mtlIbp,
  'cc-ibp': ccIbp,
  'exp-ibp': expIbp,
  'small-box': smallBox,
  mixtrain,
  dual,
  zonotope,
};
