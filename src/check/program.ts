/**
 * A canonical network as the checker reads it: one step a node, described by `operators.ts` and
 * `activations.ts`. Nothing of the layers' own code runs.
 */
import { EspalierError } from '../errors';
import { type Graph, type GraphNode, paramSpecs } from '../nn/graph';
import { activations, type lines } from './activations';
import { MOST_VALUES } from './arithmetic';
import { concatenated, type Operator, operators, windows } from './operators';

type Activation = Parameters<typeof lines>[0];

export type Step = {
  readonly name: string;
  readonly size: number;
  readonly inputs: readonly number[];
} & (
  | { readonly kind: 'affine'; readonly operator: Operator }
  | { readonly kind: 'pointwise'; readonly activation: Activation }
  | { readonly kind: 'add' }
  | { readonly kind: 'max'; readonly windows: (i: number) => readonly number[] }
  | { readonly kind: 'concat'; readonly source: (i: number) => readonly [number, number] }
);

export interface Program {
  /** Values of one input. */
  readonly input: number;
  readonly steps: readonly Step[];
  /** Values of all nodes and of the input. */
  readonly values: number;
  /** Multiply-adds of one pass. */
  readonly work: number;
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/**
 * The program of a canonical network; an EspalierError lists all layers it has no reading of, or names
 * the parameter that holds NaN or an infinity: some executions meet it even where padding alone does.
 */
export function readProgram(
  graph: Graph,
  weights: (name: string) => Float32Array | undefined,
): Program {
  for (const name of paramSpecs(graph).keys()) {
    const wrong = weights(name)?.find((w) => !Number.isFinite(w));
    if (wrong !== undefined)
      throw new EspalierError(
        `${graph.network.name}.${name}: expected finite weights, got ${wrong}.`,
      );
  }
  const steps = graph.nodes.map((node) => stepOf(node, weights));
  const missing = graph.nodes.filter((_, i) => steps[i] === undefined);
  if (missing.length > 0)
    throw new EspalierError(
      missing
        .map(
          (n) =>
            `${graph.network.name}.${n.name}: expected a layer that can be checked, got ${n.kind}.`,
        )
        .join('\n'),
    );
  const input = product(graph.network.input);
  const values = graph.nodes.reduce((sum, node) => sum + product(node.shape), input);
  if (!(values <= MOST_VALUES))
    throw new EspalierError(
      `${graph.network.name}: expected a network of at most ${MOST_VALUES} values, got ${values}.`,
    );
  const known = steps as Step[];
  const work = known.reduce(
    (sum, s) => sum + (s.kind === 'affine' ? s.operator.work : s.size * s.inputs.length),
    0,
  );
  return { input, steps: known, values, work };
}

function stepOf(
  node: GraphNode,
  weights: (name: string) => Float32Array | undefined,
): Step | undefined {
  const base = { name: node.name, size: product(node.shape), inputs: node.inputs };
  const own = <T>(table: Readonly<Record<string, T>>): T | undefined =>
    Object.hasOwn(table, node.kind) ? table[node.kind] : undefined;
  const build = own(operators);
  if (build) {
    const operator = build(node, (local) => weights(`${node.name}.${local}`));
    return { ...base, kind: 'affine', operator };
  }
  const make = own(activations);
  if (make) return { ...base, kind: 'pointwise', activation: make(node.options) };
  if (node.kind === 'add') return { ...base, kind: 'add' };
  if (node.kind === 'max-pool') return { ...base, kind: 'max', windows: windows(node) };
  if (node.kind === 'concat') return { ...base, kind: 'concat', source: concatenated(node) };
  return undefined;
}
