/**
 * Which entries of a weight are not 0. A pattern never changes; what is made from it (tables of products,
 * once for each convolution and number of images side by side) lives as long as it does.
 */
import type { Engine } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import type { ConvShape } from '../tensor/convolution';
import { type Shape, sizeOf } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { type Encoding, encodePattern, lanesFor } from './encoding';
import { nonZeros } from './tables';

export class SparsityPattern {
  readonly density: number;
  readonly #encodings = new Map<string, Encoding>();
  #places: Ptr | undefined;

  /** `write` puts the places of the non-zeros, ascending i32, where it is told, as often as it is asked. */
  constructor(
    readonly engine: Engine,
    readonly shape: Shape,
    readonly nnz: number,
    readonly write: (to: Ptr) => void,
  ) {
    this.density = nnz / Math.max(1, sizeOf(shape));
  }

  /** Address of the places, made when first asked for. */
  get at(): Ptr {
    if (this.#places === undefined) {
      this.#places = this.engine.memory.alloc(4 * this.nnz);
      this.write(this.#places);
    }
    return this.#places;
  }

  /** A copy of the places. */
  places(): Int32Array {
    return this.engine.memory.i32(this.at, this.nnz).slice();
  }

  /** The tables of a convolution for batches of this size. */
  encodingFor(conv: ConvShape, batch: number): Encoding {
    const lanes = lanesFor(conv, batch);
    const key = [...Object.values(conv), lanes].join();
    const known = this.#encodings.get(key);
    if (known) return known;
    const made = encodePattern(this.engine, this.places(), conv, lanes);
    this.#encodings.set(key, made);
    return made;
  }

  /** Gives all tables back; the pattern is of no use afterwards. */
  free(): void {
    for (const encoding of this.#encodings.values()) encoding.free();
    this.#encodings.clear();
    if (this.#places !== undefined) this.engine.memory.free(this.#places);
    this.#places = undefined;
  }
}

/** The pattern of the given places, ascending. */
export function patternAt(engine: Engine, shape: Shape, places: Uint32Array): SparsityPattern {
  const write = (to: Ptr): void => void engine.memory.i32(to, places.length).set(places);
  return new SparsityPattern(engine, shape, places.length, write);
}

/** The pattern of what is not 0 in a tensor now. */
export const patternOf = ({ engine, shape, ptr, size }: Tensor): SparsityPattern =>
  patternAt(engine, shape, nonZeros(engine.memory.f32(ptr, size)));
