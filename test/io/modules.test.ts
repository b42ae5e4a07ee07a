/** Modules of PyTorch that were pickled whole, as networks. */
import { describe, expect, it } from 'vitest';
import { networkOfModules } from '../../src/io/modules';
import { readTorch } from '../../src/io/torch/read';
import type { Setting, TorchModule } from '../../src/io/torch/tree';
import { matchWeights } from '../../src/io/weights/match';
import { compile } from '../../src/nn/graph';
import { torchFile } from '../helpers/torch-files';

const layer = (
  name: string,
  type: string,
  settings: Record<string, Setting> = {},
): TorchModule => ({
  name,
  type,
  settings: new Map(Object.entries(settings)),
});
const CONV = {
  ...{ out_channels: 4, kernel_size: [3, 4], stride: [1, 1], padding: [1, 1], dilation: [1, 1] },
  ...{ groups: 1, padding_mode: 'zeros' },
};
const POOL = { kernel_size: 2, stride: 2, padding: 0, ceil_mode: false };
const NORM = { eps: 0.001, momentum: null };
const STATISTICS = ['1.weight', '1.bias', '1.running_mean', '1.running_var'];

const chain = (modules: readonly TorchModule[], names: readonly string[] = [], input?: number[]) =>
  networkOfModules([layer('', 'Sequential'), ...modules], new Set(names), 'dir/net.pt', input);

describe('a chain of modules', () => {
  it('becomes a network, its settings options, what does nothing left out', () => {
    const network = chain(
      [
        layer('0', 'Conv2d', CONV),
        layer('1', 'BatchNorm2d', NORM),
        layer('2', 'LeakyReLU', { negative_slope: 0.2 }),
        layer('3', 'Sequential'),
        layer('3.0', 'MaxPool2d', { ...POOL, dilation: 1 }),
        layer('3.1', 'AvgPool2d', { ...POOL, stride: 1, count_include_pad: false }),
        layer('4', 'Flatten', { start_dim: 1, end_dim: -1 }),
        layer('5', 'Dropout', { p: 0.25 }),
        layer('6', 'Identity'),
        layer('7', 'Linear', { in_features: 8, out_features: 3 }),
      ],
      [...STATISTICS, '0.weight', '7.weight', '7.bias'],
      [1, 6, 7],
    );
    expect(network.name).toBe('net');
    expect(network.nodes.map(({ name, layer: kind }) => `${name} ${kind}`)).toEqual(
      '0 conv2d,1 batch-norm,2 leaky-relu,3-0 max-pool,3-1 avg-pool,4 flatten,5 dropout,7 dense'.split(
        ',',
      ),
    );
    const { nodes, output } = compile(network);
    expect(output).toEqual([3]);
    expect(nodes[0]!.options).toMatchObject({ kernel: [3, 4], padding: [1, 1], bias: false });
    expect(nodes[1]!.options).toEqual({ epsilon: 0.001, momentum: 0.1 });
    expect(nodes[4]!.options).toMatchObject({ countPadding: false, stride: 1 });
  });

  it('takes its input from a first fully connected layer, and asks for it else', () => {
    const linear = layer('0', 'Linear', { in_features: 5, out_features: 2 });
    expect(chain([linear]).input).toEqual([5]);
    expect(() => chain([layer('0', 'Conv2d', CONV)])).toThrow(
      /expected the shape of one input.*3,32,32/,
    );
  });

  it.each([
    ['same', [3, 4], [1, 1], [1, 1, 1, 2]],
    ['same', [2, 5], [2, 1], [1, 2, 1, 2]],
    ['valid', [3, 3], [1, 1], 0],
  ])('padding %s of a kernel %j, dilation %j', (padding, kernel_size, dilation, want) => {
    const { nodes } = chain(
      [layer('0', 'Conv2d', { ...CONV, padding, kernel_size, dilation })],
      [],
      [1, 9, 9],
    );
    expect(nodes[0]!.options).toMatchObject({ padding: want });
  });

  it('lists all it does not understand', () => {
    const modules = [
      layer('0', 'Softplus'),
      layer('1', 'BatchNorm2d', NORM),
      layer('2', 'Conv2d', { ...CONV, padding_mode: 'reflect' }),
      layer('3', 'MaxPool2d', { ...POOL, dilation: 2 }),
      layer('4', 'constructor'),
    ];
    expect(() => chain(modules)).toThrow(
      /known layers.*\n {2}0: Softplus: .*\n {2}1: .*statistics.*\n {2}2: .*reflect\n {2}3: .*\n {2}4: constructor: no such/,
    );
  });

  it('fits the tensors of a file that PyTorch wrote', () => {
    const { modules, tensors } = readTorch(torchFile('moduleZip'), 'm.pt');
    const layers = modules.get('')!;
    const network = networkOfModules(layers, new Set(tensors.keys()), 'm.pt', [1, 2, 2]);
    expect(matchWeights(network, tensors, 'm.pt', { order: 'file' }).notes).toEqual([]);
  });
});
