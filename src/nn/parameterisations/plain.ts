/** Entries that are trained as they are: of a dense weight, or the non-zeros of a masked one. */
import type { ParameterisationKind } from '../parameterisation';

export const plain: ParameterisationKind = {
  about: 'entries as they are',
  tensors: { values: { role: 'weight', perEntry: true } },
  entries: ({ values }) => values!,
};
