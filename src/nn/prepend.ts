/**
 * A network with its input normalisation in front: networks trained elsewhere usually take
 * (x - mean) / std, while here inputs live in [0, 1] and radii are of that space.
 */
import { expect } from '../errors';
import { INPUT, type Network, type NodeSpec } from './graph';

/** One number a channel, or one for all. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * `network` behind a `normalise` node of mean and std, one a channel (the first axis of the input);
 * a single number counts for all. Nodes keep their names, so its weights still fit.
 *
 * Raises EspalierError where the counts do not fit the channels.
 */
export function prependNormalise(network: Network, { mean, std }: Normalisation): Network {
  const who = `${network.name}: normalise`;
  const channels = network.input[0] ?? 0;
  const each = (values: readonly number[], what: string): readonly number[] => {
    const fits = values.length === 1 || values.length === channels;
    expect(fits, who, `one ${what}, or one for each of ${channels} channels`, values.length);
    return values.length === 1 ? new Array<number>(channels).fill(values[0]!) : values;
  };
  const options = { mean: each(mean, 'mean'), std: each(std, 'std') };
  const taken = new Set(network.nodes.map((node) => node.name));
  let name = 'normalise';
  while (taken.has(name)) name += '-in';
  const first: NodeSpec = { name, layer: 'normalise', options, inputs: [INPUT] };
  const rest = network.nodes.map((node) => ({
    ...node,
    ...(node.inputs && { inputs: node.inputs.map((from) => (from === INPUT ? name : from)) }),
  }));
  return { ...network, nodes: [first, ...rest] };
}
