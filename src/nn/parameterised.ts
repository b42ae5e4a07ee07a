/** Instantiated parameterisations: tensors in an engine, from which the weight is computed in every step. */
import { expect, lookup } from '../errors';
import type { Engine } from '../runtime/engine';
import { worthSparse } from '../sparse/choice';
import { patternAt, type SparsityPattern } from '../sparse/pattern';
import { nonZeros } from '../sparse/tables';
import { sparseWeight, toDense, type Weight } from '../sparse/weight';
import { type Shape, sizeOf } from '../tensor/shape';
import { keep, type Tensor } from '../tensor/tensor';
import { type Mask, type ParameterData, spreadKept, takeKept } from './parameterisation';
import { parameterisations } from './parameterisations/registry';

/** A parameterisation whose tensors live in an engine until it is freed. */
export interface Parameterisation {
  readonly kind: string;
  readonly settings: ParameterData['settings'];
  /** Shape of the weight. */
  readonly shape: Shape;
  /** The kept entries; undefined where all are kept. */
  readonly pattern: SparsityPattern | undefined;
  /** Tensors that outlive a step; those with one element per entry are [nnz], or shaped like the weight if nothing is pruned. */
  readonly tensors: Readonly<Record<string, Tensor>>;
}

/** Instantiates data for a weight of the given shape; raises an error where the two do not fit. */
export function createParameterisation(
  engine: Engine,
  shape: Shape,
  data: ParameterData,
  who: string,
): Parameterisation {
  const { kind, mask, settings } = data;
  const { tensors: roles, check } = lookup(parameterisations, kind, who);
  const size = sizeOf(shape);
  expect(!mask || mask.length === size, who, `a mask of ${size} entries`, mask?.length);
  const binary = mask?.every((one) => one <= 1) ?? true;
  expect(binary, who, 'a mask of 0 and 1', 'other numbers');
  const places = mask && nonZeros(mask);
  const count = places?.length ?? size;
  for (const [name, { perEntry }] of Object.entries(roles)) {
    const found = data.tensors[name]?.length;
    const fits = found !== undefined && (!perEntry || found === count);
    expect(fits, who, `${name} of ${perEntry ? count : 'some'} values`, found ?? 'none');
  }
  check?.(data, count, who);
  // A mask that keeps everything is dropped: the weight then is dense without a scatter.
  const pattern = places && count < size ? patternAt(engine, shape, places) : undefined;
  const tensors = Object.entries(roles).map(([name, { perEntry }]): [string, Tensor] => {
    const values = data.tensors[name]!;
    return [name, keep(engine, perEntry && !pattern ? shape : [values.length], values)];
  });
  return { kind, settings, shape, pattern, tensors: Object.fromEntries(tensors) };
}

/** Computes the weight in the current step, differentiably in the leaves; sparse where that is cheaper. */
export function weightOf({ kind, settings, pattern, tensors }: Parameterisation): Weight {
  const entries = parameterisations[kind]!.entries(tensors, settings);
  if (!pattern) return entries;
  const weight = sparseWeight(pattern, entries);
  return worthSparse(pattern.density) ? weight : toDense(weight);
}

/** Copies an instantiated parameterisation back to data. */
export function dataOf({
  kind,
  settings,
  shape,
  pattern,
  tensors,
}: Parameterisation): ParameterData {
  const mask = pattern ? new Uint8Array(sizeOf(shape)) : null;
  for (const place of pattern?.places() ?? []) mask![place] = 1;
  const copies = Object.entries(tensors).map(([name, t]) => [name, t.read()] as const);
  return { kind, mask, settings, tensors: Object.fromEntries(copies) };
}

export function freeParameterisation({ pattern, tensors }: Parameterisation): void {
  pattern?.free();
  for (const tensor of Object.values(tensors)) tensor.free();
}

/** The mask of the entries that are non-zero, its kind's own choice included: what the next phase starts with. */
export function maskOf({ kind, mask, settings, tensors }: ParameterData): Mask | null {
  const { kept: keptBy } = lookup(parameterisations, kind, 'parameterisation');
  const kept = keptBy?.(tensors, settings);
  if (!kept || !mask) return kept ?? mask;
  return new Uint8Array(spreadKept(kept, mask));
}

/**
 * Puts a parameterisation under another mask: entries that both keep are unchanged, regrown ones start at 0 in
 * all tensors.
 */
export function remasked(data: ParameterData, mask: Mask): ParameterData {
  const moved = Object.entries(data.tensors).map(([name, values]) => [
    name,
    moveKept(data, name, values, mask),
  ]);
  return { ...data, mask, tensors: Object.fromEntries(moved) };
}

/** Moves values that belong to a tensor of the data, such as an optimiser's moments, from its mask to another. */
export function moveKept(
  { kind, mask }: Pick<ParameterData, 'kind' | 'mask'>,
  tensor: string,
  values: Float32Array,
  to: Mask | null,
): Float32Array {
  if (!parameterisations[kind]!.tensors[tensor]!.perEntry) return values;
  return takeKept(mask ? spreadKept(values, mask) : values, to);
}
