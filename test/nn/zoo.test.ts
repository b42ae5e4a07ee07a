/** The zoo against the published layer lists: weights (kernels only) and all trainable numbers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propagate } from '../../src/domain/domain';
import { value } from '../../src/domain/value';
import { compile, paramSpecs } from '../../src/nn/graph';
import { createModel } from '../../src/nn/model';
import { buildNetwork, zoo } from '../../src/nn/zoo';
import { type Engine, load } from '../../src/runtime/engine';
import type { Shape } from '../../src/tensor/shape';
import { filled, step } from '../../src/tensor/tensor';
import { sizeOf } from '../helpers/nd';

const MNIST = [1, 28, 28];
const CIFAR = [3, 32, 32];

function counts(
  name: string,
  options: object,
  input: Shape,
): { weights: number; trainable: number } {
  const graph = compile(buildNetwork(name, { ...options }, input, 10));
  const total = (specs: readonly { shape: Shape }[]) =>
    specs.reduce((n, s) => n + sizeOf(s.shape), 0);
  const specs = [...paramSpecs(graph).values()];
  return {
    weights: total(specs.filter((s) => s.prunable)),
    trainable: total(specs.filter((s) => s.trainable)),
  };
}

describe('weights', () => {
  it.each<[string, Shape, number, number]>([
    ['cnn-small', MNIST, 166_248, 166_406],
    ['cnn-small', CIFAR, 214_760, 214_918],
    ['cnn-large', MNIST, 1_973_536, 1_973_536 + 32 + 32 + 64 + 64 + 512 + 512 + 10],
    ['cnn-large', CIFAR, 2_465_632, 2_465_632 + 32 + 32 + 64 + 64 + 512 + 512 + 10],
    // Han et al. 2015, tables 3 and 4: 267 K and 431 K.
    ['lenet-300-100', MNIST, 266_200, 266_610],
    ['lenet-5', MNIST, 430_500, 431_080],
    // Springenberg et al. 2014, table 4: about 1.4 M.
    ['all-cnn', CIFAR, 1_368_480, 1_369_738],
  ])('%s on [%j]', (name, input, weights, trainable) => {
    expect(counts(name, {}, input)).toEqual({ weights, trainable });
  });

  it('mlp', () => {
    expect(counts('mlp', {}, MNIST).weights).toBe(784 * 100 + 100 * 100 + 100 * 10);
    expect(counts('mlp', { hidden: [] }, [64]).trainable).toBe(650);
    expect(counts('mlp', { hidden: [5] }, [64]).trainable).toBe(65 * 5 + 60);
  });

  it('lenet-5 has no ReLU behind its convolutions, as in Caffe', () => {
    const kinds = compile(buildNetwork('lenet-5', {}, MNIST, 10)).nodes.map((n) => n.kind);
    const front = ['conv2d', 'max-pool', 'conv2d', 'max-pool', 'flatten'];
    expect(kinds).toEqual([...front, 'dense', 'relu', 'dense']);
  });

  it('all-cnn averages planes of 6 x 6, one a class, for any width and classes', () => {
    for (const [width, classes] of [
      [1, 10],
      [0.25, 7],
    ]) {
      const { nodes, output } = compile(buildNetwork('all-cnn', { width }, CIFAR, classes!));
      expect(nodes.at(-2)!.inputShapes[0]).toEqual([classes, 6, 6]);
      expect(nodes.at(-2)!.shape).toEqual([classes, 1, 1]);
      expect(output).toEqual([classes]);
      const channels = nodes.filter((n) => n.kind === 'conv2d').map((n) => n.shape[0]!);
      const paper = [96, 96, 96, 192, 192, 192, 192, 192].map((n) => n * width!);
      expect(channels).toEqual([...paper, classes]);
    }
  });

  it.each(['lenet-5', 'all-cnn'])('%s says in words that an image is too small', (name) => {
    expect(() => compile(buildNetwork(name, {}, [1, 8, 8], 10))).toThrow(
      /expected an input at least as large as the kernel/,
    );
    expect(() => compile(buildNetwork(name, {}, [784], 10))).toThrow(
      /expected an input \[channels, height, width\]/,
    );
  });

  it('vgg16: 13 convolutions, four pools, 2 x 2 x 512 before the dense layers', () => {
    const widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512];
    const kernels = widths.slice(1).reduce((n, w, i) => n + 9 * w * widths[i]!, 0);
    const weights = kernels + 2048 * 256 + 256 * 256 + 2560;
    expect(counts('vgg16', {}, CIFAR).weights).toBe(weights);
    expect(Math.round(weights / 1e4)).toBe(1530);
    const kinds = compile(buildNetwork('vgg16', {}, CIFAR, 10)).nodes.map((n) => n.kind);
    const count = (kind: string) => kinds.filter((k) => k === kind).length;
    expect(['conv2d', 'batch-norm', 'max-pool', 'dense'].map(count)).toEqual([13, 13, 4, 3]);
    expect(counts('vgg16', { width: 0.25 }, CIFAR).weights).toBeLessThan(weights / 15);
  });

  it.each<[string, number, number]>([
    ['wrn-28-1', 0.368e6, 1e3],
    ['wrn-28-4', 5.84e6, 1e4],
    ['wrn-28-10', 36.5e6, 1e5],
  ])('%s has about %d weights', (name, expected, within) => {
    expect(Math.abs(counts(name, {}, CIFAR).weights - expected)).toBeLessThan(within);
  });

  it('wrn takes its sizes as options, too, and refuses other depths', () => {
    expect(counts('wrn', { depth: 16, width: 2 }, CIFAR)).toEqual(counts('wrn-16-2', {}, CIFAR));
    expect(() => buildNetwork('wrn-27-4', {}, CIFAR, 10)).toThrow('a depth of 6n + 4');
  });
});

describe('buildNetwork', () => {
  it('suggests the nearest name and option', () => {
    expect(() => buildNetwork('cnn-smal', {}, MNIST, 10)).toThrow('Did you mean "cnn-small"?');
    expect(() => buildNetwork('mlp', { hiden: [3] }, MNIST, 10)).toThrow('Did you mean "hidden"?');
  });
});

describe('every network of the zoo', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  /** Options that make the large ones small. */
  const SMALL: Readonly<Record<string, object>> = {
    vgg16: { width: 1 / 16 },
    'all-cnn': { width: 1 / 16 },
    wrn: { depth: 10, width: 1 },
  };
  it.each(Object.keys(zoo))('%s runs', (name) => {
    const input = name === 'cnn-large' ? [1, 12, 12] : [3, 16, 16];
    const network = buildNetwork(name, { ...SMALL[name] }, input, 7);
    expect(zoo[name]!.about.length).toBeGreaterThan(20);
    const { graph, params } = createModel(engine, network, { seed: 1 });
    const y = step(engine, () =>
      propagate(graph, params, value, filled(engine, [2, ...input], 0.5)).read(),
    );
    expect(y).toHaveLength(14);
    expect(y.every(Number.isFinite)).toBe(true);
    expect([...y.slice(7)]).toEqual([...y.slice(0, 7)]);
  });
});
