/** The bounds that a search uses. */
import { intervalRows, type RowBounds } from './bounds';
import { lineRows, optimisedRows } from './row-lines';

export interface Methods {
  /** For the whole region, the cheap ones first. */
  readonly bounds: readonly RowBounds[];
  /** After them, where the region has too many inputs to be split. */
  readonly dear: readonly RowBounds[];
  /** For the parts of a region that is split. */
  readonly parts: RowBounds;
}

const crown = lineRows('crown', { hidden: 'unstable' });

export const METHODS: Methods = {
  bounds: [intervalRows, lineRows('crown-ibp', { hidden: 'interval' }), crown],
  dear: [optimisedRows('alpha-crown', {})],
  parts: crown,
};
