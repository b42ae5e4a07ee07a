/**
 * Oracles of networks with a defence around them, for attacks that are written as searches: `runAttack(entry, options,
 * { ...job, oracle })`.
 */
import { expect } from '../errors';
import type { AnyModel } from '../nn/model';
import type { Oracle } from './job';
import { oracleOf } from './search';

/**
 * Expectation over transformations (Athalye et al. 2018, "Synthesizing robust adversarial examples"): logits and gradients
 * averaged over draws of a randomised network. `draw(k)` is the network under its k-th draw; draws are the same at
 * every step, so a search is a function of its start. Cost: `draws` times that of one.
 */
export function eot(draw: (k: number) => Oracle, draws: number): Oracle {
  expect(Number.isInteger(draws) && draws >= 1, 'eot', 'a number of draws >= 1', draws);
  const all = Array.from({ length: draws }, (_, k) => draw(k));
  return {
    logits: (images, index) => meanOf(all.map((one) => one.logits(images, index))),
    gradient(images, index, weights) {
      const each = all.map((one) => one.gradient(images, index, weights));
      return {
        z: meanOf(each.map(({ z }) => z)),
        gradient: meanOf(each.map(({ gradient }) => gradient)),
      };
    },
  };
}

function meanOf(lists: readonly Float32Array[]): Float32Array {
  const sums = new Float64Array(lists[0]!.length);
  for (const list of lists) for (const [i, v] of list.entries()) sums[i]! += v;
  return Float32Array.from(sums.map((v) => v / lists.length));
}

export interface Bpda {
  /** What the defence makes of images [n, ...shape]; the shape stays. */
  readonly forward: (images: Float32Array, index: Int32Array) => Float32Array;
  /** Gradient at the images from that at `forward` of them; by default the same, as of the identity. */
  readonly backward?: (gradient: Float32Array, images: Float32Array) => Float32Array;
}

/**
 * Backward pass differentiable approximation (Athalye, Carlini and Wagner 2018, "Obfuscated gradients give a false sense
 * of security"): a network behind a step that has no useful derivative, which gradients pass by another rule.
 */
export function bpda(model: AnyModel, { forward, backward = (g) => g }: Bpda): Oracle {
  const network = oracleOf(model);
  return {
    logits: (images, index) => network.logits(forward(images, index), index),
    gradient(images, index, weights) {
      const { z, gradient } = network.gradient(forward(images, index), index, weights);
      return { z, gradient: backward(gradient, images) };
    },
  };
}
