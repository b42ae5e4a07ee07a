/** All training objectives by name. */
import type { Objective } from '../objective';
import { adversarial } from './adversarial';
import { benign } from './benign';
import { ibp } from './ibp';

export const objectives: Readonly<Record<string, Objective>> = { benign, adversarial, ibp };
