/**
 * Gradients at the sharpest nearby point (Foret et al. 2021, "Sharpness-aware minimization", arXiv
 * 2010.01412): the leaves climb along their gradients, the loss is looked at there, and they come back. Of
 * weights it is adversarial weight perturbation without the adversary (Wu et al. 2020, arXiv 2004.05884), of
 * pruning scores S2AP (arXiv 2510.18381).
 *
 * Each leaf moves by a share of its own norm, as in the second and third; biases and norms rest. Cost: every
 * update is two.
 */
import type { Leaf } from '../nn/training-model';
import { affine, lincomb, sum } from '../tensor/ops/core';
import { square } from '../tensor/ops/elementwise';
import { assign, item, type Tensor } from '../tensor/tensor';

/** What `look` gives with the leaves moved up by `radius` times their norms along their gradients. */
export function atSharpest<T>(
  leaves: readonly Leaf[],
  gradients: readonly Tensor[],
  radius: number,
  look: () => T,
): T {
  const before = leaves.map(({ tensor }) => affine(tensor, 1, 0));
  leaves.forEach(({ tensor, decays }, i) => {
    const g = gradients[i]!;
    const length = norm(g);
    if (!decays || length === 0 || !Number.isFinite(length)) return;
    assign(tensor, lincomb(1, tensor, (radius * norm(tensor)) / length, g));
  });
  try {
    return look();
  } finally {
    leaves.forEach(({ tensor }, i) => {
      assign(tensor, before[i]!);
    });
  }
}

const norm = (x: Tensor): number => Math.sqrt(item(sum(square(x))));
