/** Which bounds a search uses on a network. */
import type { Model } from '../nn/model';
import { intervalRows, type RowBounds } from './bounds';

export interface Methods {
  /** For the whole region, the cheap ones first. */
  readonly bounds: readonly RowBounds[];
  /** For its parts. */
  readonly parts: RowBounds;
}

export function methodsFor(_model: Model): Methods {
  return { bounds: [intervalRows], parts: intervalRows };
}
