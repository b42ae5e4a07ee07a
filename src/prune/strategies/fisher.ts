/**
 * WoodFisher (Singh and Alistarh 2020, "WoodFisher: Efficient second-order approximation for neural network
 * compression", arXiv 2004.14340): optimal brain surgeon by blocks of the empirical Fisher matrix, the mean
 * of g g' over the gradients g of samples' own losses. The weights of the smallest w^2 / (2 [F^-1]_ii) go,
 * and those that stay move so that the loss, as F sees it, changes least.
 *
 * Deviations: those that stay move to the minimum given all that go, where the paper adds up what each
 * removal asks for alone; `dampening` is a share of the mean diagonal of F, not a number of its own.
 * Cost: a forward and backward pass a sample, `samples` times the weights in memory, and about 2 samples^2
 * multiply-adds a weight in JavaScript.
 */
import * as v from 'valibot';
import { type Model, prunableNames } from '../../nn/model';
import { type ParameterData, plainData } from '../../nn/parameterisation';
import { real, whole } from '../../options';
import { compensation, inverseDiagonal, type Rows } from '../fisher-blocks';
import { type LossOracle, oracleOf } from '../oracle';
import { scoring } from '../scoring';
import { scoresFrom } from '../select';
import type { Masks } from '../strategy';

export const fisher = scoring({
  name: 'fisher',
  about: 'weights cheapest by blocks of the Fisher matrix go, the others make good for them',
  scope: 'global',
  needs: ['training', 'data'],
  options: {
    samples: v.optional(whole(1), 128),
    /** Weights a block. */
    block: v.optional(whole(1), 2000),
    dampening: v.optional(real(1e-9), 0.01),
  },
  // What it decides is weights, too, so training goes on from those it judged.
  phase: () => ({ name: 'finetune', decides: 'best', start: 'best' }),
  scores(context, { samples, block, dampening }) {
    const { model } = context;
    const rows = gradientRows(oracleOf(context, 'fisher'), model, samples);
    const d = dampening * meanSquare(rows) || Number.MIN_VALUE ** 0.5;
    const scores = Array.from(rows, ([name, own]) => {
      const weights = model.params.get(name)!.read();
      const found = new Float64Array(weights.length);
      for (const [from, to] of blocksOf(weights.length, block))
        inverseDiagonal(own, d, from, to).forEach((inverse, i) => {
          found[from + i] = weights[from + i]! ** 2 / (2 * inverse);
        });
      return [name, found] as const;
    });
    return Object.assign(scoresFrom(new Map(scores), 'fisher'), {
      moved: (masks: Masks) => movedWeights(model, rows, d, block, masks),
    });
  },
});

/** The weights that stay, after they have made good for those that the masks take. */
function movedWeights(
  { params }: Model,
  rows: ReadonlyMap<string, Rows>,
  d: number,
  block: number,
  masks: Masks,
): Map<string, ParameterData> {
  return new Map(
    Array.from(masks, ([name, mask]) => {
      const weights = params.get(name)!.read();
      const moved = weights.slice();
      for (const [from, to] of blocksOf(weights.length, block)) {
        const places = Array.from({ length: to - from }, (_, i) => from + i);
        const stay = places.filter((i) => mask[i] === 1);
        const go = places.filter((i) => mask[i] === 0);
        const by = compensation(rows.get(name)!, d, weights, { stay, go });
        stay.forEach((place, i) => {
          moved[place]! += by[i]!;
        });
      }
      return [name, plainData(moved, mask)];
    }),
  );
}

function blocksOf(size: number, block: number): [from: number, to: number][] {
  return Array.from({ length: Math.ceil(size / block) }, (_, i) => [
    i * block,
    Math.min(size, (i + 1) * block),
  ]);
}

/** Gradients of the own losses of the first samples, by prunable parameter. */
function gradientRows(oracle: LossOracle, model: Model, samples: number): Map<string, Rows> {
  const count = Math.min(samples, oracle.batches * oracle.samples);
  const names = prunableNames(model.graph);
  const rows = new Map(names.map((name): [string, Float32Array[]] => [name, []]));
  for (let i = 0; i < count; i++) {
    const sample = i % oracle.samples;
    const { gradients } = oracle.ask(model, (i - sample) / oracle.samples, { sample });
    for (const name of names) rows.get(name)!.push(gradients.get(name)!);
  }
  return rows;
}

/** Mean of all squared gradients: the mean diagonal of the Fisher matrix. */
function meanSquare(rows: ReadonlyMap<string, Rows>): number {
  let [sum, count] = [0, 0];
  for (const own of rows.values())
    for (const g of own) {
      for (let i = 0; i < g.length; i++) sum += g[i]! ** 2;
      count += g.length;
    }
  return sum / count;
}
