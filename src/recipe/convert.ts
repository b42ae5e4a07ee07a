/** Between formats: any model file in, one of four kinds out, chosen by the name of the output. */
import { fail } from '../errors';
import { type Put, writeAtomic } from '../io/files';
import type { Metadata } from '../io/metadata';
import { saveModel } from '../io/model';
import { type Format, type ReadOptions, readModelFile } from '../io/read';
import { type Inspection, inspect } from '../measure/inspect';
import { freeModel, type Model } from '../nn/model';
import type { Engine } from '../runtime/engine';

export interface Conversion {
  readonly from: Format;
  readonly to: Format;
  readonly notes: readonly string[];
  /** Bytes of the file written. */
  readonly bytes: number;
  readonly inspection: Inspection;
}

interface Writer {
  readonly format: Format;
  readonly about: string;
  write(path: string, model: Model, metadata: Metadata, put: Put): Promise<void>;
}

/** By extension. */
export const writers: Readonly<Record<string, Writer>> = {
  safetensors: {
    format: 'espalier',
    about: 'safetensors with the network inside: what every command here reads',
    write: saveModel,
  },
  compact: {
    format: 'compact',
    about: 'the same weights, bit by bit, coded for size; `espalier compact` makes it small',
    async write(path, model, metadata, put) {
      const { compactFile } = await import('../io/compact-write');
      await put(path, await compactFile(model, metadata));
    },
  },
  onnx: {
    format: 'onnx',
    about:
      'ONNX, operator set 13 or newer where an operator needs it, for other runtimes and verifiers',
    async write(path, model, _, put) {
      const { writeOnnx } = await import('../io/onnx/writer');
      await put(path, writeOnnx(model));
    },
  },
  npz: {
    format: 'npz',
    about: 'NumPy arrays by parameter name: the weights alone',
    async write(path, { params }, _, put) {
      const { writeNpz } = await import('../io/npz');
      const arrays = [...params].map(
        ([name, t]) => [name, { shape: t.shape, values: t.read() }] as const,
      );
      await put(path, writeNpz(new Map(arrays)));
    },
  },
};

/** The format that a file name says by its extension, if any. */
export function formatOf(path: string): Format | undefined {
  const extension = /\.(\w+)$/.exec(path)?.[1] ?? '';
  return Object.hasOwn(writers, extension) ? writers[extension]!.format : undefined;
}

/** The writer for a file name; raises EspalierError where the extension names none. */
export function writerFor(path: string): Writer {
  const extension = /\.(\w+)$/.exec(path)?.[1] ?? '';
  if (Object.hasOwn(writers, extension)) return writers[extension]!;
  const known = Object.keys(writers).map((name) => `.${name}`);
  return fail(
    path,
    `a name that ends with ${known.join(', ')}`,
    extension ? `.${extension}` : 'none',
  );
}

/** Reads `from` and writes `to`, which is complete or not there at all. */
export async function convert(
  engine: Engine,
  from: string,
  to: string,
  options: ReadOptions = {},
  put: Put = writeAtomic,
): Promise<Conversion> {
  const writer = writerFor(to);
  const { model, format, notes, metadata } = await readModelFile(engine, from, options);
  try {
    await writer.write(to, model, metadata, put);
    const fs = await import('node:fs/promises');
    const { size } = await fs.stat(to);
    return { from: format, to: writer.format, notes, bytes: size, inspection: inspect(model) };
  } finally {
    freeModel(model);
  }
}
