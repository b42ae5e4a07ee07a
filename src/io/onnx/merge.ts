/**
 * From drafts to a network: arithmetic with constants becomes layers, together with its neighbours
 * where one layer does the work of two; nodes that nothing reads go; names become plain and unique.
 */
import { expect } from '../../errors';
import { compile, INPUT, type Network, type NodeSpec, paramSpecs } from '../../nn/graph';
import type { Shape } from '../../tensor/shape';
import type { Arithmetic, Builder, Draft, LeftOut } from './build';
import { shortest } from './numbers';

export interface Weight {
  readonly shape: Shape;
  readonly values: Float32Array;
}

export interface Imported {
  readonly network: Network;
  /** By full name; every parameter of the network and no other. */
  readonly weights: Map<string, Weight>;
  /** What was left out or changed, one sentence each. */
  readonly notes: readonly string[];
  /** What the file computes of this network's outputs, if it computes more. */
  readonly leftOut?: LeftOut;
}

/** The network that ends in `output`. */
export function finish(build: Builder, output: Draft, name: string): Imported {
  const drafts = settle(live(build, output));
  const names = uniqueNames(drafts);
  names.set(build.input, INPUT);
  const nodes = drafts.map(
    (draft): NodeSpec => ({
      name: names.get(draft)!,
      layer: draft.layer,
      options: draft.options,
      inputs: draft.inputs.map((input) => names.get(input)!),
    }),
  );
  const network: Network = { name, input: build.input.sample, nodes };
  const own = new Map(drafts.map((draft) => [names.get(draft)!, draft.params]));
  const weights = new Map<string, Weight>();
  for (const [full, { shape }] of paramSpecs(compile(network))) {
    const dot = full.lastIndexOf('.');
    const values = own.get(full.slice(0, dot))?.[full.slice(dot + 1)];
    const size = shape.reduce((a, b) => a * b, 1);
    expect(values?.length === size, `${name}.${full}`, `${size} numbers`, values?.length ?? 'none');
    weights.set(full, { shape, values });
  }
  const { notes, leftOut } = build;
  return { network, weights, notes, ...(leftOut && { leftOut }) };
}

/** The drafts that `output` depends on, in order. */
function live({ drafts, input }: Builder, output: Draft): Draft[] {
  const wanted = new Set([output]);
  for (const draft of drafts.toReversed())
    if (wanted.has(draft)) for (const from of draft.inputs) wanted.add(from);
  wanted.delete(input);
  return drafts.filter((draft) => wanted.has(draft));
}

/** Drafts without steps. One that only a step reads is joined with it where a layer does both. */
function settle(drafts: readonly Draft[]): Draft[] {
  const readers = new Map<Draft, number>();
  for (const { inputs } of drafts)
    for (const from of inputs) readers.set(from, (readers.get(from) ?? 0) + 1);
  const became = new Map<Draft, Draft>();
  const out: Draft[] = [];
  for (const draft of drafts) {
    const inputs = draft.inputs.map((from) => became.get(from) ?? from);
    const [before] = inputs;
    const alone = before && readers.get(draft.inputs[0]!) === 1;
    const joined = draft.step && alone ? join(before, draft, draft.step) : undefined;
    const result = joined ?? { ...draft, inputs };
    if (joined) out[out.indexOf(before!)] = joined;
    else out.push(result);
    became.set(draft, result);
  }
  const plain = new Map(
    out.map((draft) => [draft, draft.step ? settled(draft, draft.step) : draft]),
  );
  for (const draft of plain.values())
    draft.inputs = draft.inputs.map((from) => plain.get(from) ?? from);
  return [...plain.values()];
}

/** Both in one layer, under the name of the second, or undefined. */
function join(first: Draft, second: Draft, { op, by }: Arithmetic): Draft | undefined {
  const { name, layer } = second;
  const shift = op === 'add' ? by : op === 'sub' ? by.map((v) => -v) : undefined;
  const matrix = first.layer === 'dense' || first.layer === 'conv2d';
  if (matrix && first.options.bias === false && layer === 'scale' && shift)
    return {
      ...{ ...first, name },
      options: { ...first.options, bias: true },
      params: { ...first.params, bias: shift },
    };
  if (!first.step || first.layer !== layer) return undefined;
  const { step, ...rest } = first;
  if (shift && (step.op === 'mul' || step.op === 'div'))
    return { ...rest, name, params: { scale: factor(step), shift } };
  const divides = op === 'div' && layer === 'scale' && step.op === 'sub';
  if (divides && by.every((v) => v >= 1e-12 && Number.isFinite(v)))
    return { ...rest, name, ...normalise(step.by, by) };
  return undefined;
}

const factor = ({ op, by }: Arithmetic): Float32Array => (op === 'div' ? by.map((v) => 1 / v) : by);

function normalise(
  mean: Float32Array,
  std: Float32Array,
): Pick<Draft, 'layer' | 'options' | 'params'> {
  const options = { mean: Array.from(mean, shortest), std: Array.from(std, shortest) };
  return { layer: 'normalise', options, params: { mean, std } };
}

/** A scale and a shift, one of which changes nothing. */
function settled({ step: _, ...draft }: Draft, { op, by }: Arithmetic): Draft {
  const all = (value: number): Float32Array => new Float32Array(by.length).fill(value);
  const scales = op === 'mul' || op === 'div';
  const params = scales
    ? { scale: factor({ op, by }), shift: all(0) }
    : { scale: all(1), shift: op === 'add' ? by : by.map((v) => -v) };
  return { ...draft, params };
}

/** Plain names, each once; the first with a name keeps it. */
function uniqueNames(drafts: readonly Draft[]): Map<Draft, string> {
  const used = new Set([INPUT]);
  const next = new Map<string, number>();
  return new Map(
    drafts.map((draft) => {
      const plain = draft.name.replace(/[^\w-]+/g, '-').replace(/^-+|-+$/g, '') || draft.layer;
      let name = plain;
      for (let i = next.get(plain) ?? 2; used.has(name); i++) {
        name = `${plain}-${i}`;
        next.set(plain, i + 1);
      }
      used.add(name);
      return [draft, name];
    }),
  );
}
