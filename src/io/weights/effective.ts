/**
 * The weights that a file's tensors stand for, where PyTorch stores parts instead of them:
 *
 * - `torch.nn.utils.prune`: `weight_orig` and `weight_mask`, whose product it is;
 * - weight norm (Salimans and Kingma 2016): `weight_g` and `weight_v`, or
 *   `parametrizations.weight.original0` and `original1`; g v / |v|, the norm over the axes along which
 *   g has one item (`dim=0` by default);
 * - spectral norm (Miyato et al. 2018) as in inference: `weight_orig`, `weight_u`, `weight_v`, or
 *   `parametrizations.weight.original`, `0._u`, `0._v`; W / (u^T W v), W as a matrix of as many rows
 *   as u has items.
 *
 * The same for other parameters than `weight`. Parts that do not belong together stay as they are, and
 * are then left over. Computed in f64, rounded once. Cost: linear in the values.
 */
import { sizeOf } from '../../tensor/shape';
import type { WeightFile, WeightTensor } from './types';

type PartsOf = Readonly<Record<string, WeightTensor>>;

interface Rule {
  /** Ends of the names of the parts, by what they are. */
  readonly ends: Readonly<Record<string, string>>;
  readonly inside: boolean;
  /** Undefined where the shapes do not belong together. */
  readonly make: (parts: PartsOf) => WeightTensor | undefined;
}

const INSIDE = 'parametrizations.';

/** Rules in order of trial: the first whose parts are all there is taken. */
const RULES: readonly Rule[] = [
  { inside: false, ends: { whole: '_orig', mask: '_mask' }, make: masked },
  { inside: false, ends: { whole: '_orig', u: '_u', v: '_v' }, make: spectral },
  { inside: false, ends: { g: '_g', v: '_v' }, make: normed },
  { inside: true, ends: { g: '.original0', v: '.original1' }, make: normed },
  { inside: true, ends: { whole: '.original', u: '.0._u', v: '.0._v' }, make: spectral },
];

/** `file` with whole parameters for their parts, at the place of the first part. */
export function effectiveWeights(file: WeightFile): WeightFile {
  const made = new Map<string, readonly [string, WeightTensor]>();
  const gone = new Set<string>();
  for (const name of file.keys())
    for (const { ends, inside, make } of RULES) {
      const [lead] = Object.values(ends);
      if (gone.has(name) || !name.endsWith(lead!)) continue;
      const stem = name.slice(0, name.length - lead!.length);
      const whole = wholeName(stem, inside);
      if (whole === undefined || file.has(whole)) continue;
      const names = Object.values(ends).map((end) => stem + end);
      if (!names.every((part) => file.has(part))) continue;
      const keys = Object.keys(ends);
      const tensor = make(Object.fromEntries(keys.map((key, i) => [key, file.get(names[i]!)!])));
      if (!tensor) continue;
      for (const part of names) gone.add(part);
      made.set(name, [whole, tensor]);
    }
  if (made.size === 0) return file;
  return new Map(
    [...file].flatMap((entry) => {
      const whole = made.get(entry[0]);
      return whole ? [whole] : gone.has(entry[0]) ? [] : [entry];
    }),
  );
}

/** `a.parametrizations.weight` -> `a.weight`; undefined where the stem is not of that kind. */
function wholeName(stem: string, inside: boolean): string | undefined {
  if (!inside) return /(^|[./])\w+$/.test(stem.slice(-80)) ? stem : undefined;
  const at = stem.lastIndexOf(INSIDE);
  const local = stem.slice(at + INSIDE.length);
  const whole = at >= 0 && (at === 0 || stem[at - 1] === '.') && !local.includes('.');
  return whole ? stem.slice(0, at) + local : undefined;
}

/** A tensor whose values are computed when asked for. */
function lazily(shape: readonly number[], compute: () => Float32Array): WeightTensor {
  return {
    shape,
    get values() {
      return compute();
    },
  };
}

function masked({ whole, mask }: PartsOf): WeightTensor | undefined {
  if (whole!.shape.join() !== mask!.shape.join()) return undefined;
  return lazily(whole!.shape, () => {
    const kept = mask!.values;
    return whole!.values.map((value, i) => value * kept[i]!);
  });
}

function normed({ g, v }: PartsOf): WeightTensor | undefined {
  const { shape } = v!;
  const one = g!.shape.length === 0 ? shape.map(() => 1) : g!.shape;
  const fits =
    one.length === shape.length && one.every((size, axis) => size === 1 || size === shape[axis]);
  if (!fits) return undefined;
  return lazily(shape, () => {
    const [values, lengths] = [v!.values, g!.values];
    const groups = groupsOf(shape, one);
    const squares = new Float64Array(lengths.length);
    values.forEach((value, i) => {
      squares[groups[i]!]! += value * value;
    });
    return values.map((value, i) => {
      const group = groups[i]!;
      return (value * lengths[group]!) / Math.sqrt(squares[group]!);
    });
  });
}

/** Which item of a tensor of shape `one` (1 or the same size along each axis) each value belongs to. */
function groupsOf(shape: readonly number[], one: readonly number[]): Uint32Array {
  const groups = new Uint32Array(sizeOf(shape));
  for (let i = 0; i < groups.length; i++) {
    let [rest, stride, group] = [i, 1, 0];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (one[axis] !== 1) group += (rest % shape[axis]!) * stride;
      stride *= one[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    groups[i] = group;
  }
  return groups;
}

function spectral({ whole, u, v }: PartsOf): WeightTensor | undefined {
  const { shape } = whole!;
  const size = sizeOf(shape);
  const [rows, columns] = [u!.shape, v!.shape].map((one) => (one.length === 1 ? one[0]! : -1));
  // Axis 0 unless only another one has as many items (transposed convolutions: 1).
  const axis = shape.indexOf(rows!);
  if (axis < 0 || rows! * columns! !== size) return undefined;
  return lazily(shape, () => {
    const [values, left, right] = [whole!.values, u!.values, v!.values];
    const inner = shape.slice(axis + 1).reduce((product, length) => product * length, 1);
    let sigma = 0;
    values.forEach((value, i) => {
      const row = Math.floor(i / inner) % rows!;
      const column = Math.floor(i / (inner * rows!)) * inner + (i % inner);
      sigma += left[row]! * value * right[column]!;
    });
    return values.map((value) => value / sigma);
  });
}
