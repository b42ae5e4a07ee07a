/** Parts of a model: layers, shapes, density, bytes, multiply-adds. */
import type { Graph } from '../nn/graph';
import type { Model } from '../nn/model';
import { countKept } from '../prune/mask';
import type { Masks } from '../prune/strategy';
import type { LayerSummary } from '../report/types';
import { type Shape, sizeOf } from '../tensor/shape';

export interface Inspection {
  readonly network: string;
  readonly input: readonly number[];
  /** Prunable weight tensors, in order. */
  readonly layers: readonly LayerSummary[];
  readonly parameters: number;
  /** Bytes of the parameters as float32. */
  readonly bytes: number;
  /** Bytes it takes once compact, in `espalier/runtime`. */
  readonly edge: EdgeBytes;
}

export interface EdgeBytes {
  /** Non-zero weights as value and place, other parameters as float32. */
  readonly decoded: number;
  /** Planes of the values of one image, with their margins: at most four times the values. */
  readonly activations: number;
  /** Peak of loading and predicting image by image: three times the decoded, and the activations. */
  readonly peak: number;
}

/** The layers of a model that pruning counts, and its size. */
export function inspect({ graph, params }: Model): Inspection {
  const layers: LayerSummary[] = [];
  for (const node of graph.nodes)
    for (const [local, spec] of Object.entries(node.params)) {
      if (!spec.prunable) continue;
      const values = params.get(`${node.name}.${local}`)!.read();
      const nonzero = values.reduce((count, w) => (w === 0 ? count : count + 1), 0);
      const macs = node.layer.macs?.(node.inputShapes[0]!, node.shape, node.options) ?? 0;
      const density = nonzero / values.length;
      layers.push({
        name: `${node.name}.${local}`,
        shape: spec.shape,
        weights: values.length,
        nonzero,
        density,
        macs,
        macsNonzero: Math.round(macs * density),
      });
    }
  const parameters = [...params.values()].reduce((total, t) => total + t.size, 0);
  const { name, input } = graph.network;
  const edge = edgeBytes(layers, parameters, [input, ...graph.nodes.map(({ shape }) => shape)]);
  return { network: name, input, layers, parameters, bytes: 4 * parameters, edge };
}

/** Multiply-adds of an image over the weights that masks keep. */
export function multiplyAdds({ nodes }: Graph, masks: Masks = new Map()): number {
  const macs = nodes.flatMap((node) =>
    Object.entries(node.params).map(([local, { shape, prunable }]) => {
      const mask = masks.get(`${node.name}.${local}`);
      const share = mask ? countKept(mask) / sizeOf(shape) : 1;
      const own = prunable && node.layer.macs?.(node.inputShapes[0]!, node.shape, node.options);
      return (own || 0) * share;
    }),
  );
  return macs.reduce((sum, one) => sum + one, 0);
}

function edgeBytes(
  layers: readonly LayerSummary[],
  parameters: number,
  shapes: readonly Shape[],
): EdgeBytes {
  const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
  const weights = sum(layers.map((layer) => layer.weights));
  const nonzero = sum(layers.map((layer) => layer.nonzero));
  const decoded = 8 * nonzero + 4 * (parameters - weights);
  const activations = 4 * 4 * sum(shapes.map(sizeOf));
  return { decoded, activations, peak: 3 * decoded + activations };
}

/** Bytes with the non-zero prunable weights as value and column index, the rest as float32. */
export function sparseBytes({ layers, parameters }: Inspection): number {
  const weights = layers.reduce((total, layer) => total + layer.weights, 0);
  const nonzero = layers.reduce((total, layer) => total + layer.nonzero, 0);
  return 4 * (parameters - weights) + Math.min(4 * weights, 8 * nonzero);
}
