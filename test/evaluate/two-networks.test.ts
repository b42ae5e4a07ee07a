/** Properties over two networks that share an input: answered as those of the two side by side. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyFile } from '../../src/evaluate/verify';
import { saveModel } from '../../src/io/model';
import { compile, sequential } from '../../src/nn/graph';
import { freeModel, type Model, modelFrom } from '../../src/nn/model';
import { sideBySide } from '../../src/nn/side-by-side';
import { type Engine, load } from '../../src/runtime/engine';
import { outputsAt } from '../../src/verify/descent';
import { modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';
import { inTemporaryFolder } from '../recipe/temporary';

describe('two networks', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());
  const network = sequential(
    'net',
    [2],
    [['dense', { units: 8 }], ['relu'], ['dense', { units: 6 }], ['relu'], ['dense', { units: 2 }]],
  );
  const random = (seed: number): Model =>
    modelOf(engine, network, randomWeights(compile(network), sampler(seed)));
  /** The model with all weights moved by up to `by`. */
  const moved = (model: Model, by: number): Model =>
    modelFrom(engine, network, (name) => {
      const s = sampler(name.length);
      return model.params
        .get(name)!
        .read()
        .map((v) => v + s.real(-by, by));
    });

  it('side by side give the outputs of both, flat', () => {
    const image = sequential(
      'image',
      [1, 3, 3],
      [['conv2d', { channels: 2, kernel: 2 }], ['relu']],
    );
    const label = sequential('label', [1, 3, 3], [['flatten'], ['dense', { units: 3 }]]);
    const models = [image, label].map((one) =>
      modelOf(engine, one, randomWeights(compile(one), sampler(2))),
    );
    const both = sideBySide(models);
    const x = Float32Array.from({ length: 18 }, (_, i) => Math.sin(i));
    const y = outputsAt(both, x, 2);
    const [a, b] = models.map((model) => outputsAt(model, x, 2));
    expect(both.graph.output).toEqual([11]);
    for (const i of [0, 1])
      expect([...y.subarray(11 * i, 11 * i + 11)]).toEqual([
        ...a!.subarray(8 * i, 8 * i + 8),
        ...b!.subarray(3 * i, 3 * i + 3),
      ]);
    expect(() => sideBySide([models[0]!, random(1)])).toThrow(
      'net: expected an input of shape [1,3,3], as image has, got [2]',
    );
    for (const model of [both, ...models]) freeModel(model);
  });

  const declared = (relation = '') => [
    '(declare-network f (declare-input X_f real [1, 2])(declare-output Y_f real [1, 2]))',
    `(declare-network g ${relation}(declare-input X_g real [1, 2])(declare-output Y_g real [1, 2]))`,
    ...[0, 1].map((i) => `(assert (== X_f[0,${i}] X_g[0,${i}]))`),
    ...[0, 1].map((i) => `(assert (and (>= X_f[0,${i}] -1) (<= X_g[0,${i}] 1)))`),
  ];
  /** Some output of the two is more than delta apart. */
  const apart = (delta: number, relation = ''): string => {
    const one = (j: number) => [
      `(> (- Y_f[0,${j}] Y_g[0,${j}]) ${delta})`,
      `(< (- Y_f[0,${j}] Y_g[0,${j}]) -${delta})`,
    ];
    return [...declared(relation), `(assert (or ${[...one(0), ...one(1)].join(' ')}))`].join('\n');
  };

  it('agree up to a delta, and no further', () =>
    inTemporaryFolder(async (file, write) => {
      const f = random(3);
      const g = moved(f, 0.002);
      await saveModel(file('f.safetensors'), f);
      await saveModel(file('g.safetensors'), g);
      let most = 0;
      const s = sampler(1);
      for (let p = 0; p < 2000; p++) {
        const x = Float32Array.of(s.real(-1, 1), s.real(-1, 1));
        const [a, b] = [outputsAt(f, x, 1), outputsAt(g, x, 1)];
        most = Math.max(most, ...a.map((v, j) => Math.abs(v - b[j]!)));
      }
      const ask = async (delta: number, relation?: string) => {
        await write('p.vnnlib', apart(delta, relation));
        const job = { model: file('f.safetensors'), as: {}, spec: file('p.vnnlib'), nodes: 20_000 };
        const others = relation ? {} : { g: file('g.safetensors') };
        return verifyFile(engine, { ...job, others });
      };
      expect((await ask(1.5 * most)).answer).toBe('unsat');
      const found = await ask(0.5 * most);
      expect(found.answer).toBe('sat');
      const { x, y } = found.counterexample!;
      expect(y).toHaveLength(4);
      const again = outputsAt(f, Float32Array.from(x), 1);
      expect([...again]).toEqual(y.slice(0, 2));
      expect(Math.max(...[0, 1].map((j) => Math.abs(y[j]! - y[2 + j]!)))).toBeGreaterThan(
        0.5 * most,
      );
      expect((await ask(1e-3, '(equal-to f)')).answer).toBe('unsat');
      for (const model of [f, g]) freeModel(model);
    }));

  it('are refused where a file is missing, or one more is there', () =>
    inTemporaryFolder(async (file, write) => {
      const f = random(3);
      await saveModel(file('f.safetensors'), f);
      await write('p.vnnlib', apart(1));
      const job = { model: file('f.safetensors'), as: {}, spec: file('p.vnnlib'), nodes: 9 };
      await expect(verifyFile(engine, job)).rejects.toThrow(
        /p\.vnnlib: expected a file of the network g, got none\. Name it by --with g=FILE\./,
      );
      await expect(verifyFile(engine, { ...job, others: { h: 'x' } })).rejects.toThrow(
        /expected files of the networks it declares \(f, g\), got h/,
      );
      freeModel(f);
    }));
});
