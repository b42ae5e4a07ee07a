/** Soft labels and divergences against float64, values and gradients; what a teacher and smoothing make of labels. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createModel, freeModel } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { sum } from '../../src/tensor/ops/core';
import { gradients } from '../../src/tensor/tape';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import { divergence, labelLoss, softCrossEntropy, targetsOf } from '../../src/train/targets';
import { expectClose } from '../helpers/close';
import { sampler } from '../helpers/random';
import { SMOOTH_NETWORK } from './toy';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

const [ROWS, CLASSES] = [5, 4];
const random = sampler(9);
const logitsOf = (scale: number): number[] =>
  [...random.array([ROWS * CLASSES]).data].map((v) => v * scale);
const around = (z: readonly number[]): number[] =>
  Array.from({ length: ROWS }, (_, i) => {
    const row = z.slice(i * CLASSES, (i + 1) * CLASSES);
    return row.indexOf(Math.max(...row));
  });

function logSoftmax64(z: readonly number[]): number[] {
  return z.map((v, at) => {
    const row = z.slice(at - (at % CLASSES), at - (at % CLASSES) + CLASSES);
    const top = Math.max(...row);
    return v - top - Math.log(row.reduce((total, w) => total + Math.exp(w - top), 0));
  });
}

const soft64 = (z: readonly number[], t: readonly number[]): number =>
  -logSoftmax64(z).reduce((total, l, at) => total + l * t[at]!, 0);

function divergence64(a: readonly number[], b: readonly number[]): number {
  const [p, q] = [logSoftmax64(a), logSoftmax64(b)];
  return p.reduce((total, l, at) => total + Math.exp(l) * (l - q[at]!), 0);
}

/** Central differences in float64. */
const slopes = (f: (z: readonly number[]) => number, z: readonly number[]): number[] =>
  z.map((v, i) => (f(z.with(i, v + 1e-5)) - f(z.with(i, v - 1e-5))) / 2e-5);

/** The sum of a loss of rows, and its gradients in both of its arguments. */
function found(a: readonly number[], b: readonly number[], f: (a: Tensor, b: Tensor) => Tensor) {
  return step(engine, () => {
    const both = [a, b].map((z) => input(engine, z, [ROWS, CLASSES])) as [Tensor, Tensor];
    const { result, gradients: g } = gradients(engine, both, () => ({ loss: sum(f(...both)) }));
    return { value: result.loss.read()[0]!, slopes: g.map((t) => [...t.read()]) };
  });
}

describe.each([0.1, 1, 5])('with logits of size %d', (scale) => {
  it('the divergence is that of float64, with its gradients', () => {
    const [a, b] = [logitsOf(scale), logitsOf(scale)];
    const mine = found(a, b, (p, q) => divergence(p, q, around(a)));
    expectClose([mine.value], [divergence64(a, b)], { rel: 1e-5, abs: 1e-5 }, 'value');
    expectClose(
      mine.slopes[0]!,
      slopes((z) => divergence64(z, b), a),
      { rel: 1e-4, abs: 1e-5 },
      'from',
    );
    expectClose(
      mine.slopes[1]!,
      slopes((z) => divergence64(a, z), b),
      { rel: 1e-4, abs: 1e-5 },
      'to',
    );
  });

  it('soft cross entropy is that of float64, with its gradient', () => {
    const z = logitsOf(scale);
    const t = logSoftmax64(logitsOf(1)).map(Math.exp);
    const mine = found(z, t, (a, b) => softCrossEntropy(a, b, around(z)));
    expectClose([mine.value], [soft64(z, t)], { rel: 1e-5, abs: 1e-5 }, 'value');
    expectClose(
      mine.slopes[0]!,
      slopes((a) => soft64(a, t), z),
      { rel: 1e-4, abs: 1e-5 },
      'logits',
    );
  });
});

describe('targets', () => {
  const labels = Int32Array.of(2, 0, 3, 3, 1);
  const images = [...random.array([ROWS * 16]).data];
  const targets = (labelling: Parameters<typeof targetsOf>[0]) => {
    const model = createModel(engine, SMOOTH_NETWORK, { seed: 1 });
    const rows = step(engine, () =>
      targetsOf(labelling, input(engine, images, [ROWS, 1, 4, 4]), labels, model.graph)?.read(),
    );
    freeModel(model);
    return rows && [...rows];
  };

  it('are none where nothing is asked', () => {
    expect(targets(undefined)).toBeUndefined();
    expect(targets({ smoothing: 0, teacher: null })).toBeUndefined();
  });

  it('give a share to all classes alike', () => {
    const rows = targets({ smoothing: 0.2, teacher: null })!;
    labels.forEach((label, i) => {
      for (let j = 0; j < CLASSES; j++)
        expect(rows[i * CLASSES + j]).toBeCloseTo(j === label ? 0.85 : 0.05, 6);
    });
  });

  it('are those of a teacher, flatter the hotter, and sum to 1', () => {
    const model = createModel(engine, SMOOTH_NETWORK, { seed: 7 });
    const of = (weight: number, temperature: number) =>
      targets({ smoothing: 0, teacher: { model, weight, temperature } })!;
    const [cold, hot, half] = [of(1, 0.5), of(1, 1000), of(0.5, 1)];
    expect(Math.max(...cold)).toBeGreaterThan(Math.max(...hot));
    for (const p of hot) expect(p).toBeCloseTo(1 / CLASSES, 2);
    for (let i = 0; i < ROWS; i++) {
      const row = half.slice(i * CLASSES, (i + 1) * CLASSES);
      expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
      expect(row[labels[i]!]).toBeGreaterThan(0.5);
    }
    freeModel(model);
  });

  it('leave a loss of hard labels as it is where these are all', () => {
    const z = logitsOf(2);
    const both = step(engine, () => {
      const logits = input(engine, z, [ROWS, CLASSES]);
      const hard = Array.from({ length: ROWS * CLASSES }, (_, at) =>
        labels[Math.floor(at / CLASSES)] === at % CLASSES ? 1 : 0,
      );
      const targets = input(engine, hard, [ROWS, CLASSES]);
      return [labelLoss({ labels }, logits), labelLoss({ labels, targets }, logits)].map(
        (t) => t.read()[0]!,
      );
    });
    expect(both[1]).toBeCloseTo(both[0]!, 6);
  });
});
