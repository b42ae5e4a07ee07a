/**
 * Benchmarks of the verification competition (VNN-COMP): every instance of a folder's `instances.csv`, one after
 * the other, each with the seconds that it is given. The folder of results gets `results.csv` in the
 * competition's form, a counter-example a file, and a journal by which the same command goes on where it was
 * stopped.
 */
import * as v from 'valibot';
import { EspalierError } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import { kindOf, makeFolder, readFile, writeAtomic } from '../io/files';
import { type InstanceRow, parseInstances } from '../io/instances';
import { Journal, type JournalRecord } from '../io/journal';
import type { ReadOptions } from '../io/read';
import { type Answer, formatResult } from '../io/vnnlib';
import { parseOptions, real, whole } from '../options';
import type { Engine } from '../runtime/engine';
import { type InTurn, inTurn } from './slices';
import { type FileVerdict, verifyFile } from './verify';

export interface VnncompOptions {
  /** Folder with `instances.csv`. */
  readonly folder: string;
  /** Folder of results. */
  readonly out: string;
  /** Only instances whose network or property holds one of these texts in its name. */
  readonly only?: readonly string[];
  /** Seconds of instances whose list names none. */
  readonly seconds: number;
  readonly nodes?: number;
  readonly seed?: number;
  readonly as: ReadOptions;
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
}

/** An instance and its result. `error`: its files could not be read, or do not fit. */
export interface VnncompRow {
  readonly line: number;
  readonly network: string;
  readonly property: string;
  readonly result: Answer | 'error';
  /** Seconds from the start to the answer, reading included. */
  readonly seconds: number;
  readonly nodes: number;
  /** Why there is no answer, in one line. */
  readonly reason?: string | undefined;
  /** The answer that is known to be right, if there is one. */
  readonly expected?: 'sat' | 'unsat' | undefined;
}

export interface VnncompResult {
  /** In the order of the list. */
  readonly rows: readonly VnncompRow[];
  readonly counts: Readonly<Record<VnncompRow['result'], number>>;
  /** Answers that contradict those known to be right. */
  readonly wrong: number;
  readonly seconds: number;
}

const LIST = 'instances.csv';
const MAX_LIST_BYTES = 1 << 24;
const VERSION = 1;

/**
 * Runs what is not done yet, and sums up all that was asked for.
 *
 * Raises EspalierError for a folder without a list, a list with wrong lines, patterns that fit no instance, and a
 * folder of results of another list or seed; a wrong file of one instance is its result.
 */
export async function vnncomp(engine: Engine, options: VnncompOptions): Promise<VnncompResult> {
  const { join } = await import('node:path');
  const { folder, out, only = [], onEvent, signal } = options;
  const list = join(folder, LIST);
  const bytes = await readFile(list, MAX_LIST_BYTES);
  const all = parseInstances(new TextDecoder().decode(bytes), list);
  const chosen = all.filter(({ network, property }) => {
    const fits = (text: string) => network.includes(text) || property.includes(text);
    return only.length === 0 || only.some(fits);
  });
  if (chosen.length === 0)
    throw new EspalierError(`${list}: expected instances of ${only.join(', ')}, got none.`);
  await makeFolder(out);
  const journal = await Journal.open(join(out, 'vnncomp.jsonl'));
  try {
    const { sha256 } = await import('../data/sha256');
    const head = {
      ...{ event: 'vnncomp', version: VERSION, list: await sha256([bytes]) },
      seed: options.seed ?? 0,
    };
    const done = await continued(journal, head, all);
    const missing = chosen.filter(({ line }) => !done.has(line));
    const told: InTurn<VnncompRow> = {
      ...{ phase: 'verify', unit: 'instances', onEvent, signal },
      before: chosen.length - missing.length,
      saved: `${out} has what is done so far.`,
      metrics: (results) => ({ seconds: results.at(-1)!.seconds }),
    };
    await inTurn(missing, told, async (instance) => {
      const { row, counterexample } = await solved(engine, instance, options);
      if (counterexample) await writeAtomic(join(out, nameOf(instance, all)), counterexample);
      await journal.append({ event: 'instance', ...row } as JournalRecord);
      done.set(row.line, row);
      await writeAtomic(join(out, 'results.csv'), resultsText(all, done));
      const { network, property, result, reason } = row;
      if (result === 'error')
        onEvent?.({ type: 'warning', text: `${network}, ${property}: ${reason}` });
      return row;
    });
    return summarise(chosen.map(({ line }) => done.get(line)!));
  } finally {
    await journal.close();
  }
}

interface Solved {
  readonly row: VnncompRow;
  readonly counterexample?: string;
}

/** The result of one instance. */
async function solved(
  engine: Engine,
  instance: InstanceRow,
  options: VnncompOptions,
): Promise<Solved> {
  const { line, network, property, answer: expected } = instance;
  const started = performance.now();
  const row = (rest: Pick<VnncompRow, 'result' | 'nodes' | 'reason'>): VnncompRow => ({
    ...{ line, network, property, ...rest },
    seconds: Math.round(performance.now() - started) / 1000,
    expected,
  });
  try {
    const verdict = await answered(engine, instance, options);
    const { answer: result, nodes, reason, counterexample, networks } = verdict;
    return {
      row: row({ result, nodes, reason }),
      ...(counterexample && { counterexample: formatResult('sat', counterexample, networks) }),
    };
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error;
    const [reason, ...more] = error.message.split('\n');
    const rest = more.length > 0 ? ` (and ${more.length} more)` : '';
    return { row: row({ result: 'error', nodes: 0, reason: `${reason}${rest}` }) };
  }
}

async function answered(
  engine: Engine,
  { networks, property, seconds }: InstanceRow,
  { folder, out, seconds: otherwise, as, nodes, seed, signal }: VnncompOptions,
): Promise<FileVerdict> {
  const spec = await present(folder, property);
  const others: Record<string, string> = {};
  for (const { name, path } of networks) others[name] = await present(folder, path);
  const model = Object.values(others)[0]!;
  delete others[''];
  try {
    return await verifyFile(engine, {
      ...{ model, others, spec, as, seconds: seconds ?? otherwise },
      ...(nodes !== undefined && { nodes }),
      ...(seed !== undefined && { seed }),
      ...(signal && { signal }),
    });
  } catch (error) {
    if (error instanceof Interrupted) throw new Interrupted(`${out} has what is done so far.`);
    throw error;
  }
}

/** The file in a folder, which may be there gzipped under the name with `.gz`. */
async function present(folder: string, name: string): Promise<string> {
  const { join } = await import('node:path');
  const path = join(folder, name);
  const zipped = `${path}.gz`;
  return (await kindOf(path)) === undefined && (await kindOf(zipped)) === 'file' ? zipped : path;
}

/** The rows of a journal, by line of the list, that began with the same list; a new one is begun. */
async function continued(
  journal: Journal,
  head: JournalRecord,
  all: readonly InstanceRow[],
): Promise<Map<number, VnncompRow>> {
  if (journal.records.length === 0) await journal.append(head);
  const [first, ...rest] = journal.records;
  if (JSON.stringify(first) !== JSON.stringify(head))
    throw new EspalierError(
      `${journal.path}: expected results of this list and seed, got another's. Choose another folder, or remove this one.`,
    );
  const lines = new Map(all.map((one) => [one.line, one]));
  return new Map(
    rest.map((record, at) => {
      const who = `${journal.path}: line ${at + 2}`;
      const { event: _, ...row } = parseOptions(ROW, record, who);
      const same = lines.get(row.line);
      if (same?.network !== row.network || same.property !== row.property)
        throw new EspalierError(`${who}: expected an instance of the list, got another.`);
      return [row.line, row] as const;
    }),
  );
}

const ROW = v.strictObject({
  event: v.literal('instance'),
  line: whole(1),
  network: v.string(),
  property: v.string(),
  result: v.picklist(['sat', 'unsat', 'unknown', 'timeout', 'error']),
  nodes: whole(0),
  reason: v.optional(v.string()),
  seconds: real(0),
  expected: v.optional(v.picklist(['sat', 'unsat'])),
});

/** `results.csv`: network, property, seconds of preparation, result, seconds. */
function resultsText(all: readonly InstanceRow[], done: ReadonlyMap<number, VnncompRow>): string {
  const quoted = (text: string): string =>
    /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  return all
    .flatMap(({ line }) => done.get(line) ?? [])
    .map(({ network, property, result, seconds }) =>
      [network, property, '0', result, seconds].map((x) => quoted(`${x}`)).join(','),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** Name of the file of an instance's counter-example; with its line where two would have one name. */
function nameOf(instance: InstanceRow, all: readonly InstanceRow[]): string {
  const stem = (path: string): string =>
    (path.split(/[/\\]/).at(-1) ?? path).replace(/\.gz$/, '').replace(/\.(onnx|vnnlib)$/, '');
  const named = ({ networks, property }: InstanceRow): string =>
    [...networks.map(({ path }) => stem(path)), stem(property)].join('_');
  const name = named(instance);
  const twice = all.some((other) => other.line !== instance.line && named(other) === name);
  return `${name}${twice ? `-${instance.line}` : ''}.counterexample`;
}

function summarise(rows: readonly VnncompRow[]): VnncompResult {
  const counts = { sat: 0, unsat: 0, unknown: 0, timeout: 0, error: 0 };
  for (const { result } of rows) counts[result]++;
  return {
    ...{ rows, counts, wrong: rows.filter(isWrong).length },
    seconds: rows.reduce((sum, row) => sum + row.seconds, 0),
  };
}

/** True of an answer that contradicts the one known to be right. */
export const isWrong = ({ result, expected }: VnncompRow): boolean =>
  expected !== undefined && (result === 'sat' || result === 'unsat') && result !== expected;
