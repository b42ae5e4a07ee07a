/**
 * Removal does not change the function: the shrunk network against the original one whose consumers'
 * columns are zero for the removed channels, on random graphs.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { value } from '../../src/domain/value';
import { layers } from '../../src/nn/layers/registry';
import { lower } from '../../src/nn/lower';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { type Channels, channelsOf, dependencyOf } from '../../src/prune/channels';
import { applyMasks, countKept, sparsityOf } from '../../src/prune/mask';
import { channelMasks, maskedChannels, shrink } from '../../src/prune/shrink';
import { type Engine, load } from '../../src/runtime/engine';
import { uniform } from '../../src/tensor/philox';
import { sizeOf } from '../../src/tensor/shape';
import { input, step } from '../../src/tensor/tensor';
import { type Draw, grow, randomise } from '../helpers/random-graphs';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

/** Any channels that may go, but for the last one of a layer. */
function someChannels(channels: Channels, producers: readonly number[], draws: Draw): Set<number> {
  const removed = new Set<number>();
  for (const channel of channels.groups.flatMap((group) => group.channels)) {
    if (draws(2) === 0) continue;
    removed.add(channel);
    const empty = producers.some((at) => channels.outputs[at]!.every((c) => removed.has(c)));
    if (empty) removed.delete(channel);
  }
  return removed;
}

function outputs(model: Model, seed: number): Float32Array {
  const shape = [3, ...model.graph.network.input];
  return step(engine, () => {
    const x = input(engine, uniform(seed, 98, 0, sizeOf(shape)), shape);
    return propagate(model.graph, model.params, value, x).read();
  });
}

function compare(a: Float32Array, b: Float32Array): number {
  const scale = Math.max(1, ...a.map(Math.abs));
  return Math.max(...a.map((x, i) => Math.abs(x - b[i]!))) / scale;
}

const producersOf = (model: Model): number[] =>
  model.graph.nodes.flatMap((node, at) => (dependencyOf(node).kind === 'producer' ? [at] : []));

describe('shrink', () => {
  const seen = { removed: 0, tied: 0, joined: 0, repeated: 0 };

  it('computes what the network computes whose consumers ignore the removed channels', () => {
    const numbers = fc.array(fc.nat(1000), { minLength: 40, maxLength: 100 });
    fc.assert(
      fc.property(numbers, fc.nat(1e6), (list, seed) => {
        const model = createModel(engine, grow(list), { seed });
        randomise(model, seed);
        const channels = channelsOf(model.graph);
        const bits = uniform(seed, 97, 0, 4096);
        let at = 0;
        const removed = someChannels(channels, producersOf(model), (n) =>
          Math.floor(bits[at++]! * n),
        );
        const smaller = shrink(model, removed, channels);
        const masks = channelMasks(model, channels, removed);
        const left = [...masks.values()].reduce((n, m) => n + countKept(m), 0);
        expect(sparsityOf(smaller).weights).toBe(left);
        // Only the columns: rows of removed channels keep what they compute.
        for (const node of producersOf(model).map((i) => model.graph.nodes[i]!)) {
          const weight = model.params.get(`${node.name}.weight`)!;
          const columns = channels.inputs[model.graph.nodes.indexOf(node)]!;
          const area = sizeOf(weight.shape.slice(2));
          const zeroed = weight
            .read()
            .map((w, i) => (removed.has(columns[Math.floor(i / area) % columns.length]!) ? 0 : w));
          weight.write(zeroed);
        }
        expect(compare(outputs(model, seed), outputs(smaller, seed))).toBeLessThan(1e-5);
        // Zero rows as well, as the masks have it: the same.
        applyMasks(model, masks);
        expect(compare(outputs(model, seed), outputs(smaller, seed))).toBeLessThan(1e-5);
        for (const gone of removed) expect(maskedChannels(model, channels, masks)).toContain(gone);
        const kinds = new Set(model.graph.nodes.map((node) => node.kind));
        seen.removed += removed.size;
        seen.tied += channels.groups.filter((group) => group.producers.length > 1).length;
        seen.joined += kinds.has('concat') && removed.size > 0 ? 1 : 0;
        seen.repeated += kinds.has('flatten') && removed.size > 0 ? 1 : 0;
        freeModel(smaller);
        freeModel(model);
      }),
      { numRuns: 400 },
    );
    // The graphs are no use if they have nothing to remove.
    expect(seen.removed).toBeGreaterThan(250);
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(10);
  });

  it('agrees with the canonical form', () => {
    const model = createModel(engine, grow([2, 3, 3, 4, 1, 1, 0, 3, 1, 0, 1, 0, 3, 5, 2, 2, 9, 1]));
    randomise(model, 5);
    const channels = channelsOf(model.graph);
    const removed = new Set(channels.groups.map((group) => group.channels[0]!).slice(0, 1));
    expect(removed.size).toBe(1);
    applyMasks(model, channelMasks(model, channels, removed));
    const smaller = shrink(model, removed);
    const canonical = lower(smaller);
    expect(compare(outputs(model, 1), outputs(canonical, 1))).toBeLessThan(1e-5);
    expect(() => channelsOf(canonical.graph)).not.toThrow();
  });

  it('refuses to take the output, or all of a layer', () => {
    const nodes = [
      { name: 'a', layer: 'dense', options: { units: 2 } },
      { name: 'b', layer: 'dense', options: { units: 2 } },
    ];
    const model = createModel(engine, { name: 'two', input: [3], nodes });
    const { outputs: made, fixed, groups } = channelsOf(model.graph);
    expect(groups.length).toBe(1);
    expect(fixed.size).toBe(5);
    expect(() => shrink(model, new Set(made[1]))).toThrow(/no channel of the input or output/);
    expect(() => shrink(model, new Set(made[0]))).toThrow(/shrink two\.a: expected at least one/);
  });

  it('leaves a layer alone that does not say how channels go through it', () => {
    const { channelDependency: _, ...silent } = layers.dense!;
    Object.assign(layers, { silent });
    try {
      const nodes = [
        { name: 'a', layer: 'dense', options: { units: 4 } },
        { name: 'b', layer: 'dense', options: { units: 5 } },
        { name: 'c', layer: 'silent', options: { units: 3 } },
        { name: 'd', layer: 'dense', options: { units: 2 } },
      ];
      const model = createModel(engine, { name: 'quiet', input: [3], nodes });
      const { outputs: made, groups } = channelsOf(model.graph);
      expect(groups.map(({ producers }) => producers)).toEqual([[0]]);
      const smaller = shrink(model, new Set(made[0]!.slice(1)));
      expect(
        ['a', 'b', 'c', 'd'].map((name) => smaller.params.get(`${name}.weight`)!.shape),
      ).toEqual([
        [1, 3],
        [5, 1],
        [3, 5],
        [2, 3],
      ]);
    } finally {
      Reflect.deleteProperty(layers, 'silent');
    }
  });
});
