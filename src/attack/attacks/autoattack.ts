/**
 * AutoAttack, standard (Croce and Hein 2020): APGD on the cross entropy, targeted APGD, targeted FAB and Square, each with
 * its standard settings and on the images that those before it left.
 */
import * as v from 'valibot';
import { NORM_NAMES } from '../../domain/balls';
import { choice } from '../../options';
import { attack } from '../attack';
import { TWO_NORMS } from '../geometry';
import { inOrder, named } from '../search';
import { apgdCe } from './apgd-ce';
import { apgdT } from './apgd-t';
import { fabT } from './fab-t';
import { square } from './square';

const STANDARD = [apgdCe, apgdT, fabT, square] as const;

export const autoattack = attack({
  name: 'autoattack',
  about: 'AutoAttack, standard: apgd-ce, apgd-t, fab-t, square in turn; norm',
  options: v.strictObject({ norm: v.optional(choice(TWO_NORMS), 'linf') }),
  describe: ({ norm }, eps) => `AutoAttack, standard, ${NORM_NAMES[norm]}, eps ${eps}`,
  norm: (o) => o.norm,
  passes: (o) => STANDARD.reduce((sum, { passes }) => sum + passes!(o), 0),
  search: (subject, o) =>
    inOrder(STANDARD.map((entry) => named(entry.name, entry.search!(subject, o)))),
});
