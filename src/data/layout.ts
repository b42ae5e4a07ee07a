/**
 * The order in which a network takes the values of an image, where its input has another shape than the
 * data set's [c, h, w].
 *
 * The same values in the same order are the same image: [h, w], [h, w, 1], [1, 1, h, w], [c * h * w] and
 * whatever else comes of [c, h, w] by joining neighbouring axes and by axes of size 1. What comes so of
 * [h, w, c], as TensorFlow and Keras have it, is a permutation, which whoever uses it has to be told.
 */
import { expect, fail } from '../errors';
import type { Listener } from '../events';
import type { AnyModel } from '../nn/model';
import { type Shape, sizeOf } from '../tensor/shape';
import type { DataSet, Layout } from './types';

/** `set` in the order in which a network named `who` takes it; raises EspalierError naming both shapes. */
export function arranged(set: DataSet, input: Shape, who: string): DataSet {
  const layout = layoutFor(set.shape, input);
  if (layout === undefined)
    return fail(who, `images [${input}]`, `${set.name} with [${set.shape}]`);
  return layout === 'chw' ? set : { ...set, layout };
}

/** Note that tells of a permutation; undefined where there is none. */
export function layoutNote({ name, shape, layout }: DataSet): string | undefined {
  const [c, h, w] = shape;
  return layout === 'hwc'
    ? `The network takes images of ${name} as [h, w, c] = [${h}, ${w}, ${c}] (NHWC): their values are permuted so.`
    : undefined;
}

/** `chw` where both would do: a network of one row of values takes them as they are. */
function layoutFor([c, h, w]: DataSet['shape'], input: Shape): Layout | undefined {
  if (sizeOf(input) !== c * h * w) return undefined;
  if (joins([c, h, w], input)) return 'chw';
  return joins([h, w, c], input) ? 'hwc' : undefined;
}

/** True where `joined`, of as many values, comes of `axes` by joining neighbours; sizes of 1 do not count. */
function joins(axes: Shape, joined: Shape): boolean {
  const rest = axes.filter((size) => size !== 1);
  return joined
    .filter((size) => size !== 1)
    .every((size) => {
      let product = rest.shift() ?? 0;
      while (product < size && rest.length > 0) product *= rest.shift()!;
      return product === size;
    });
}

/** Place in [h, w, c] of each value of an image [c, h, w]. */
export function channelsLast([c, h, w]: DataSet['shape']): Int32Array {
  const area = h * w;
  return Int32Array.from({ length: c * area }, (_, i) => (i % area) * c + Math.floor(i / area));
}

/**
 * The data in the order in which the network takes it (data/layout.ts); a permutation is told. Raises
 * EspalierError where it is not what the network takes and tells apart.
 */
export function fitted(
  model: Pick<AnyModel, 'graph'>,
  given: DataSet,
  onEvent?: Listener,
): DataSet {
  const { input, name } = model.graph.network;
  const set = arranged(given, input, name);
  const classes = sizeOf(model.graph.output);
  const fits = classes === set.classes.length;
  expect(fits, name, `${classes} classes`, `${set.name} with ${set.classes.length}`);
  const text = given.layout === set.layout ? undefined : layoutNote(set);
  if (text !== undefined) onEvent?.({ type: 'note', text });
  return set;
}
