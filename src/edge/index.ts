/**
 * `espalier/runtime`: compact models where they are used, in Node, browsers, workers and functions.
 * Small, without dependencies, no code is made from text and no `node:` module imported.
 */
import { expect, fail } from '../errors';
import { readCompact } from '../io/compact';
import { inflater } from '../io/inflate';
import { edgeEngine } from './engine';
import { type CompactModel, EdgeModel } from './model';

export { EspalierError } from '../errors';
export type { Certificate, CompactModel, ModelInfo, Prediction, Sample } from './model';

/** A compact model's bytes, or where to fetch them. */
export type Source = Uint8Array | ArrayBuffer | string | { readonly href: string };

export interface OpenOptions {
  /**
   * The compiled `WebAssembly.Module` of `espalier/runtime.wasm`, instead of the built-in one: for
   * runtimes that compile none themselves and import `.wasm` files as modules.
   */
  readonly module?: object;
  /** Upper limit of the linear memory in bytes. Default: 1 GiB. */
  readonly maxMemory?: number;
  /** Upper limit of all parameters as float32, which a file cannot ask to exceed. Default: 1 GiB. */
  readonly maxBytes?: number;
}

/** Loads a compact model (`espalier compact`), which must fit into the memory given. */
export async function openModel(source: Source, options: OpenOptions = {}): Promise<CompactModel> {
  const { module, maxMemory = 2 ** 30, maxBytes } = options;
  const remote = typeof source === 'string' || 'href' in source;
  const who = remote ? String(typeof source === 'string' ? source : source.href) : 'compact model';
  const bytes = remote ? await fetched(who) : bytesOf(source);
  const inflate = await inflater();
  const file = readCompact(bytes, who, inflate, maxBytes === undefined ? {} : { maxBytes });
  return new EdgeModel(edgeEngine(module, maxMemory, inflate), file, who, bytes.length);
}

function bytesOf(source: Uint8Array | ArrayBuffer): Uint8Array {
  const given =
    ArrayBuffer.isView(source) || Object.prototype.toString.call(source) === '[object ArrayBuffer]';
  expect(given, 'openModel', 'bytes or a URL', typeof source);
  return ArrayBuffer.isView(source) ? source : new Uint8Array(source);
}

async function fetched(url: string): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) fail(`openModel: ${url}`, 'a compact model', `status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
