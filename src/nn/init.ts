/** How weights begin. Every draw is keyed by (seed, parameter position), so networks repeat. */
import type { Engine } from '../runtime/engine';
import { normal, uniform } from '../tensor/ops/random';
import { STREAMS } from '../tensor/philox';
import { sizeOf } from '../tensor/shape';
import { filled, input, type Tensor } from '../tensor/tensor';
import type { ParamSpec } from './layer';

/** Standard deviation (or half-width) of the weights as a function of their fan-in. */
export const initialisers = {
  /** He et al. 2015, normal with variance 2 / fan-in. */
  kaiming: {
    about: 'normal, variance 2 / fan-in (He et al. 2015)',
    spread: (n: number) => Math.sqrt(2 / n),
  },
  /** The default of PyTorch's layers: uniform in +-1 / sqrt(fan-in). */
  uniform: { about: 'uniform in +-1 / sqrt(fan-in)', spread: (n: number) => 1 / Math.sqrt(n) },
  /** Shi et al. 2021: interval widths neither grow nor shrink from layer to layer. */
  interval: {
    about: 'normal, deviation sqrt(2 pi) / fan-in (Shi et al. 2021)',
    spread: (n: number) => Math.sqrt(2 * Math.PI) / n,
  },
} as const;

export type Initialiser = keyof typeof initialisers;

/** The first values of one parameter, in the current step. */
export function initialise(
  engine: Engine,
  spec: ParamSpec,
  how: Initialiser,
  seed: number,
  position: number,
): Tensor {
  if (typeof spec.init === 'number') return filled(engine, spec.shape, spec.init);
  if (spec.init !== 'weight') return input(engine, spec.init, spec.shape);
  const key = { seed, stream: STREAMS.init, index: [position] };
  const spread = initialisers[how].spread(spec.fanIn);
  const row = [1, sizeOf(spec.shape)];
  return how === 'uniform'
    ? uniform(engine, row, key, -spread, spread)
    : normal(engine, row, key, 0, spread);
}
