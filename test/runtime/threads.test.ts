/** A split never crosses a reduction, so nothing a training step computes depends on the threads. */
import { describe, expect, it } from 'vitest';
import { newPass, propagate } from '../../src/domain/domain';
import { ball } from '../../src/domain/interval';
import { intervalMargins } from '../../src/domain/rows';
import { value } from '../../src/domain/value';
import { type Network, sequential } from '../../src/nn/graph';
import { createModel, trainableNames } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import { type Engine, load } from '../../src/runtime/engine';
import { add, mean, neg } from '../../src/tensor/ops/core';
import { crossEntropy } from '../../src/tensor/ops/loss';
import { gradients } from '../../src/tensor/tape';
import { input, step } from '../../src/tensor/tensor';
import { binaries, bits, workersOnly } from '../helpers/engine';
import { sampler } from '../helpers/random';

const NETWORKS: Readonly<Record<string, Network>> = {
  'cnn-small': buildNetwork('cnn-small', {}, [1, 28, 28], 10),
  'every other layer': sequential(
    'mixed',
    [3, 17, 17],
    [
      ['normalise', { mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.25] }],
      ['conv2d', { channels: 24, kernel: [3, 5], stride: [1, 2], padding: [1, 2] }],
      ['batch-norm'],
      ['leaky-relu'],
      ['max-pool', { kernel: 3, stride: 2, padding: 1 }],
      ['conv2d', { channels: 40, kernel: 3, dilation: 2, padding: 2, bias: false }],
      ['sigmoid'],
      ['avg-pool', { kernel: 2 }],
      ['dropout', { rate: 0.25 }],
      ['flatten'],
      ['dense', { units: 65 }],
      ['tanh'],
      ['dense', { units: 10 }],
    ],
  ),
};

/** Logits, margins, updated statistics and every gradient of one training step. */
function trainingStep(engine: Engine, network: Network, batch: number): Uint32Array[] {
  const model = createModel(engine, network, { seed: 3 });
  const names = trainableNames(model.graph);
  const data = sampler(1).array([batch, ...network.input], 0, 1);
  const labels = Array.from({ length: batch }, (_, i) => i % 10);
  const out = step(engine, () => {
    const x = input(engine, data.data, data.shape);
    const wanted = names.map((name) => model.params.get(name)!);
    const { result, gradients: g } = gradients(engine, wanted, () => {
      const pass = newPass({ key: { seed: 5, stream: 6 } });
      const z = propagate(model.graph, model.params, value, x, { pass });
      const box = ball(x, 0.1, { sound: true });
      const margins = intervalMargins(model.graph, model.params, box, labels, {
        sound: true,
        pass,
      });
      const loss = add(mean(crossEntropy(z, labels)), mean(crossEntropy(neg(margins), labels)));
      return { loss, z, margins, updates: [...pass.updates.values()] };
    });
    return [result.loss, result.z, result.margins, ...result.updates, ...g].map((t) => t.read());
  });
  return out.map(bits);
}

describe.each(binaries())('%s', (binary) => {
  it.each(Object.keys(NETWORKS))('%s is the same on 1, 2 and 3 threads', async (name) => {
    const results: Uint32Array[][] = [];
    for (const threads of [1, 2, 3]) {
      const engine = await load({ binary, threads });
      await engine.settled();
      expect(engine.threads).toBe(threads);
      const takeBack = workersOnly();
      results.push(trainingStep(engine, NETWORKS[name]!, 33));
      expect(takeBack.mock.calls.length > 0).toBe(threads > 1);
      takeBack.mockRestore();
      engine.close();
    }
    const [one, two, three] = results;
    expect(one!.length).toBeGreaterThan(10);
    expect(one!.every((array) => new Float32Array(array.buffer).every(Number.isFinite))).toBe(true);
    // Positions rather than whole arrays: a difference would take minutes to print.
    const differing = (other: readonly Uint32Array[]): number[] =>
      [...one!.keys()].filter((i) => !one![i]!.every((word, at) => word === other[i]![at]));
    expect(one!.map((a) => a.length)).toEqual(two!.map((a) => a.length));
    expect(differing(two!)).toEqual([]);
    expect(differing(three!)).toEqual([]);
  });
});
