/** Compact models made by hand: a few bytes whose header asks for whatever it says, its checksum in order. */
import { CHECKSUM } from '../../src/io/compact';
import { crc32 } from '../../src/io/crc32';
import { COMPACT } from '../../src/io/metadata';
import { encode, type TensorInput } from '../../src/io/safetensors';
import { compile, type Network, paramSpecs } from '../../src/nn/graph';

/** The file of a network whose parameters are all zeros, which take no byte. */
export function zerosOf(network: Network): Uint8Array {
  const nothing: TensorInput = { dtype: 'U8', shape: [0], data: new Uint8Array(0) };
  const names = [...paramSpecs(compile(network))];
  const coded = names.map(([name, { shape }]) => [
    name,
    { shape, nonzero: 0, centroids: 0, steps: 0, codes: 0 },
  ]);
  return sealed(new Map(names.map(([name]) => [name, nothing])), {
    network: JSON.stringify(network),
    coded: JSON.stringify(Object.fromEntries(coded)),
  });
}

/** Tensors and metadata as a compact file. */
export function sealed(
  tensors: ReadonlyMap<string, TensorInput>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const sum: TensorInput = { dtype: 'U8', shape: [4], data: new Uint8Array(4) };
  const file = encode(new Map([...tensors, [CHECKSUM, sum]]), { ...metadata, format: COMPACT });
  const end = file.length - 4;
  new DataView(file.buffer).setUint32(end, crc32(file.subarray(0, end)), true);
  return file;
}
