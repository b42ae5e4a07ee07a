/**
 * What the forms of a product cost, in multiply-adds of the register tile (assembly/tile.ts) that
 * would take as long: for every form how much of each kind of work it does, times a factor. The factors
 * that ship were measured (npm run bench -- convolutions forward sparse); `espalier bench --fit`
 * measures those of another machine, for plans (plan/plan.ts). Operations outside of plans, and so
 * training, attacks and certificates, always go by the shipped ones.
 */
import { type ConvGeometry, fitsDirect, PANEL } from './kernels';

export const SHIPPED = {
  // Gathering takes a few steps of every panel.
  conv: { product: 1, gather: 8, output: 5, panel: 400 },
  direct: { product: 1, tap: 3, output: 7, input: 6 },
  winograd: { product: 17.8, input: 190, output: 60, panel: 1500 },
  gemm: { product: 1 },
  gemv: { product: 1.5 },
  csr: { product: 1.5, row: 3 },
  '4x1': { product: 1.2, row: 6 },
  /** Non-zeros that meet a single number each. */
  single: { product: 9 },
  /** Between layouts. */
  copy: { element: 37 },
};

export type Costs = {
  readonly [F in keyof typeof SHIPPED]: Readonly<Record<keyof (typeof SHIPPED)[F], number>>;
};
export type CostForm = keyof Costs;
/** How much of each kind of work a form does; none where it does not apply. */
export type Work<F extends CostForm> = Readonly<Record<keyof Costs[F], number>> | undefined;

/** Infinity where the form does not apply. */
export function costOf(
  form: CostForm,
  work: Readonly<Record<string, number>> | undefined,
  costs: Costs = SHIPPED,
): number {
  if (!work) return Infinity;
  const factors: Readonly<Record<string, number>> = costs[form];
  return Object.entries(work).reduce((sum, [key, amount]) => sum + factors[key]! * amount, 0);
}

/** Lanes of whole panels; half a panel takes two thirds of the time. */
function lanes(positions: number): number {
  const rest = positions % PANEL;
  return positions - rest + (rest === 0 ? 0 : rest <= PANEL / 2 ? (2 * PANEL) / 3 : PANEL);
}

/** Work of `conv2d`. */
export function gatheredWork(
  ...[n, c, , , oc, kh, kw, , , , , , , oh, ow]: ConvGeometry
): Work<'conv'> {
  const [at, depth] = [lanes(n * oh * ow), c * kh * kw];
  return { product: at * depth * oc, gather: at * depth, output: at * oc, panel: at };
}

/** Work of `conv2d_direct`. */
export function directWork(...g: ConvGeometry): Work<'direct'> {
  const [n, c, , , oc, kh, kw, sh, sw, , , , , oh, ow] = g;
  if (!fitsDirect(...g)) return undefined;
  const [at, depth] = [4 * n * oh * Math.ceil(ow / 4), c * kh * kw];
  return { product: at * depth * oc, tap: at * depth, output: at * oc, input: at * c * sh * sw };
}

/** Outputs of a tile of winograd.ts in one direction, or 0 where it does not apply. */
function winogradTile(...[, , , , , kh, kw, sh, sw, , , dh, dw]: ConvGeometry): number {
  const fits = kh === kw && sh === sw && dh === 1 && dw === 1;
  const known = (kh === 3 && sh === 1) || (kh === 4 && sh === 2) || (kh === 2 && sh === 1);
  return fits && known ? 5 - kh / sh : 0;
}

/** Work of `conv2d_winograd` on transformed weights. */
export function winogradWork(...g: ConvGeometry): Work<'winograd'> {
  const [n, c, , , oc, , , sh, sw, , , , , oh, ow] = g;
  const m = winogradTile(...g);
  if (m === 0) return undefined;
  const tiles = lanes(n * Math.ceil(oh / m) * Math.ceil(ow / m));
  const depth = c * sh * sw;
  return {
    product: tiles * depth * oc,
    input: tiles * depth,
    output: tiles * oc,
    panel: tiles,
  };
}

export const gatheredCost = (...g: ConvGeometry): number => costOf('conv', gatheredWork(...g));
export const directCost = (...g: ConvGeometry): number => costOf('direct', directWork(...g));
export const winogradCost = (...g: ConvGeometry): number => costOf('winograd', winogradWork(...g));

/** Cost of `winograd_weights`. */
export const transformCost = (...[, c, , , oc, , , sh, sw]: ConvGeometry): number =>
  280 * oc * c * sh * sw;
