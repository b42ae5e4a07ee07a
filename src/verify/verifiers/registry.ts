/** All verifiers by name. */
import type { Verifier } from '../verifier';
import { interval } from './interval';

export const verifiers: Readonly<Record<string, Verifier>> = { interval };
