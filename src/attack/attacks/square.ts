/** Square attack (Andriushchenko et al. 2020), a black box: see ../square.ts. */
import * as v from 'valibot';
import { NORM_NAMES } from '../../domain/balls';
import { choice, real, whole } from '../../options';
import { attack } from '../attack';
import { drawsOf } from '../draws';
import { TWO_NORMS } from '../geometry';
import { inOrder } from '../search';
import { squares } from '../square';

export const square = attack({
  name: 'square',
  about: 'random search by squares, without gradients: queries, restarts, p, norm',
  options: v.strictObject({
    queries: v.optional(whole(1), 5000),
    restarts: v.optional(whole(1), 1),
    /** Share of the image that the first squares cover. */
    p: v.optional(real(0, 1), 0.8),
    norm: v.optional(choice(TWO_NORMS), 'linf'),
  }),
  describe: (o, eps) =>
    `Square, ${o.queries} queries, ${o.restarts} restart${o.restarts > 1 ? 's' : ''}, ${NORM_NAMES[o.norm]}, eps ${eps}, p ${o.p}`,
  norm: (o) => o.norm,
  passes: (o) => o.restarts * o.queries,
  search(subject, o) {
    const ball = { image: subject.image, eps: subject.eps, norm: o.norm };
    return inOrder(
      Array.from({ length: o.restarts }, (_, restart) =>
        squares(subject, ball, o, drawsOf(subject, 'square', restart)),
      ),
    );
  },
});
