/** Compact models that are cut anywhere, or sealed anew after they were made to lie about their sizes. */
import { deflateSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { EspalierError, openModel } from '../../src/edge/index';
import { type Coding, SKIP } from '../../src/io/compact';
import { crc32 } from '../../src/io/crc32';
import { decode, encode, type TensorInput } from '../../src/io/safetensors';
import { site } from './bundle';
import { imageOf } from './models';

const here = await site();
here.remove();
const { bytes, model } = here;
const WEIGHT = 'dense1.weight';

type Codings = Record<string, Record<keyof Coding, unknown>>;

/** The model's file, of other tensors and codings, its checksum in order. */
function forged(change: (tensors: Map<string, TensorInput>, coded: Codings) => void): Uint8Array {
  const { tensors, metadata } = decode(bytes, 'x');
  const [entries, coded] = [new Map<string, TensorInput>(tensors), JSON.parse(metadata.coded!)];
  change(entries, coded);
  const file = encode(entries, { ...metadata, coded: JSON.stringify(coded) });
  const end = file.length - 4;
  new DataView(file.buffer).setUint32(end, crc32(file.subarray(0, end)), true);
  return file;
}

const said = (change: (coding: Record<keyof Coding, number>) => object): Uint8Array =>
  forged((_, coded) =>
    Object.assign(coded[WEIGHT]!, change(coded[WEIGHT] as Record<keyof Coding, number>)),
  );

/** The weight's streams replaced. */
const streams = (numbers: Uint8Array, gaps: Uint8Array, nonzero: number): Uint8Array =>
  forged((tensors, coded) => {
    const [codes, steps] = [deflateSync(numbers), deflateSync(gaps)];
    const data = Uint8Array.of(0, 0, 128, 63, ...codes, ...steps);
    tensors.set(WEIGHT, { dtype: 'U8', shape: [data.length], data });
    const lengths = { centroids: 1, nonzero, steps: gaps.length, codes: codes.length };
    Object.assign(coded[WEIGHT]!, lengths);
  });

/** What opening says, and how much memory it held when it said so. */
async function refusal(file: Uint8Array): Promise<string> {
  const before = process.memoryUsage().external;
  const error = await openModel(file).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(EspalierError);
  expect(process.memoryUsage().external - before).toBeLessThan(2 ** 24);
  return String(error);
}

describe('a compact model', () => {
  it('that is sealed anew is read', async () => {
    const x = imageOf(64, 1);
    expect((await openModel(forged(() => undefined))).predict(x)).toEqual(model.predict(x));
    const [ones, none] = [new Uint8Array(3), new Uint8Array(0)];
    await openModel(streams(ones, Uint8Array.of(0, 254, 7), 3));
    await openModel(streams(none, none, 0));
  });

  it('cut anywhere is refused', async () => {
    for (let end = 0; end < bytes.length; end += 7) await refusal(bytes.subarray(0, end));
  });

  it.each([
    ['more weights', said((c) => ({ nonzero: c.nonzero + 1 })), /bytes once inflated/],
    ['fewer weights', said((c) => ({ nonzero: c.nonzero - 1 })), /once inflated, got more/],
    ['far more weights', said(() => ({ nonzero: 2047 })), /bytes once inflated/],
    ['fewer steps', said((c) => ({ steps: c.steps - 1 })), /once inflated, got more/],
    ['more steps', said((c) => ({ steps: c.steps + 1 })), /bytes once inflated/],
    ['fewer values', said((c) => ({ centroids: c.centroids - 1 })), /codes/],
    ['other bytes of codes', said((c) => ({ codes: c.codes - 1 })), /codes|deflate/],
    ['a size of 4 GB', said(() => ({ shape: [32_768, 32_768] })), /at most 1073741824 bytes/],
    ['another shape', said(() => ({ shape: [64, 32] })), /expected shape \[32,64\], got \[64,32\]/],
    ['a bomb of steps', streams(new Uint8Array(1), new Uint8Array(2048), 1), /steps/],
    ['values there are not', streams(Uint8Array.of(1), Uint8Array.of(5), 1), /numbers below 1/],
    ['places outside', streams(new Uint8Array(0), new Uint8Array(9).fill(SKIP), 0), /got 2295/],
    [
      'a place outside',
      streams(new Uint8Array(1), Uint8Array.of(...new Array(8).fill(SKIP), 8), 1),
      /places below 2048, got 2049/,
    ],
    ['more places', streams(new Uint8Array(1), new Uint8Array(2), 1), /1 weights, got 2/],
    ['fewer places', streams(new Uint8Array(2), new Uint8Array(1), 2), /2 weights, got 1/],
  ])('that says %s than it has is refused in a sentence', async (_, file, sentence) => {
    expect(await refusal(file)).toMatch(sentence);
  });
});
