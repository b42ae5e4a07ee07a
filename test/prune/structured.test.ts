/** Structured strategies: scores against slow references in float64, exact removal, the proximal step. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { value } from '../../src/domain/value';
import { type Network, sequential } from '../../src/nn/graph';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { plainData } from '../../src/nn/parameterisation';
import { denseModel, freeTraining, parameterise } from '../../src/nn/training-model';
import { buildNetwork } from '../../src/nn/zoo';
import { CHANNEL_SCORES, channelScores } from '../../src/prune/channel-scores';
import { channelsOf } from '../../src/prune/channels';
import { applyMasks, countKept } from '../../src/prune/mask';
import { masksOf, prune } from '../../src/prune/prune';
import { CHANNEL_SCOPES } from '../../src/prune/select-channels';
import { filter } from '../../src/prune/strategies/filter';
import { groupLasso } from '../../src/prune/strategies/group-lasso';
import type { BetweenBatchesContext } from '../../src/prune/strategy';
import { type Engine, load } from '../../src/runtime/engine';
import { input, step } from '../../src/tensor/tensor';
import { sampler } from '../helpers/random';

const networks: Readonly<Record<string, Network>> = {
  'lenet-5': buildNetwork('lenet-5', {}, [1, 28, 28], 10),
  'all-cnn': buildNetwork('all-cnn', { width: 1 / 12 }, [3, 16, 16], 5),
  vgg16: buildNetwork('vgg16', { width: 1 / 16 }, [3, 16, 16], 5),
  'wrn-10-1': buildNetwork('wrn-10-1', {}, [3, 8, 8], 4),
};
const hasNorms = (network: string): boolean =>
  networks[network]!.nodes.some(({ layer }) => layer === 'batch-norm');

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

/** A model of which no parameter is as it was made: biases, gains and statistics too. */
function lively(network: Network, seed = 3): Model {
  const model = createModel(engine, network, { seed });
  const random = sampler(seed);
  for (const [name, t] of model.params) {
    if (/variance$/.test(name)) t.write(t.read().map(() => random.real(0.5, 2)));
    else if (t.shape.length === 1) t.write(t.read().map(() => random.real(-1, 1)));
  }
  return model;
}

function outputs({ graph, params }: Model): Float32Array {
  const { input: shape } = graph.network;
  const random = sampler(9);
  const size = shape.reduce((a, b) => a * b, 1);
  const pixels = Float32Array.from({ length: 3 * size }, () => random.real(0, 1));
  return step(engine, () => {
    const x = input(engine, pixels, [3, ...shape]);
    return propagate(graph, params, value, x).read();
  });
}

const cases = Object.keys(networks).flatMap((network) =>
  CHANNEL_SCORES.filter((score) => score !== 'batch-norm' || hasNorms(network)).flatMap((score) =>
    CHANNEL_SCOPES.map((scope) => ({ network, score, scope })),
  ),
);

describe.each(cases)('filter $score $scope on $network', ({ network, score, scope }) => {
  it('removes what was masked, and the function stays', async () => {
    const model = lively(networks[network]!);
    const goal = { sparsity: 0.4, seed: 1 };
    const masks = masksOf(await filter.decide({ ...goal, model }, { score, scope }));
    const { model: smaller, removed } = await prune(model, filter, { score, scope }, goal);
    expect([...removed.values()].flat().length).toBeGreaterThan(0);
    applyMasks(model, masks);
    const [masked, cut] = [outputs(model), outputs(smaller)];
    const scale = Math.max(1e-3, ...masked.map(Math.abs));
    for (const [i, y] of cut.entries()) expect(Math.abs(y - masked[i]!) / scale).toBeLessThan(1e-5);
    freeModel(model);
    freeModel(smaller);
  });

  it('leaves no channel that scores less than one that went (of its layer, or of all)', async () => {
    const model = lively(networks[network]!, 5);
    const channels = channelsOf(model.graph);
    const scores = channelScores[score](model, channels);
    const { removed, model: smaller } = await prune(
      ...([model, filter, { score, scope }, { sparsity: 0.3, seed: 1 }] as const),
    );
    const gone = new Set<number>();
    for (const [name, rows] of removed) {
      const at = model.graph.nodes.findIndex((node) => node.name === name);
      for (const row of rows) gone.add(channels.outputs[at]![row]!);
    }
    const groups = channels.groups.map((group) => group.channels.filter((c) => scores.has(c)));
    for (const set of scope === 'layer' ? groups : [groups.flat()]) {
      const went = set.filter((c) => gone.has(c)).map((c) => scores.get(c)!);
      // A layer's best stays, whatever its score.
      const best = new Set(groups.map((group) => Math.max(...group.map((c) => scores.get(c)!))));
      const stay = set.filter((c) => !gone.has(c)).map((c) => scores.get(c)!);
      for (const low of stay)
        if (!best.has(low)) expect(low).toBeGreaterThanOrEqual(Math.max(0, ...went));
    }
    freeModel(model);
    freeModel(smaller);
  });
});

describe('scores of channels', () => {
  const network = sequential(
    'norms',
    [2, 4, 4],
    [
      ['conv2d', { channels: 5, kernel: 3, padding: 1 }],
      ['batch-norm'],
      ['relu'],
      ['flatten'],
      ['dense', { units: 3 }],
    ],
  );
  const rowsOf = (model: Model): number[][] => {
    const w = model.params.get('conv2d1.weight')!.read();
    return Array.from({ length: 5 }, (_, r) => [...w.slice(r * 18, (r + 1) * 18)]);
  };
  it.each([
    ['l1', (rows: number[][]) => rows.map((row) => row.reduce((n, w) => n + Math.abs(w), 0))],
    [
      'geometric-median',
      (rows: number[][]) =>
        rows.map((a) => rows.reduce((n, b) => n + Math.hypot(...a.map((w, i) => w - b[i]!)), 0)),
    ],
  ] as const)('%s', (score, reference) => {
    const model = lively(network);
    const channels = channelsOf(model.graph);
    const scores = channelScores[score](model, channels);
    const wanted = reference(rowsOf(model));
    channels.outputs[0]!.forEach((channel, i) => {
      expect(scores.get(channel)! / wanted[i]!).toBeCloseTo(1, 5);
    });
    freeModel(model);
  });

  it('batch-norm: |gain|, and layers without one have none', async () => {
    const model = lively(network);
    model.params.get('batch-norm1.weight')!.write([0.5, -2, 0.1, -0.05, 1]);
    const channels = channelsOf(model.graph);
    const scores = channelScores['batch-norm'](model, channels);
    const found = channels.outputs[0]!.map((channel) => scores.get(channel)!);
    expect(found.map((s) => s.toFixed(2))).toEqual(['0.50', '2.00', '0.10', '0.05', '1.00']);
    expect(channels.outputs.at(-1)!.some((channel) => scores.has(channel))).toBe(false);
    const options = { score: 'batch-norm', scope: 'global' };
    const goal = { sparsity: 0.4, seed: 0 };
    const { model: smaller, removed } = await prune(model, filter, options, goal);
    expect(removed.get('conv2d1')).toEqual([2, 3]);
    freeModel(model);
    freeModel(smaller);
  });

  it('batch-norm is refused in words where there is none', async () => {
    const model = createModel(engine, networks['lenet-5']!);
    await expect(
      prune(model, filter, { score: 'batch-norm' }, { sparsity: 0.5, seed: 0 }),
    ).rejects.toThrow('prune.strategy: lenet-5: expected batch norms, got none.');
    freeModel(model);
  });

  it('the filter that the others can replace goes by the geometric median, not the smallest', async () => {
    const chain = sequential(
      'median',
      [2],
      [
        ['dense', { units: 4 }],
        ['dense', { units: 2 }],
      ],
    );
    const model = createModel(engine, chain);
    // Large but in the middle of the others, and a small one far from them.
    model.params.get('dense1.weight')!.write([9, 0, 10, 1, 10, -1, 0.1, 0]);
    const gone = async (score: string) => {
      const goal = { sparsity: 0.25, seed: 0 };
      const { model: smaller, removed } = await prune(model, filter, { score }, goal);
      freeModel(smaller);
      return removed.get('dense1');
    };
    expect(await gone('l1')).toEqual([3]);
    expect(await gone('geometric-median')).toEqual([0]);
    freeModel(model);
  });
});

/** A context of which `betweenBatches` reads the model and the learning rate. */
const contextOf = (
  model: BetweenBatchesContext['model'],
  learningRate: number,
  step = 1,
): BetweenBatchesContext =>
  ({ model, learningRate, step, steps: 6, sparsity: 0.5, seed: 0, state: new Map() }) as never;

describe('group-lasso', () => {
  const chain = sequential(
    'chain',
    [3],
    [['dense', { units: 4 }], ['relu'], ['dense', { units: 5 }], ['relu'], ['dense', { units: 2 }]],
  );

  it('takes the same amount off the root mean square of every unit, to 0 and no further', async () => {
    const model = lively(chain);
    const before = new Map(Array.from(model.params, ([name, t]) => [name, t.read()]));
    const training = parameterise(model);
    const amount = 0.4;
    const options = { lambda: 2, every: 4 };
    // Four updates, and at the end of the phase two: as much as one amount, in two steps that add up.
    await groupLasso.betweenBatches!(contextOf(training, amount / 12, 4), options);
    await groupLasso.betweenBatches!(contextOf(training, amount / 12, 6), options);
    const after = denseModel(training);
    let zeros = 0;
    for (const [layer, units, width] of [
      ['dense1', 4, 3],
      ['dense2', 5, 4],
    ] as const)
      for (let u = 0; u < units; u++) {
        const unit = (from: (name: string) => Float32Array): number[] => [
          ...from(`${layer}.weight`).slice(u * width, (u + 1) * width),
          from(`${layer}.bias`)[u]!,
        ];
        const old = unit((name) => before.get(name)!);
        const norm = Math.hypot(...old);
        const factor = Math.max(0, 1 - (amount * Math.sqrt(width + 1)) / norm);
        if (factor === 0) zeros++;
        const wanted = old.map((w) => w * factor);
        unit((name) => after.params.get(name)!.read()).forEach((w, i) => {
          expect(w).toBeCloseTo(wanted[i]!, 6);
        });
      }
    expect(zeros).toBeGreaterThan(0);
    expect(zeros).toBeLessThan(9);
    // The outputs are nobody's to remove.
    expect(after.params.get('dense3.weight')!.read()).toEqual(before.get('dense3.weight'));
    freeModel(after);
    freeTraining(training);
  });

  it('shrinks gains alone, partners of a residual sum together, and nothing that is masked', async () => {
    const model = lively(networks['wrn-10-1']!);
    const name = 'g1b1-conv1.weight';
    const mask = Uint8Array.from(model.params.get(name)!.read(), (_, i) => i % 2);
    const before = new Map(Array.from(model.params, ([full, t]) => [full, t.read()]));
    const training = parameterise(model, new Map([[name, plainData(before.get(name)!, mask)]]));
    await groupLasso.betweenBatches!(contextOf(training, 0.1), { on: 'batch-norm', lambda: 1 });
    const gains = denseModel(training);
    for (const [full, t] of gains.params) {
      const same = t.read().every((w, i) => w === before.get(full)![i] || mask[i] === 0);
      expect(same).toBe(!/(norm)\.weight$/.test(full));
    }
    await groupLasso.betweenBatches!(contextOf(training, 0.01), { on: 'weights', lambda: 1 });
    const weights = denseModel(training);
    expect(
      weights.params
        .get(name)!
        .read()
        .every((w, i) => mask[i] === 1 || w === 0),
    ).toBe(true);
    const ratio = (full: string, row: number): number => {
      const [a, b] = [gains, weights].map(({ params }) => params.get(full)!);
      const width = a!.size / a!.shape[0]!;
      return b!.read()[row * width]! / a!.read()[row * width]!;
    };
    for (const row of [0, 7, 15])
      expect(ratio('stem.weight', row)).toBeCloseTo(ratio('g1b1-conv2.weight', row), 5);
    for (const one of [gains, weights]) freeModel(one);
    freeTraining(training);
  });

  it('removes units that came to 0 first, and what the network computes stays', async () => {
    const model = lively(chain);
    const [weight, bias] = ['weight', 'bias'].map((local) => model.params.get(`dense2.${local}`)!);
    weight!.write(weight!.read().map((w, i) => (Math.floor(i / 4) % 2 === 1 ? 0 : w)));
    bias!.write(bias!.read().map((b, i) => (i % 2 === 1 ? 0 : b)));
    const before = outputs(model);
    // 12 + 20 + 10 weights; two of the units of dense2 are 8 + 4 of them.
    const context = { model, sparsity: 12 / 42, seed: 0 };
    const masks = masksOf(await groupLasso.decide(context, {}));
    expect([...masks.values()].map(countKept)).toEqual([12, 12, 6]);
    applyMasks(model, masks);
    expect(outputs(model)).toEqual(before);
    freeModel(model);
  });

  it('is refused outside of runs, as nothing would shrink', async () => {
    const model = createModel(engine, chain);
    await expect(prune(model, groupLasso, {}, { sparsity: 0.5, seed: 0 })).rejects.toThrow(
      'expected one that decides at once, got one that prunes while training',
    );
    freeModel(model);
  });
});
