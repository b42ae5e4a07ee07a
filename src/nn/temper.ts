/** A network whose outputs are divided by a temperature (Hinton et al. 2015): softmax of them is smoother. */
import type { NodeSpec } from './graph';
import { type Model, modelFrom } from './model';

/** The model behind a scale of 1 / temperature, with kept tensors of its own; parameters keep their names. */
export function temperedModel({ engine, graph, params }: Model, temperature: number): Model {
  const { network } = graph;
  const taken = new Set(network.nodes.map((node) => node.name));
  let name = 'temperature';
  while (taken.has(name)) name += '-out';
  const last: NodeSpec = { name, layer: 'scale' };
  const tempered = { ...network, nodes: [...network.nodes, last] };
  const [classes = 1] = graph.output;
  return modelFrom(engine, tempered, (full) => {
    const own = params.get(full);
    if (own) return own.read();
    return new Float32Array(classes).fill(full === `${name}.scale` ? 1 / temperature : 0);
  });
}
