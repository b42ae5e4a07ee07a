/**
 * `espalier/runtime`: compact models where they are used, in Node, browsers, workers and functions.
 * Small, without dependencies, no code is made from text and no `node:` module imported.
 */
import { EspalierError, expect, fail } from '../errors';
import { readCompact } from '../io/compact';
import { inflater } from '../io/inflate';
import { edgeEngine } from './engine';
import { type CompactModel, EdgeModel, shown } from './model';

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
  expect(isObject(options), 'openModel: options', 'an object', shown(options));
  const { module, maxMemory = 2 ** 30, maxBytes = 2 ** 30 } = options;
  for (const [name, bytes] of Object.entries({ maxMemory, maxBytes }))
    expect(typeof bytes === 'number' && bytes > 0, `openModel: ${name}`, 'bytes > 0', shown(bytes));
  const url = urlOf(source);
  const who = url ?? 'compact model';
  const bytes = url === undefined ? copyOf(source) : await fetched(url);
  const inflate = await inflater();
  const file = readCompact(bytes, who, inflate, { maxBytes });
  return new EdgeModel(edgeEngine(module, maxMemory, inflate), file, who, bytes.length);
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
function urlOf(source: unknown): string | undefined {
  if (typeof source === 'string') return source;
  return isObject(source) && 'href' in source ? String(source.href) : undefined;
}

/** The bytes as they are now: parts are decoded later, and the caller may use the buffer again. */
function copyOf(source: unknown): Uint8Array {
  if (ArrayBuffer.isView(source))
    return new Uint8Array(source.buffer, source.byteOffset, source.byteLength).slice();
  const isBuffer = Object.prototype.toString.call(source) === '[object ArrayBuffer]';
  expect(isBuffer, 'openModel', 'bytes or a URL', shown(source));
  return new Uint8Array(source as ArrayBuffer).slice();
}

async function fetched(url: string): Promise<Uint8Array> {
  const who = `openModel: ${url}`;
  try {
    const response = await fetch(url);
    if (!response.ok) fail(who, 'a compact model', `status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    if (error instanceof EspalierError) throw error;
    return fail(who, 'a compact model', error instanceof Error ? error.message : error);
  }
}
