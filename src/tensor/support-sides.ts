/**
 * A support encoded for one geometry: where activations lie, and the tables of the product, its
 * transpose in x and its sampled gradient. Both operands have one layout each, which all three read,
 * so that what the forward pass laid out serves the backward pass.
 *
 * Planes that do not fill groups hold several images side by side, as many as waste least; dense
 * layers are 1 x 1 planes. Cost: a few looks at every non-zero, once.
 */
import { expect } from '../errors';
import type { Ptr } from '../runtime/kernels';
import {
  type ConvSizes,
  encodePlaces,
  encodeRows,
  forwardPass,
  GROUP,
  intoSplitOutput,
  isMatrix,
  type Margins,
  marginsOf,
  nonZeros,
  overSplitInput,
  type Pass,
  type Planes,
  phasesOf,
  planesOf,
  transposedPasses,
} from './sparse';
import type { Tensor } from './tensor';

/** Images as tensors have them, and the planes that a product reads or writes. */
export interface End {
  /** [c, h, w] of an image. */
  readonly shape: Planes['shape'];
  readonly planes: Planes;
  /** Of the planes, if they are split. */
  readonly split: readonly [number, number] | undefined;
  /** Whether the planes are just the images. */
  readonly plain: boolean;
}

/** Addresses of the tables of one pass; `order` says which value of the support each non-zero has. */
export interface Tables {
  readonly rows: number;
  readonly nnz: number;
  readonly starts: Ptr;
  readonly offsets: Ptr;
  readonly order: Ptr;
  readonly groups: number;
  readonly places: Ptr;
  readonly masks: Ptr;
}

export interface Side {
  readonly from: End;
  readonly to: End;
  readonly passes: readonly Tables[];
}

export interface Support {
  readonly mask: Tensor;
  readonly sizes: ConvSizes;
  /** Images side by side. */
  readonly lanes: number;
  readonly nnz: number;
  /** Places of the non-zeros in the weight, ascending (i32). Values are in this order. */
  readonly at: Ptr;
  readonly forward: Side;
  readonly transposed: Side;
  /** From x and to the y that are multiplied, in one pass. */
  readonly sampled: Side;
  /** Gives its tables back. */
  free(): void;
}

/** How much less the groups of several images have to be before they pay for their copies. */
const GAIN = 0.7;

/** Images side by side that leave least of the groups unused. */
export function lanesFor(sizes: ConvSizes, batch: number): number {
  const [, , w, , , , , , , , , , oh, ow] = sizes;
  if (isMatrix(sizes)) return batch > GROUP ? 2 * GROUP : GROUP;
  if (Math.max(w, ow) >= GROUP) return 1;
  const groups = (lanes: number): number => {
    const lines = (ow * lanes) % GROUP === 0;
    const run = lines ? oh * ow : (oh - 1) * (ow + 1) + ow;
    return Math.ceil((run * lanes) / GROUP) * Math.ceil(batch / lanes);
  };
  return [2, 4, 8, 16].reduce(
    (best, lanes) => (groups(lanes) < GAIN * groups(best) ? lanes : best),
    1,
  );
}

/**
 * Encodes where `mask` [oc, c, kh, kw] is not 0, which must stay as it is, for so many images at
 * once. Its memory is kept until `free`.
 */
export function supportOf(mask: Tensor, sizes: ConvSizes, batch: number): Support {
  const [c, , , oc, kh, kw] = sizes;
  const { engine } = mask;
  expect(mask.size === oc * c * kh * kw, 'supportOf', `${oc * c * kh * kw} weights`, mask.size);
  const blocks: Ptr[] = [];
  const put = (values: ArrayLike<number>): Ptr => {
    const at = engine.memory.alloc(4 * values.length);
    blocks.push(at);
    engine.memory.i32(at, values.length).set(values);
    return at;
  };
  const lanes = lanesFor(sizes, batch);
  const positions = nonZeros(engine.memory.f32(mask.ptr, mask.size));
  const layout = layoutOf(sizes, lanes);
  const encode = (side: Ends, transposed: boolean): Side => ({
    ...side,
    passes: side.passes.map((pass) => {
      const source = side.from.planes;
      const rows = encodeRows(positions, sizes, pass, source, transposed);
      const { places, masks } = encodePlaces(pass, source, side.to.planes);
      return {
        rows: rows.starts.length - 1,
        nnz: rows.offsets.length,
        starts: put(rows.starts),
        offsets: put(rows.offsets),
        // A forward pass keeps the order of the non-zeros.
        order: transposed ? put(rows.entries) : 0,
        groups: places.length / 2,
        places: put(places),
        masks: masks ? put(masks) : 0,
      };
    }),
  });
  const forward = encode(layout.forward, false);
  const [transposed, sampled] = [
    once(() => encode(layout.transposed, true)),
    once(() => (layout.sampled.to === layout.forward.to ? forward : encode(layout.sampled, false))),
  ];
  return {
    ...{ mask, sizes, lanes, forward, nnz: positions.length, at: put(positions) },
    get transposed() {
      return transposed();
    },
    get sampled() {
      return sampled();
    },
    free: () => {
      for (const ptr of blocks.splice(0)) engine.memory.free(ptr);
    },
  };
}

/** Encoded when first asked for: bounds and values need one side only. */
function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

interface Ends extends Omit<Side, 'passes'> {
  readonly passes: readonly Pass[];
}

/** Strided convolutions read, and their transposes write, planes split into phases. */
function layoutOf(
  sizes: ConvSizes,
  lanes: number,
): Record<'forward' | 'transposed' | 'sampled', Ends> {
  const [c, h, w, oc, , , sh, sw, , , , , oh, ow] = sizes;
  const [x, y] = [[c, h, w] as const, [oc, oh, ow] as const];
  const strided = sh * sw > 1;
  const [inSteps, outSteps] = [
    strided ? ([sh, sw] as const) : undefined,
    strided ? ([Math.min(sh, h), Math.min(sw, w)] as const) : undefined,
  ];
  const forward = strided ? [overSplitInput(forwardPass(sizes))] : [forwardPass(sizes)];
  const back = strided ? intoSplitOutput(transposedPasses(sizes)) : transposedPasses(sizes);
  const split = inSteps ? phasesOf(x, inSteps) : x;
  const merged = outSteps ? phasesOf(x, outSteps) : x;
  const margins = [marginsOf(forward, split), marginsOf(back, y)] as const;
  const pitch = (width: number, [, left, , right]: Margins): number =>
    width + Math.max(left, right);
  // Groups along whole planes need lines of one length on both sides.
  const columns = Math.max(pitch(split[2], margins[0]), pitch(ow, margins[1]), merged[2]);
  const input: End = {
    ...{ shape: x, planes: planesOf(split, lanes, margins[0], columns), split: inSteps },
    plain: false,
  };
  const output: End = {
    ...{ shape: y, planes: planesOf(y, lanes, margins[1], columns), split: undefined },
    plain: false,
  };
  const written = (shape: Planes['shape'], steps: End['split'], inner: Planes['shape']): End => {
    // Whole lines go straight into the result.
    const plain = lanes === 1 && !steps && shape[2] >= GROUP;
    const planes = plain
      ? { ...planesOf(shape, 1), channel: shape[1] * shape[2] }
      : planesOf(inner, lanes, undefined, columns);
    return { shape, planes, split: steps, plain };
  };
  const to = written(y, undefined, y);
  // The groups of a sum must not overlap.
  const apart = to.plain && ow % GROUP === 0;
  return {
    forward: { from: input, to, passes: forward },
    transposed: { from: output, to: written(x, outSteps, merged), passes: back },
    sampled: { from: input, to: apart ? to : output, passes: forward },
  };
}
