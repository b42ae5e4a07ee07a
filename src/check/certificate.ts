/**
 * A certificate as a JSON document (docs/certificates.md): which network, which region of inputs, which
 * property of the outputs, by which method. It is a claim and carries what its check needs; nothing in it
 * is believed.
 *
 * Readers treat it as hostile: sizes are capped, unknown fields and fields given twice refused, numbers
 * finite.
 */
import * as v from 'valibot';
import { sha256 } from '../data/sha256';
import { EspalierError, expect } from '../errors';
import { parseOptions, real } from '../options';
import { readJson } from './json';

const FORMAT = 'espalier-certificate/1';
/** Longest document that is read. */
export const MOST_BYTES = 2 ** 26;

/** Most rows of a linear property. */
const MOST_ROWS = 10_000;

const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((x) => typeof x === 'number' && Number.isFinite(x));
/** One issue a list, however much is wrong in it. */
const numbers = () => v.custom<number[]>(isNumbers, 'a list of finite numbers');
const rows = () =>
  v.custom<number[][]>(
    (value) =>
      Array.isArray(value) &&
      value.length > 0 &&
      value.length <= MOST_ROWS &&
      value.every(isNumbers),
    `1 to ${MOST_ROWS} lists of finite numbers`,
  );
const regions = v.variant('kind', [
  v.strictObject({
    /** All x with |x_i - centre_i| <= eps, cut to `range`. */
    kind: v.literal('ball'),
    centre: numbers(),
    eps: real(0),
    range: v.nullable(v.strictTuple([real(), real()])),
  }),
  v.strictObject({ kind: v.literal('box'), lo: numbers(), hi: numbers() }),
]);
const properties = v.variant('kind', [
  /** Output `label` is the largest. */
  v.strictObject({ kind: v.literal('label'), label: v.pipe(v.number(), v.safeInteger()) }),
  /** rows z + offsets > 0, each. */
  v.strictObject({ kind: v.literal('linear'), rows: rows(), offsets: numbers() }),
]);
const methods = v.variant('name', [
  v.strictObject({ name: v.literal('interval') }),
  v.strictObject({
    name: v.literal('linear'),
    /** Kind of bounds of values in front of activations. */
    intermediate: v.picklist(['interval', 'linear']),
    /** Slopes of lower lines by node; left out: the checker's own choice. */
    slopes: v.optional(v.record(v.string(), numbers())),
  }),
]);

const schema = v.strictObject({
  format: v.literal(FORMAT),
  model: v.strictObject({ sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, '64 hex digits')) }),
  region: regions,
  property: properties,
  method: methods,
  /** Every row is at least this, which is above 0. */
  margin: real(),
  digest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, '64 hex digits')),
});

export type Certificate = v.InferOutput<typeof schema>;
export type Claim = Omit<Certificate, 'format' | 'digest'>;

/** The certificate of a claim, sealed by its digest. */
export async function seal(claim: Claim): Promise<Certificate> {
  const body = { format: FORMAT, ...claim } as const;
  return { ...body, digest: await digestOf(body) };
}

export const encode = (certificate: Certificate): string => `${JSON.stringify(certificate)}\n`;

/** The certificate in a document; raises an EspalierError that says what is wrong with it. */
export async function decode(text: string, who: string): Promise<Certificate> {
  expect(text.length <= MOST_BYTES, who, `at most ${MOST_BYTES} characters`, text.length);
  const value = readJson(text, who);
  const format = (value as { format?: unknown } | null)?.format;
  if (typeof format === 'string' && format !== FORMAT && format.startsWith('espalier-certificate/'))
    throw new EspalierError(
      `${who}: expected a certificate of version 1 (${FORMAT}), got ${JSON.stringify(format)}. A newer espalier may read it.`,
    );
  const certificate = parseOptions(schema, value, who);
  const { digest, ...body } = certificate;
  const found = await digestOf(body);
  const hint = 'It was changed or damaged after it was written.';
  expect(digest === found, `${who}: digest`, found, digest, hint);
  return certificate;
}

/** The hash of everything but the digest, with keys in order. */
async function digestOf(body: object): Promise<string> {
  return sha256([new TextEncoder().encode(JSON.stringify(sorted(body)))]);
}

/** A value with the keys of every object in alphabetical order. */
export function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}
