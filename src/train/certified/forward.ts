/** Margins and hidden boxes of a batch by zonotopes, differentiable. */
import {
  boxAround,
  type Errors,
  type Zonotope,
  zonotope,
  zonotopeMargins,
  zonotopeOf,
} from '../../bounds/zonotope';
import { propagate } from '../../domain/domain';
import { ball } from '../../domain/interval';
import { lastAffine } from '../../domain/rows';
import type { GraphNode } from '../../nn/graph';
import type { Tensor } from '../../tensor/tensor';
import type { RobustContext } from './family';
import type { Hidden } from './terms';

export function byZonotopes(
  { model, x, labels, radius, pass, watch }: RobustContext,
  errors: Errors,
): { readonly margins: Tensor; readonly hidden: readonly Hidden[] } {
  const { graph, params } = model;
  const before = lastAffine(graph);
  const hidden: Hidden[] = [];
  const observe = (node: GraphNode, at: Zonotope): void => {
    if (watch && node.layer.role === 'pointwise') hidden.push({ node, box: boxAround(at, errors) });
  };
  const first = zonotopeOf(ball(x, radius, { sound: false }), errors);
  const options = { pass, observe, ...(before && { before }) };
  const last = propagate(graph, params, zonotope(errors), first, options);
  return { margins: zonotopeMargins(model, last, labels, errors), hidden };
}
