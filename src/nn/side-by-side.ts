/**
 * Networks side by side: one network of all that share an input, whose outputs are theirs, flat and one after the
 * other. A linear function of outputs of several networks is then one of a single network's, and every bound,
 * attack and verdict holds of it as of any other.
 */
import { expect } from '../errors';
import { INPUT, type Network, type NodeSpec } from './graph';
import { type Model, modelFrom } from './model';

/** What stands between the number of a network and the name of its node. */
const SEPARATOR = '-';

/**
 * The networks as one model, in the engine of the first; its tensors are its own.
 *
 * Raises EspalierError where the shapes of their inputs differ.
 */
export function sideBySide(models: readonly Model[]): Model {
  const [first] = models;
  const { engine, graph } = first!;
  const { input } = graph.network;
  const ends: string[] = [];
  const nodes: NodeSpec[] = [];
  models.forEach(({ graph: { network, output } }, k) => {
    expect(
      `${network.input}` === `${input}`,
      network.name,
      `an input of shape [${input}], as ${graph.network.name} has`,
      `[${network.input}]`,
    );
    nodes.push(...renamed(network, k));
    const last = nodes.at(-1)!.name;
    if (output.length === 1) ends.push(last);
    else {
      const flat = `${k}${SEPARATOR}${SEPARATOR}flat`;
      nodes.push({ name: flat, layer: 'flatten', inputs: [last] });
      ends.push(flat);
    }
  });
  nodes.push({ name: 'outputs', layer: 'concat', inputs: ends });
  const name = models.map(({ graph }) => graph.network.name).join('+');
  return modelFrom(engine, { name, input, nodes }, (full) => {
    const at = full.indexOf(SEPARATOR);
    return models[Number(full.slice(0, at))]!.params.get(full.slice(at + 1))!.read();
  });
}

/** The nodes of network k under names of their own. */
function renamed({ nodes }: Network, k: number): NodeSpec[] {
  const nameOf = (name: string): string => (name === INPUT ? INPUT : `${k}${SEPARATOR}${name}`);
  return nodes.map(({ name, inputs, ...rest }, i) => ({
    ...rest,
    name: nameOf(name),
    inputs: (inputs ?? [nodes[i - 1]?.name ?? INPUT]).map(nameOf),
  }));
}
