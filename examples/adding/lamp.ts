/**
 * LAMP (Lee et al. 2021, "Layer-adaptive sparsity for the magnitude-based pruning", arXiv
 * 2010.07611): the score of a weight is its square over the sum of the squares of all weights of its
 * layer that are not smaller. One threshold over all layers then gives each its own density.
 *
 * Cost: a sort of every layer, in JavaScript.
 */
import { scoring } from '../../src/prune/scoring';
import { input, type Tensor } from '../../src/tensor/tensor';

export const lamp = scoring({
  name: 'lamp',
  about: 'smallest w^2 over the sum of larger ones of its layer go',
  scope: 'global',
  scores: () => lampScores,
});

/** Scores in [0, 1], shaped like the weight; the largest weight of a layer scores 1. */
function lampScores(weight: Tensor): Tensor {
  const squares = Float64Array.from(weight.read(), (w) => w * w);
  const order = Array.from(squares.keys()).sort((a, b) => squares[b]! - squares[a]!);
  const scores = new Float32Array(squares.length);
  let sum = 0;
  for (const i of order) {
    sum += squares[i]!;
    scores[i] = sum > 0 ? squares[i]! / sum : 0;
  }
  return input(weight.engine, scores, weight.shape);
}
