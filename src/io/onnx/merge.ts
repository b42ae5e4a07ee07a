/**
 * From drafts to a network: arithmetic with constants becomes layers, together with its neighbours
 * where one layer does the work of two; nodes that nothing reads go; names become plain and unique.
 */
import { expect } from '../../errors';
import { compile, INPUT, type Network, type NodeSpec, paramSpecs } from '../../nn/graph';
import type { Shape } from '../../tensor/shape';
import type { Arithmetic, Builder, Draft, LeftOut } from './build';

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
  /** What every draft became, by its first form; drafts that were joined stand for their last one. */
  const became = new Map<Draft, Draft>();
  const out = new Map<Draft, Draft>();
  /** The first of the drafts that were joined to this one. */
  const origin = new Map<Draft, Draft>();
  for (const draft of drafts) {
    const [from] = draft.inputs;
    const start = from && (origin.get(from) ?? from);
    const before = start && out.get(start);
    const alone = draft.step && before && readers.get(from!) === 1;
    const joined = alone ? join(before, draft, draft.step!) : undefined;
    const place = joined ? start! : draft;
    origin.set(draft, place);
    out.set(place, joined ?? draft);
    became.set(draft, place);
  }
  const plain = new Map<Draft, Draft>();
  for (const [place, draft] of out) {
    const own = draft.step ? settled(draft, draft.step) : { ...draft };
    own.inputs = draft.inputs.map((from) => plain.get(became.get(from) ?? from) ?? from);
    plain.set(place, own);
  }
  return [...plain.values()];
}

/**
 * Both in one layer, under the name of the second, or undefined. Nothing is computed for it, so the
 * layer has the numbers of the file and computes what the file says: products are added up in some
 * order, the shift among them. Two scales, or a rounded reciprocal and a shift, would make another
 * function; where such rounding is counted, `nn/lower.ts` folds.
 */
function join(first: Draft, second: Draft, { op, by }: Arithmetic): Draft | undefined {
  const { name, layer } = second;
  if (op !== 'add') return undefined;
  const matrix = first.layer === 'dense' || first.layer === 'conv2d';
  if (matrix && first.options.bias === false && layer === 'scale')
    return {
      ...{ ...first, name },
      options: { ...first.options, bias: true },
      params: { ...first.params, bias: by },
    };
  if (first.step?.op !== 'mul' || first.step.inexact || first.layer !== layer) return undefined;
  const { step, ...rest } = first;
  return { ...rest, name, params: { scale: step.by, shift: by } };
}

/** A scale and a shift, one of which changes nothing. */
function settled({ step: _, ...draft }: Draft, { op, by }: Arithmetic): Draft {
  const all = (value: number): Float32Array => new Float32Array(by.length).fill(value);
  const params = op === 'mul' ? { scale: by, shift: all(0) } : { scale: all(1), shift: by };
  return { ...draft, params };
}

/** Plain names, each once; the first with a name keeps it. Time is linear in a name's length. */
function uniqueNames(drafts: readonly Draft[]): Map<Draft, string> {
  const used = new Set([INPUT]);
  const next = new Map<string, number>();
  return new Map(
    drafts.map((draft) => {
      const plain =
        draft.name.replace(/[^\w-]+/g, '-').replace(/^-+|(?<!-)-+$/g, '') || draft.layer;
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
