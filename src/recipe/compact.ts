/**
 * A model made compact (Han, Mao, Dally 2016): channels that do not matter go, the weights of a layer
 * share few values, which training may move, and the file is coded. What was written is read back,
 * and that is what is measured.
 */
import { fitted } from '../data/layout';
import { datasets } from '../data/registry';
import type { DataSet } from '../data/types';
import { expect, fail, lookup } from '../errors';
import { evaluate } from '../evaluate/evaluate';
import type { Evaluation } from '../evaluate/records';
import { Interrupted, type Listener, type StopSignal } from '../events';
import type { CompactFile } from '../io/compact';
import { writeAtomic, writeNew } from '../io/files';
import { type ReadOptions, readModelFile } from '../io/read';
import { freeModel, type Model } from '../nn/model';
import type { ParameterData } from '../nn/parameterisation';
import { sharedData } from '../nn/parameterisations/shared';
import { removeDead } from '../prune/dead';
import { nonzeroMasks } from '../prune/mask';
import { parameterMap } from '../prune/prune';
import { type Bits, bitsByKind, shareWeights } from '../prune/share';
import type { Engine } from '../runtime/engine';
import type { Config } from './config';
import { withNetworks } from './networks';
import { finetuning } from './run-phases';
import { trainInPlace } from './training';
import { loadTrainingData } from './training-data';

export interface CompactJob {
  readonly model: string;
  /** For models of other tools. */
  readonly as?: ReadOptions;
  readonly out: string;
  /** Whether a file there may be replaced. */
  readonly replace?: boolean;
  /** Bits a weight by kind of layer; at 32 its weights stay as they are. */
  readonly bits?: Readonly<Record<string, number>>;
  /** The data to measure on and how, `evaluate.eps` resolved; without it nothing is measured. */
  readonly config?: Config | undefined;
  /** Epochs that train the shared values, by the config's objective and `finetune`. */
  readonly epochs?: number;
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
}

/** One parameter of the file. */
export interface CompactLayer {
  readonly name: string;
  readonly shape: readonly number[];
  readonly nonzero: number;
  /** Values the weights share; null where each has its own. */
  readonly values: number | null;
  /** Bytes as float32, the same gzipped, and in the file. */
  readonly raw: number;
  readonly gzipped: number;
  readonly compact: number;
}

export interface Compacted {
  readonly network: string;
  readonly layers: readonly CompactLayer[];
  /** Of the model that was given: bytes of its parameters as float32. */
  readonly raw: number;
  /** The same gzipped. */
  readonly gzipped: number;
  /** The file that was written, and that file gzipped. */
  readonly compact: number;
  readonly compactGzipped: number;
  /** Channels removed, by layer. */
  readonly removed: Readonly<Record<string, number>>;
  /** Of what was written. */
  readonly evaluation?: Pick<Evaluation, 'accuracies' | 'contradictions'>;
}

/** Those of Han et al. */
const BITS: Readonly<Record<string, number>> = { conv2d: 8, dense: 5 };

/** Bytes of a gzip file around its deflate data. */
const GZIP_FRAME = 18;

/** `conv=8,dense=5` as bits by kind of layer; a kind at 32 keeps float32 weights. */
export function parseBits(text: string): Record<string, number> {
  const kinds: Readonly<Record<string, string>> = { conv: 'conv2d', dense: 'dense' };
  const parsed = text.split(',').map((part): [string, number] => {
    const [kind = '', bits = ''] = part.split('=').map((word) => word.trim());
    const known = Object.hasOwn(kinds, kind) && /^([1-8]|32)$/.test(bits);
    if (!known) fail('--bits', 'conv=1..8 or 32, dense=1..8 or 32, as in conv=8,dense=5', text);
    return [kinds[kind]!, Number(bits)];
  });
  return Object.fromEntries(parsed);
}

/** Reads a model, makes it compact, writes it and measures what was written. */
export async function compact(engine: Engine, job: CompactJob): Promise<Compacted> {
  const { config, out, onEvent, signal, bits: given = BITS, epochs = 0 } = job;
  expect(config || epochs === 0, 'compact', 'a data set to train shared values on', 'none');
  const { compactFile, smallestDeflate } = await import('../io/compact-write');
  const { readCompact } = await import('../io/compact');
  const { inflater } = await import('../io/inflate');
  const set = config && (await loadSet(config));
  const { model, metadata, notes } = await readModelFile(engine, job.model, job.as);
  for (const text of notes) onEvent?.({ type: 'note', text });
  if (set) fitted(model, set);
  const before = floatBytes(model);
  const { model: smaller, removed } = removeDead(model);
  freeModel(model);
  const kinds = Object.entries(given).filter(([, bits]) => bits < 32);
  const bits = bitsByKind(smaller, Object.fromEntries(kinds));
  shareWeights(smaller, bits);
  if (config && set && epochs > 0) await trainValues(smaller, bits, { ...job, epochs, config });
  const file = await compactFile(smaller, { ...metadata, bits: given });
  freeModel(smaller);
  await (job.replace ? writeAtomic : writeNew)(out, file);
  const deflate = await smallestDeflate();
  const gzip = (bytes: Uint8Array): number => deflate(bytes).length + GZIP_FRAME;
  const sizes = {
    raw: before.length,
    gzipped: gzip(before),
    compact: file.length,
    compactGzipped: gzip(file),
    removed: Object.fromEntries(removed),
    layers: layersOf(readCompact(file, out, await inflater()), gzip),
  };
  const { model: written } = await readModelFile(engine, out);
  const { name: network } = written.graph.network;
  try {
    if (!config || !set) return { network, ...sizes };
    const hooks = { seed: config.seed, ...(onEvent && { onEvent }), ...(signal && { signal }) };
    const found = await evaluate(written, set, set.test, config.evaluate, hooks);
    const { accuracies, contradictions } = found;
    return { network, ...sizes, evaluation: { accuracies, contradictions } };
  } finally {
    freeModel(written);
  }
}

function loadSet({ data: { name, path } }: Config): Promise<DataSet> {
  return lookup(datasets, name, 'data').load(path === null ? {} : { path });
}

/** The parameters one after the other as float32. */
function floatBytes({ params }: Model): Uint8Array {
  return new Uint8Array(Buffer.concat([...params.values()].map((t) => bytesOf(t.read()))));
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

function layersOf(
  { names, tensor }: CompactFile,
  gzip: (bytes: Uint8Array) => number,
): CompactLayer[] {
  return names.map((name) => {
    const { shape, coding, bytes, values } = tensor(name);
    return {
      name,
      shape,
      nonzero: values.reduce((n, w) => (w === 0 ? n : n + 1), 0),
      values: coding?.centroids || null,
      raw: values.byteLength,
      gzipped: gzip(bytesOf(values)),
      compact: bytes,
    };
  });
}

/** Trains the shared values (and what is not shared); zeros stay zeros. */
async function trainValues(
  model: Model,
  bits: Bits,
  { epochs, config, onEvent, signal }: CompactJob & { epochs: number; config: Config },
): Promise<void> {
  const data = await loadTrainingData(config);
  const shared = Array.from(bits.keys(), (name): [string, ParameterData] => [
    name,
    sharedData(model.params.get(name)!.read()),
  ]);
  const how = new Map([...parameterMap(model, nonzeroMasks(model)), ...shared]);
  // Round 2: its draws repeat those of no earlier phase of an ordinary run.
  const spec = finetuning(config, 2, { epochs });
  const asking = { objective: spec.objective, training: [spec.training] };
  const done = await withNetworks(model.engine, asking, data, (all) =>
    trainInPlace(model, spec, how, config, all, { onEvent, signal }),
  );
  if (!done) throw new Interrupted('Nothing was written.');
}
