/**
 * Lists of instances, `instances.csv` of a VNN-COMP benchmark: a network, a property and the seconds of each.
 *
 * The competition's files have no header and three fields a line. With a header its names say what the fields
 * are: `network` (or `onnx`), `property` (or `vnnlib`, `spec`), and if they are there `seconds` (or `timeout`)
 * and `answer` (or `expected`, `result`); others are left alone. Fields may stand in double quotes (RFC 4180).
 * Properties over several networks name each: `[('f', 'a.onnx'), ('g', 'b.onnx')]`.
 */
import { EspalierError, quote } from '../errors';

export interface InstanceRow {
  /** Line in the file, from 1. */
  readonly line: number;
  /** The fields as they are written. */
  readonly network: string;
  readonly property: string;
  /** Networks by the name that the property has for them; '' where it is the only one. */
  readonly networks: readonly { readonly name: string; readonly path: string }[];
  readonly seconds?: number;
  /** The answer that is known to be right. */
  readonly answer?: 'sat' | 'unsat';
}

const NAMES: Readonly<Record<string, readonly string[]>> = {
  network: ['network', 'onnx', 'model'],
  property: ['property', 'vnnlib', 'spec'],
  seconds: ['seconds', 'timeout'],
  answer: ['answer', 'expected', 'result'],
};
/** Fields of a file without a header. */
const PLAIN: Columns = { network: 0, property: 1, seconds: 2 };
const MAX_ROWS = 100_000;
const MAX_PROBLEMS = 20;
/** An answer that nobody knows is left out. */
const ANSWERS = ['sat', 'unsat', 'unknown', 'timeout', ''];

type Columns = Readonly<Record<string, number>>;

/**
 * The instances of a file's text; `who`, the file's name, begins every error.
 *
 * Raises EspalierError with all that is wrong (the first 20 lines): fields that are missing, seconds that are no
 * number above 0, paths that leave the folder, answers other than sat and unsat, no rows, and more than 100 000.
 */
export function parseInstances(text: string, who: string): InstanceRow[] {
  const problems: string[] = [];
  const rows: InstanceRow[] = [];
  let columns: Columns | undefined;
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/);
  for (const [at, content] of lines.entries()) {
    if (content.trim() === '' || problems.length >= MAX_PROBLEMS) continue;
    const fields = fieldsOf(content);
    if (!columns) {
      columns = headerOf(fields);
      if (columns) continue;
      columns = PLAIN;
    }
    const row = rowOf(fields, columns, at + 1);
    if (typeof row === 'string') problems.push(`${who}, line ${at + 1}: ${row}`);
    else rows.push(row);
  }
  if (rows.length === 0 && problems.length === 0)
    problems.push(`${who}: expected lines of a network, a property and seconds, got none.`);
  if (rows.length > MAX_ROWS)
    problems.push(`${who}: expected at most ${MAX_ROWS} lines, got ${rows.length}.`);
  if (problems.length > 0) throw new EspalierError(problems.join('\n'));
  return rows;
}

/** The columns by the names of a header; undefined for a line of values. */
function headerOf(fields: readonly string[]): Columns | undefined {
  const names = fields.map((field) => field.toLowerCase());
  const found = Object.entries(NAMES).map(
    ([key, any]) => [key, names.findIndex((name) => any.includes(name))] as const,
  );
  const columns = Object.fromEntries(found.filter(([, at]) => at >= 0));
  return 'network' in columns && 'property' in columns ? columns : undefined;
}

/** The row of a line, or what is wrong with it. */
function rowOf(fields: readonly string[], columns: Columns, line: number): InstanceRow | string {
  const field = (key: string): string => fields[columns[key] ?? -1] ?? '';
  const [network, property, seconds, answer] = Object.keys(NAMES).map(field) as [
    string,
    string,
    string,
    string,
  ];
  if (network === '' || property === '')
    return `expected a network, a property and seconds, got ${fields.length} fields: ${quote(fields.join(','))}.`;
  const networks = networksOf(network);
  if (typeof networks === 'string') return networks;
  const outside = [...networks.map(({ path }) => path), property].find(leaves);
  if (outside !== undefined) return `expected paths inside of the folder, got ${quote(outside)}.`;
  const limit = seconds === '' ? undefined : Number(seconds);
  if (limit !== undefined && !(limit > 0 && limit < Number.POSITIVE_INFINITY))
    return `expected a number of seconds above 0, got ${quote(seconds)}.`;
  if (!ANSWERS.includes(answer)) return `expected the answer sat or unsat, got ${quote(answer)}.`;
  return {
    ...{ line, network, property, networks },
    ...(limit !== undefined && { seconds: limit }),
    ...((answer === 'sat' || answer === 'unsat') && { answer }),
  };
}

const PAIR = /^\(\s*(['"])(\w{1,100})\1\s*,\s*(['"])([^'"]+)\3\s*\)/;

/** A path, or a list of pairs of names and paths; or what is wrong with it. */
function networksOf(text: string): InstanceRow['networks'] | string {
  if (!text.startsWith('[')) return [{ name: '', path: text }];
  const found: { name: string; path: string }[] = [];
  let rest = text.slice(1).trim();
  for (;;) {
    const [all, , name, , path] = PAIR.exec(rest) ?? [];
    if (all === undefined) break;
    found.push({ name: name!, path: path! });
    rest = rest.slice(all.length).trim().replace(/^,/, '').trim();
  }
  const whole = found.length > 0 && rest === ']';
  return whole ? found : `expected networks as [('f', 'a.onnx'), ...], got ${quote(text)}.`;
}

const leaves = (path: string): boolean =>
  /^([/\\]|[A-Za-z]:)/.test(path) || path.split(/[/\\]/).includes('..');

/** The fields of a line, blanks around them cut. */
function fieldsOf(line: string): string[] {
  const fields: string[] = [];
  let field = '';
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!;
    if (quoted && c === '"' && line[i + 1] === '"') {
      field += c;
      i++;
    } else if (c === '"' && (quoted || field.trim() === '')) quoted = !quoted;
    else if (c === ',' && !quoted) {
      fields.push(field.trim());
      field = '';
    } else field += c;
  }
  fields.push(field.trim());
  return fields;
}
