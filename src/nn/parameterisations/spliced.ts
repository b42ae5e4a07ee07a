/**
 * Entries of which a mask lets some through while all are trained (dynamic network surgery, Guo et al. 2016,
 * arXiv 1608.04493): w_i m_i, with the gradient of each entry going straight through to w_i, of those that
 * are 0 too, so that a weight which grows can be spliced in again.
 *
 * The mask is a strategy's to change. Cost: dense training, and a pass over the entries.
 */
import { expect } from '../../errors';
import { record } from '../../tensor/tape';
import { empty } from '../../tensor/tensor';
import type { ParameterisationKind } from '../parameterisation';

export const spliced: ParameterisationKind = {
  about: 'entries that a mask lets through, all of them trained',
  tensors: {
    weights: { role: 'weight', perEntry: true },
    through: { role: 'constant', perEntry: true },
  },
  entries({ weights, through }) {
    const { engine, shape, size, ptr } = weights!;
    const [product, entries] = [empty(engine, shape), empty(engine, shape)];
    engine.run('mul', 1, 1, size, ptr, 0, 0, 1, through!.ptr, 0, 0, 1, product.ptr);
    // Adding +0 turns the -0 of a negative weight into +0.
    engine.run('affine', size, 1, 0, product.ptr, entries.ptr);
    return record(entries, [weights!], [(g) => g]);
  },
  check({ tensors: { through } }, _, who) {
    const wrong = through!.find((m) => m !== 0 && m !== 1);
    expect(wrong === undefined, `${who}: through`, 'numbers 0 and 1', wrong);
  },
  kept: ({ through }) => new Uint8Array(through!),
};
