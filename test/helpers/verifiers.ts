/** Verifiers as tests take them all by table. */
import type { Verifier } from '../../src/verify/verifier';

/** Options by which a search of every sample ends soon: `nodes` of those that search, none of the others. */
export const fewNodes = ({ options }: Pick<Verifier, 'options'>, nodes = 30): object =>
  'nodes' in options.entries ? { nodes } : {};
