/**
 * The independent checker: whether what a certificate claims of a network is so. It recomputes every
 * bound in slow f64 arithmetic with error terms of its own (docs/certificates.md), and shares no code
 * with the domains and verifiers whose certificates it checks; the check of floors keeps it so. What an
 * accepted certificate says, and of which runtimes: docs/claims.md.
 */
import { sha256 } from '../data/sha256';
import { EspalierError } from '../errors';
import { compile, type Graph } from '../nn/graph';
import type { AnyModel } from '../nn/model';
import { readEntries } from '../sparse/weight';
import { MOST_INPUT } from './arithmetic';
import { type Method, prove, type Rows } from './bounds';
import { type Certificate, decode, sorted } from './certificate';
import { type Bounds, blank } from './forward';
import { readProgram } from './program';

export type CheckResult =
  /** `margin`: what the checker itself proves. */
  | { readonly accepted: true; readonly margin: number; readonly certificate: Certificate }
  | { readonly accepted: false; readonly reason: string };

export interface CheckOptions {
  /** Name of the certificate in messages. */
  readonly who?: string;
  /** Multiply-adds to spend at most; default about ten minutes'. */
  readonly limit?: number;
  /** Radius that the certificate's ball must have at least. */
  readonly eps?: number;
}

const LIMIT = 2 ** 37;

/** The hash of a canonical network and its weights, by which certificates name it. */
export async function fingerprint({ graph, params }: AnyModel): Promise<string> {
  const nodes = graph.nodes.map(({ name, kind, options, inputs }) => [name, kind, options, inputs]);
  const layout = [...params].map(([name, { shape }]) => [name, shape]);
  const text = JSON.stringify(sorted({ input: graph.network.input, nodes, layout }));
  const bytes = [...params.values()].map((t) => new Uint8Array(readEntries(t).buffer));
  return sha256([new TextEncoder().encode(text), ...bytes]);
}

/** Checks a document against a model in canonical form (`lower`). Never raises for a bad document. */
export async function check(
  document: string,
  model: AnyModel,
  { who = 'certificate', limit = LIMIT, eps }: CheckOptions = {},
): Promise<CheckResult> {
  const reject = (reason: string): CheckResult => ({ accepted: false, reason });
  let certificate: Certificate;
  try {
    certificate = await decode(document, who);
    const own = await fingerprint(model);
    if (certificate.model.sha256 !== own)
      return reject(`${who}: expected the network ${certificate.model.sha256}, got ${own}.`);
    const { region } = certificate;
    const radius = region.kind === 'ball' ? region.eps : 'a box';
    if (eps !== undefined && !(Number(radius) >= eps))
      return reject(`${who}: expected a ball of radius ${eps} or more, got ${radius}.`);
    const margin = provenMargin(certificate, model, limit);
    // A margin of NaN or infinity is no proof.
    const proven = Number.isFinite(margin) && margin > 0 && margin >= certificate.margin;
    if (proven) return { accepted: true, margin, certificate };
    const claimed = Math.max(0, certificate.margin);
    return reject(`${who}: expected a margin of ${claimed} or more, proven is only ${margin}.`);
  } catch (error) {
    if (error instanceof EspalierError) return reject(error.message);
    throw error;
  }
}

/**
 * The least lower bound that the checker proves of the claim's rows, be it above 0 or not. Raises an
 * EspalierError where the claim does not fit the network, or nothing can be proven of it.
 */
export function provenMargin(
  { region, property, method }: Pick<Certificate, 'region' | 'property' | 'method'>,
  model: AnyModel,
  limit = LIMIT,
): number {
  const { graph, params } = model;
  const program = readProgram(compile(graph.network), (name) => {
    const weight = params.get(name);
    return weight && readEntries(weight);
  });
  const input = boxOf(region, program.input);
  const { rows, offsets } = rowsOf(property, graph);
  const { name } = method;
  const settings: Method =
    name === 'linear'
      ? { name, intermediate: method.intermediate, slopes: method.slopes ?? {} }
      : { name, intermediate: 'interval', slopes: {} };
  const sizes = new Map(
    program.steps.flatMap((s) => (s.kind === 'pointwise' ? [[s.name, s.size]] : [])),
  );
  for (const [node, slopes] of Object.entries(settings.slopes))
    if (sizes.get(node) !== slopes.length)
      refuse(
        `slopes of ${node}`,
        `one for each of ${sizes.get(node) ?? 'no'} values`,
        slopes.length,
      );
  const proof = prove(program, input, rows, settings, limit);
  if ('exhausted' in proof)
    refuse(
      'method',
      `a check of at most ${limit} multiply-adds`,
      'more',
      'Allow more by the limit.',
    );
  if ('unbounded' in proof)
    refuse(proof.unbounded, 'values that are bounded', 'sums that could overflow in float32');
  return proof.lower.reduce((least, lower, r) => {
    const offset = offsets[r] ?? 0;
    return Math.min(least, lower + offset - 2 ** -50 * Math.abs(offset));
  }, Number.POSITIVE_INFINITY);
}

function refuse(who: string, expected: string, got: unknown, hint = ''): never {
  throw new EspalierError(`${who}: expected ${expected}, got ${got}.${hint && ` ${hint}`}`);
}

/** The region in f64, its ends rounded outwards. */
function boxOf(region: Certificate['region'], size: number): Bounds {
  const box = blank(size);
  const fits = (values: readonly number[], name: string): void => {
    if (values.length !== size) refuse(`region.${name}`, `${size} numbers`, values.length);
  };
  if (region.kind === 'box') {
    fits(region.lo, 'lo');
    fits(region.hi, 'hi');
    box.lo.set(region.lo);
    box.hi.set(region.hi);
  } else {
    const { centre, eps, range } = region;
    fits(centre, 'centre');
    const [low, high] = range ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (const [i, x] of centre.entries()) {
      if (!(x >= low && x <= high))
        refuse(`region.centre: input ${i}`, `a value in [${low}, ${high}]`, x);
      const slack = 2 ** -50 * (Math.abs(x) + eps);
      box.lo[i] = Math.max(x - eps - slack, low);
      box.hi[i] = Math.min(x + eps + slack, high);
    }
  }
  for (let i = 0; i < size; i++) {
    const [lo, hi] = [box.lo[i]!, box.hi[i]!];
    if (!(lo <= hi)) refuse(`region: input ${i}`, 'some values', 'none');
    if (!(lo >= -MOST_INPUT && hi <= MOST_INPUT))
      refuse(`region: input ${i}`, 'values below 2^126', `[${lo}, ${hi}]`);
  }
  return box;
}

/** The rows of a property and what is added to each; rows of a label are made one by one. */
function rowsOf(
  property: Certificate['property'],
  { output }: Graph,
): { rows: Rows; offsets: readonly number[] } {
  const size = output.reduce((a, b) => a * b, 1);
  if (property.kind === 'label') {
    const { label } = property;
    if (!(label >= 0 && label < size)) refuse('property.label', `a class in [0, ${size})`, label);
    if (size === 1) refuse('property.label', 'a network of several outputs', 'one');
    const at = (r: number): Float64Array => {
      const row = new Float64Array(size);
      row[label] = 1;
      row[r < label ? r : r + 1] = -1;
      return row;
    };
    return { rows: { length: size - 1, at }, offsets: [] };
  }
  const { rows, offsets } = property;
  if (offsets.length !== rows.length)
    refuse('property.offsets', `${rows.length} numbers`, offsets.length);
  rows.forEach((row, r) => {
    if (row.length !== size) refuse(`property.rows.${r}`, `${size} numbers`, row.length);
  });
  const at = (r: number): Float64Array => Float64Array.from(rows[r]!);
  return { rows: { length: rows.length, at }, offsets };
}
