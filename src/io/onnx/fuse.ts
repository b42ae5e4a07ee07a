/** Nodes that together are one function of ours: gelu and hard-swish as exporters spell them. */
import { type External, FLOAT, readTensor } from './element';
import { type Form, gated, type Known, known, number, product, sum, X } from './gate-form';
import type { Stored } from './order';
import type { AttributeProto, NodeProto, TensorProto } from './proto.gen';

/** Where a gate may stand: what a search begins at. */
const GATES = ['Erf', 'Tanh', 'Sigmoid', 'Clip', 'HardSigmoid'];
const ARITHMETIC = ['Add', 'Mul', 'Div', 'Pow'];
/** Nodes in front of a gate and behind its x that are looked at: more than any spelling has. */
const [MOST_BEFORE, MOST_BEHIND] = [8, 32];

const attribute = (name: string, text: string): AttributeProto => ({
  ...{ name, type: 3, s: new TextEncoder().encode(text) },
  ...{ f: 0, i: 0, t: undefined, floats: [], ints: [], sparse_tensor: undefined },
});

/** The one node that is meant. */
const NODES: Readonly<Record<Known, Pick<NodeProto, 'op_type' | 'attribute'>>> = {
  gelu: { op_type: 'Gelu', attribute: [] },
  'gelu-tanh': { op_type: 'Gelu', attribute: [attribute('approximate', 'tanh')] },
  'hard-swish': { op_type: 'HardSwish', attribute: [] },
};

/** Looks at the graph around a node, in steps that do not depend on its size. */
class Around {
  readonly makers = new Map<string, NodeProto>();
  readonly readers = new Map<string, NodeProto[]>();
  readonly #stored: ReadonlyMap<string, Stored>;

  constructor(nodes: readonly NodeProto[], stored: ReadonlyMap<string, Stored>) {
    this.#stored = stored;
    for (const node of nodes) {
      for (const name of node.output) this.makers.set(name, node);
      if (node.input.length > 3) continue;
      for (const name of new Set(node.input)) {
        const list = this.readers.get(name) ?? [];
        if (list.length === 0) this.readers.set(name, list);
        if (list.length < MOST_BEHIND) list.push(node);
      }
    }
  }

  /** The number that a stored tensor or a Constant is, if it is one. */
  number(name: string): number | undefined {
    const stored = this.#stored.get(name);
    if (stored) return 'dense' in stored ? numberOf(stored.dense) : undefined;
    const maker = this.makers.get(name);
    if (maker?.op_type !== 'Constant') return undefined;
    const [given] = maker.attribute;
    if (given?.name === 'value_float') return given.f;
    return given?.name === 'value' && given.t ? numberOf(given.t) : undefined;
  }

  /** Values that the gate's argument may be an expression of, the nearest first. */
  bases(gate: NodeProto): string[] {
    const found = new Set<string>();
    const queue = [gate.input[0] ?? ''];
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      if (found.size >= MOST_BEFORE || name === '' || this.number(name) !== undefined) continue;
      found.add(name);
      const maker = this.makers.get(name);
      if (maker && ARITHMETIC.includes(maker.op_type)) queue.push(...maker.input.slice(0, 2));
    }
    return [...found];
  }

  /** The node that gives a function of ours of `base`, and which. */
  found(base: string): { readonly node: NodeProto; readonly as: Known } | undefined {
    const forms = new Map<string, Form>([[base, X]]);
    const queue = [base];
    let steps = 0;
    for (let name = queue.shift(); name !== undefined; name = queue.shift())
      for (const node of this.readers.get(name) ?? []) {
        if (++steps > MOST_BEHIND) return undefined;
        const [to = ''] = node.output;
        const form = forms.has(to) ? undefined : this.#form(node, forms);
        if (!form) continue;
        const as = known(form);
        if (as) return { node, as };
        forms.set(to, form);
        queue.push(to);
      }
    return undefined;
  }

  #form(node: NodeProto, forms: ReadonlyMap<string, Form>): Form | undefined {
    const [first, second] = node.input.map((name): Form | undefined => {
      const value = forms.has(name) ? undefined : this.number(name);
      return value === undefined ? forms.get(name) : number(value);
    });
    if (!first || !standard(node)) return undefined;
    const float = (name: string): number | undefined =>
      node.attribute.find((given) => given.name === name)?.f;
    const limit = (index: number, name: string): number =>
      this.number(node.input[index] ?? '') ?? float(name) ?? Number.NaN;
    switch (node.op_type) {
      case 'Add':
        return second && sum(first, second);
      case 'Mul':
        return second && product(first, second);
      case 'Div':
        return second && isNumber(second) ? product(first, number(1 / second.p[0])) : undefined;
      case 'Pow':
        return second && isNumber(second) ? power(first, second.p[0]) : undefined;
      case 'Erf':
        return gated('erf', first);
      case 'Tanh':
        return gated('tanh', first);
      case 'Sigmoid':
        return gated('sigmoid', first);
      case 'Clip':
        return gated('clip', first, limit(1, 'min'), limit(2, 'max'));
      case 'HardSigmoid': {
        const scaled = product(first, number(float('alpha') ?? 0.2));
        const shifted = scaled && sum(scaled, number(float('beta') ?? 0.5));
        return shifted && gated('clip', shifted, 0, 1);
      }
      default:
        return undefined;
    }
  }
}

const standard = ({ domain }: NodeProto): boolean => domain === '' || domain === 'ai.onnx';

const isNumber = ({ p, gate }: Form): boolean => !gate && p.slice(1).every((c) => c === 0);

function power(x: Form, exponent: number): Form | undefined {
  if (exponent !== 2 && exponent !== 3) return undefined;
  const squared = product(x, x);
  return squared && exponent === 3 ? product(squared, x) : squared;
}

/** Of a float tensor of one number in the file itself, of no more axes than any value has. */
function numberOf(tensor: TensorProto): number | undefined {
  const { dims, data_type, data_location, external_data } = tensor;
  const own = data_type === FLOAT && data_location === 0 && external_data.length === 0;
  if (!own || dims.length > 1 || (dims[0] ?? 1) !== 1) return undefined;
  return readTensor(tensor, tensor.name, none).values[0];
}
const none: External = () => new Uint8Array();

/**
 * The nodes with those that spell one of our functions replaced by it, less what only they read.
 * `nodes` stand in topological order, and so does what comes back.
 */
export function fused(
  nodes: readonly NodeProto[],
  stored: ReadonlyMap<string, Stored>,
  output: string,
): readonly NodeProto[] {
  const gates = nodes.filter(({ op_type }) => GATES.includes(op_type));
  if (gates.length === 0) return nodes;
  const around = new Around(nodes, stored);
  const made = new Map<NodeProto, NodeProto>();
  for (const gate of gates)
    for (const base of around.bases(gate)) {
      const found = around.found(base);
      if (!found) continue;
      made.set(found.node, { ...found.node, ...NODES[found.as], input: [base] });
      break;
    }
  if (made.size === 0) return nodes;
  const wanted = new Set([output]);
  const kept = nodes
    .map((node) => made.get(node) ?? node)
    .toReversed()
    .filter((node) => {
      const read = node.output.some((name) => wanted.has(name));
      if (read) for (const name of node.input) wanted.add(name);
      return read;
    });
  return kept.reverse();
}
