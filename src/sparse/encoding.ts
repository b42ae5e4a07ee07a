/**
 * A sparsity pattern encoded for one convolution: where activations lie, and the tables of the product,
 * its transpose in x and its sampled gradient. Both operands have one layout each, which all three read,
 * so that what the forward pass packed serves the backward pass.
 *
 * Planes that do not fill output tiles hold several images side by side, as many as waste least; dense
 * layers are 1 x 1 planes. Cost: a few looks at every non-zero, once.
 */
import type { Engine } from '../runtime/engine';
import type { OptionalPtr, Ptr } from '../runtime/kernels';
import { type ConvShape, inputOf, isMatrix, outputOf } from '../tensor/convolution';
import {
  type CsrTables,
  encodePlaces,
  encodeRows,
  forwardPass,
  intoSplitOutput,
  type Margins,
  marginsOf,
  overSplitInput,
  type Pass,
  type Planes,
  phasesOf,
  planesOf,
  putTiles,
  TILE,
  transposedPasses,
} from './tables';

/** Images as tensors have them, and the planes that a product reads or writes. */
export interface OperandLayout {
  /** [c, h, w] of an image. */
  readonly shape: Planes['shape'];
  readonly planes: Planes;
  /** Strides by which planes are split into phases, if they are. */
  readonly split: readonly [number, number] | undefined;
  /** Whether the planes are just the images. */
  readonly plain: boolean;
}

/** Tables of one pass; `order` says which value of the pattern each non-zero has, 0: that of its place. */
export interface OrderedTables extends CsrTables {
  readonly order: OptionalPtr;
}

export interface Direction {
  readonly from: OperandLayout;
  readonly to: OperandLayout;
  readonly passes: readonly OrderedTables[];
}

export interface Encoding {
  readonly conv: ConvShape;
  /** Images side by side. */
  readonly lanes: number;
  readonly forward: Direction;
  readonly transposed: Direction;
  /** Layouts of the x and y whose products the gradient of the values sums, in one pass. */
  readonly sampled: Direction;
  /** Gives its tables back. */
  free(): void;
}

/** How much less the tiles of several images have to be before they pay for their copies. */
const GAIN = 0.7;

/** Images side by side that leave least of the output tiles unused. */
export function lanesFor(conv: ConvShape, batch: number): number {
  if (isMatrix(conv)) return batch > TILE ? 2 * TILE : TILE;
  const { width, outHeight: oh, outWidth: ow } = conv;
  if (Math.max(width, ow) >= TILE) return 1;
  const tiles = (lanes: number): number => {
    const lines = (ow * lanes) % TILE === 0;
    const run = lines ? oh * ow : (oh - 1) * (ow + 1) + ow;
    return Math.ceil((run * lanes) / TILE) * Math.ceil(batch / lanes);
  };
  return [2, 4, 8, 16].reduce(
    (best, lanes) => (tiles(lanes) < GAIN * tiles(best) ? lanes : best),
    1,
  );
}

/**
 * Encodes the ascending places of the non-zeros of a weight for so many images side by side. Memory is
 * kept until `free`.
 */
export function encodePattern(
  engine: Engine,
  nonZeros: ArrayLike<number>,
  conv: ConvShape,
  lanes: number,
): Encoding {
  const blocks: Ptr[] = [];
  const put = (values: ArrayLike<number>): Ptr => {
    const at = engine.memory.alloc(4 * values.length);
    blocks.push(at);
    engine.memory.i32(at, values.length).set(values);
    return at;
  };
  const layout = layoutOf(conv, lanes);
  const encode = (direction: Uncoded, transposed: boolean): Direction => ({
    ...direction,
    passes: direction.passes.map((pass) => {
      const source = direction.from.planes;
      const rows = encodeRows(nonZeros, conv, pass, source, transposed);
      return {
        rows: rows.starts.length - 1,
        nnz: rows.offsets.length,
        starts: put(rows.starts),
        offsets: put(rows.offsets),
        // A forward pass keeps the order of the non-zeros.
        order: transposed ? put(rows.entries) : 0,
        ...putTiles(put, encodePlaces(pass, source, direction.to.planes)),
      };
    }),
  });
  const forward = encode(layout.forward, false);
  const [transposed, sampled] = [
    once(() => encode(layout.transposed, true)),
    once(() => (layout.sampled.to === layout.forward.to ? forward : encode(layout.sampled, false))),
  ];
  return {
    ...{ conv, lanes, forward },
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

interface Uncoded extends Omit<Direction, 'passes'> {
  readonly passes: readonly Pass[];
}

/** Strided convolutions read, and their transposes write, planes split into phases. */
function layoutOf(
  conv: ConvShape,
  lanes: number,
): Record<'forward' | 'transposed' | 'sampled', Uncoded> {
  const [x, y] = [inputOf(conv), outputOf(conv)];
  const { height: h, width: w, strideY: sh, strideX: sw, outWidth: ow } = conv;
  const strided = sh * sw > 1;
  const [inSteps, outSteps] = [
    strided ? ([sh, sw] as const) : undefined,
    strided ? ([Math.min(sh, h), Math.min(sw, w)] as const) : undefined,
  ];
  const forward = strided ? [overSplitInput(forwardPass(conv))] : [forwardPass(conv)];
  const back = strided ? intoSplitOutput(transposedPasses(conv)) : transposedPasses(conv);
  const split = inSteps ? phasesOf(x, inSteps) : x;
  const merged = outSteps ? phasesOf(x, outSteps) : x;
  const margins = [marginsOf(forward, split), marginsOf(back, y)] as const;
  const pitch = (width: number, [, left, , right]: Margins): number =>
    width + Math.max(left, right);
  // Tiles along whole planes need lines of one length on both sides.
  const columns = Math.max(pitch(split[2], margins[0]), pitch(ow, margins[1]), merged[2]);
  const input: OperandLayout = {
    ...{ shape: x, planes: planesOf(split, lanes, margins[0], columns), split: inSteps },
    plain: false,
  };
  const output: OperandLayout = {
    ...{ shape: y, planes: planesOf(y, lanes, margins[1], columns), split: undefined },
    plain: false,
  };
  const written = (
    shape: Planes['shape'],
    steps: OperandLayout['split'],
    inner: Planes['shape'],
  ): OperandLayout => {
    // Whole lines go straight into the result.
    const plain = lanes === 1 && !steps && shape[2] >= TILE;
    const planes = plain
      ? { ...planesOf(shape, 1), channel: shape[1] * shape[2] }
      : planesOf(inner, lanes, undefined, columns);
    return { shape, planes, split: steps, plain };
  };
  const to = written(y, undefined, y);
  // The tiles of a sum must not overlap.
  const apart = to.plain && ow % TILE === 0;
  return {
    forward: { from: input, to, passes: forward },
    transposed: { from: output, to: written(x, outSteps, merged), passes: back },
    sampled: { from: input, to: apart ? to : output, passes: forward },
  };
}
