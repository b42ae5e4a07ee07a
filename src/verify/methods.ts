/** Which bounds a search uses on a network. */
import { intervalRows, type RowBounds } from './bounds';
import { lineRows, optimisedRows } from './row-lines';

const crown = lineRows('crown', { hidden: 'unstable' });

export interface Methods {
  /** For the whole region, the cheap ones first. */
  readonly bounds: readonly RowBounds[];
  /** For its parts. */
  readonly parts: RowBounds;
}

export const METHODS: Methods = {
  bounds: [
    intervalRows,
    lineRows('crown-ibp', { hidden: 'interval' }),
    crown,
    optimisedRows('alpha-crown', {}),
  ],
  parts: crown,
};
