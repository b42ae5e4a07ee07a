/**
 * AutoAttack, standard (Croce and Hein 2020): APGD on the cross entropy, targeted APGD, targeted FAB and Square, each with
 * its standard settings and on the images that those before it left.
 */
import * as v from 'valibot';
import { NORM_NAMES } from '../../domain/balls';
import { choice, type Options, whole } from '../../options';
import { type Attack, attack } from '../attack';
import { TWO_NORMS, type TwoNorm } from '../geometry';
import { inOrder, named } from '../search';
import { apgdCe } from './apgd-ce';
import { apgdT } from './apgd-t';
import { fabT } from './fab-t';
import { square } from './square';

const QUERIES = 5000;

/** The attacks in order, with those options that differ from their defaults. */
const stages = ({ norm, queries }: { readonly norm: TwoNorm; readonly queries: number }) =>
  [
    { entry: apgdCe, options: { norm } },
    { entry: apgdT, options: { norm } },
    { entry: fabT, options: { norm } },
    { entry: square, options: { norm, queries } },
  ] as readonly { readonly entry: Attack; readonly options: Options }[];

export const autoattack = attack({
  name: 'autoattack',
  about: 'AutoAttack, standard: apgd-ce, apgd-t, fab-t, square in turn; norm, queries',
  options: v.strictObject({
    norm: v.optional(choice(TWO_NORMS), 'linf'),
    /** Queries of Square, the greater part of the cost; other numbers are not the standard. */
    queries: v.optional(whole(1), QUERIES),
  }),
  describe: ({ norm, queries }, eps) => {
    const kind = queries === QUERIES ? 'standard' : `not standard: ${queries} queries of Square`;
    return `AutoAttack, ${kind}, ${NORM_NAMES[norm]}, eps ${eps}`;
  },
  norm: (o) => o.norm,
  passes: (o) => stages(o).reduce((sum, { entry, options }) => sum + entry.passes!(options), 0),
  search: (subject, o) =>
    inOrder(
      stages(o).map(({ entry, options }) => named(entry.name, entry.search!(subject, options))),
    ),
});
