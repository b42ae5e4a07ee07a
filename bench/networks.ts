/** The networks that are measured, their inputs, and their work in floating-point operations. */
import { logits } from '../src/domain/classifier';
import { inspect } from '../src/measure/inspect';
import { lower } from '../src/nn/lower';
import { type AnyModel, createModel, freeModel, type Model } from '../src/nn/model';
import { buildNetwork } from '../src/nn/zoo';
import type { Plan } from '../src/plan/plan';
import type { Engine } from '../src/runtime/engine';
import { type Shape, sizeOf } from '../src/tensor/shape';
import { input, step } from '../src/tensor/tensor';
import type { Contestant } from './harness';

export interface Setting {
  readonly network: string;
  readonly options?: Readonly<Record<string, unknown>>;
  /** Of one sample. */
  readonly input: Shape;
}

const MNIST = [1, 28, 28];
const CIFAR = [3, 32, 32];

export const CNN_SMALL: Setting = { network: 'cnn-small', input: MNIST };
export const CNN_LARGE: Setting = { network: 'cnn-large', input: MNIST };
export const VGG16: Setting = { network: 'vgg16', input: CIFAR };
/** VGG-16 with a 32nd of its channels, for the smoke tests. */
export const VGG16_TINY: Setting = { ...VGG16, options: { width: 1 / 32 } };

/** A new model with drawn weights; the same every time. */
export function modelOf(engine: Engine, { network, options = {}, input: shape }: Setting): Model {
  return createModel(engine, buildNetwork(network, options, shape, 10), { seed: 1 });
}

/** The model as it is evaluated, batch norm folded away. Free it with `freeModel`. */
export function loweredOf(engine: Engine, setting: Setting): Model {
  const model = modelOf(engine, setting);
  const lowered = lower(model);
  freeModel(model);
  return lowered;
}

/** Operations of a forward pass on one image: those of convolutions and dense layers. */
export function forwardFlops(model: AnyModel): number {
  return model.graph.nodes
    .filter(({ structure }) => structure?.conv)
    .reduce((total, { layer, inputShapes, shape, options }) => {
      return total + 2 * (layer.macs?.(inputShapes[0]!, shape, options as never) ?? 0);
    }, 0);
}

/**
 * Operations of a forward and backward pass on one image: every layer three times, but the first
 * twice, as nothing asks for the gradient of the images.
 */
export function trainingFlops(model: Model): number {
  return 3 * forwardFlops(model) - 2 * (inspect(model).layers[0]?.macs ?? 0);
}

/** Numbers in [0, 1) of a simple recurrence; the same every time. */
export function noise(length: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) / 2 ** 24;
  });
}

/** From an array of images to one of logits. */
export function outputs(model: AnyModel, images: Float32Array): Float32Array {
  const sample = model.graph.network.input;
  const batch = images.length / sizeOf(sample);
  return step(model.engine, () =>
    logits(model, input(model.engine, images, [batch, ...sample])).read(),
  );
}

/** A forward pass in the value domain, as attacks and training run it. */
export const forward = (name: string, model: AnyModel, batch: number): Contestant =>
  contestant(name, model, batch, (images) => outputs(model, images));

/** A run of a plan compiled for the batch. Free the plan. */
export function planned(name: string, plan: Plan): Contestant {
  return contestant(name, plan.model, plan.batch, (images) => plan.run(images));
}

/** A forward pass on a batch, checked against passes on single images in the value domain. */
function contestant(
  name: string,
  model: AnyModel,
  batch: number,
  pass: (images: Float32Array) => Float32Array,
): Contestant {
  const sample = model.graph.network.input;
  const images = noise(batch * sizeOf(sample));
  return {
    name,
    flops: batch * forwardFlops(model),
    images: batch,
    run: () => pass(images),
    check() {
      const together = pass(images);
      const classes = together.length / batch;
      for (const i of [0, batch - 1]) {
        const one = outputs(model, images.subarray(i * sizeOf(sample), (i + 1) * sizeOf(sample)));
        assertClose(one, together.subarray(i * classes, (i + 1) * classes), 1e-4, name);
      }
    },
  };
}

/** Every difference is at most `tolerance` times the largest expected size. */
export function assertClose(
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  who: string,
): void {
  const values = Array.from(expected);
  const size = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const same = got.length === values.length && size > 0;
  const worst = values.reduce((most, x, i) => Math.max(most, Math.abs(x - got[i]!)), 0);
  // Written so that NaN fails.
  if (!same || !(worst <= tolerance * size))
    throw new Error(`${who}: expected results equal to ${tolerance}, got ${worst / size}`);
}
