/** All kinds of parameterisations by name. A new one is one file and one line. */
import type { ParameterisationKind } from '../parameterisation';
import { plain } from './plain';
import { rated } from './rated';
import { scored } from './scored';
import { shared } from './shared';
import { spliced } from './spliced';

export const parameterisations: Readonly<Record<string, ParameterisationKind>> = {
  plain,
  shared,
  scored,
  rated,
  spliced,
};
