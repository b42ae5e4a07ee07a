/** Adversaries of training: what objectives that attack share. */
import { ascend, type Ball, moveUp, randomStart } from '../attack/ascent';
import { runAttack } from '../attack/attack';
import { pgd } from '../attack/attacks/pgd';
import type { Norm } from '../domain/balls';
import { STREAMS } from '../tensor/philox';
import { gradients } from '../tensor/tape';
import { step, type Tensor } from '../tensor/tensor';
import type { HeldOutBatch, LossContext } from './objective';
import { rampTo } from './schedules';

/** 1 for every held-out image that PGD of ten steps from a random start leaves right. */
export function robustToPgd(batch: HeldOutBatch, eps: number, norm: Norm): Uint8Array {
  const settings = { steps: 10, restarts: 1, stepSize: null, norm, randomStart: true };
  const { broken } = runAttack(pgd, settings, { ...batch, eps });
  return broken.map((b) => 1 - b);
}

/** The radius of a batch: eps times `factor`, in pre-training grown from zero over `rampShare` of the epochs. */
export function trainingRadius(
  { epoch, epochs, ramp }: Pick<LossContext, 'epoch' | 'epochs' | 'ramp'>,
  o: { readonly eps: number; readonly factor: number; readonly rampShare: number },
): number {
  const full = o.eps * o.factor;
  return ramp ? rampTo(full, epoch, 0, o.rampShare * epochs) : full;
}

export interface AttackSteps {
  readonly steps: number;
  /** Step length as a share of the radius; null is 1.25 for one step, else 2.5 / steps. */
  readonly stepSize: number | null;
}

/** The point that PGD from a random start finds in a ball around the batch; a constant of the loss. */
export function attackedPoint(
  context: LossContext,
  { eps, norm }: Omit<Ball, 'x'>,
  { steps, stepSize }: AttackSteps,
): Tensor {
  const { model, x, labels, pass } = context;
  const ball = { x, eps, norm };
  const length = eps * (stepSize ?? (steps === 1 ? 1.25 : 2.5 / steps));
  let at = randomStart(ball, drawKey(context));
  for (let i = 0; i < steps; i++)
    at = step(model.engine, () => ascend(model, ball, at, labels, length, pass).next);
  return at;
}

/**
 * Where `steps` steps of the given length up a loss of the images end, from `at`: a constant of the
 * surrounding loss. `lossOf` gives one element.
 */
export function climb(
  ball: Ball,
  at: Tensor,
  { steps, length }: { readonly steps: number; readonly length: number },
  lossOf: (at: Tensor) => Tensor,
): Tensor {
  const { engine } = at;
  let here = at;
  for (let i = 0; i < steps; i++)
    here = step(engine, () => {
      const { gradients: found } = gradients(engine, [here], () => ({ loss: lossOf(here) }));
      return moveUp(ball, here, found[0]!, length);
    });
  return here;
}

/** Where the random numbers of a batch in its epoch come from; `offset` sets uses apart. */
export const drawKey = (
  { seed, epoch, index }: Pick<LossContext, 'seed' | 'epoch' | 'index'>,
  stream: 'attack' | 'noise' = 'attack',
  offset = 0,
) => ({ seed: seed + Math.floor(epoch), stream: STREAMS[stream] + 1000 * offset, index });
