/**
 * Where the records of an evaluation are kept: in memory, or in journals of one folder, from which the same
 * evaluation goes on after a kill, on other machines too.
 *
 * A process writes the journal `certify-<key>-<i>.jsonl` and reads all of that key, the hash of everything that
 * verdicts depend on. A line is the records of consecutive images, with a key of its own for what attacks
 * depend on: other attacks do not begin the certification anew. Images that are there twice count once.
 */
import { sha256 } from '../data/sha256';
import { makeFolder } from '../io/files';
import { Journal, type JournalRecord, readJournal } from '../io/journal';
import { canonicalJson } from '../json';
import { VERSION } from '../version';
import type { SampleRecord, Task } from './block';
import { parseRecords } from './records';

export interface Store {
  /** Sentence that says what an interruption leaves behind. */
  readonly saved: string;
  /** Records so far, by the index of their image. */
  read(): Promise<ReadonlyMap<number, SampleRecord>>;
  /** Adds what is known of consecutive images. */
  put(records: readonly SampleRecord[]): Promise<void>;
  close(): Promise<void>;
}

/** A store that ends with the process. */
export function inMemory(): Store {
  const known = new Map<number, SampleRecord>();
  return {
    saved: 'Nothing is lost: evaluation starts again.',
    read: async () => known,
    put: async (records) => add(known, records),
    close: async () => undefined,
  };
}

export interface FolderOptions {
  readonly dir: string;
  /** Hashes of model and data, and how they were read: all that records depend on besides the task. */
  readonly identity: unknown;
  /** Number of this process among those that write to the folder. */
  readonly writer: number;
}

interface BlockRecord extends JournalRecord {
  readonly event: 'block';
  /** Hash of what attacks depend on. */
  readonly attack: string;
  readonly samples: readonly SampleRecord[];
}

/** The store in a folder, which is made if need be. Raises EspalierError where another process writes the journal. */
export async function inFolder(
  { dir, identity, writer }: FolderOptions,
  { eps, seed, attacks, verifiers, radius }: Task,
): Promise<Store> {
  await makeFolder(dir);
  const fs = await import('node:fs/promises');
  const path = await import('node:path');
  const key = await keyOf({ identity, eps, verifiers, radius });
  const attack = await keyOf({ identity, eps, attacks, seed });
  const journal = await Journal.open(path.join(dir, `certify-${key}-${writer}.jsonl`));
  return {
    saved: `Verdicts so far are in ${journal.path}: the same command goes on.`,
    async read() {
      const known = new Map<number, SampleRecord>();
      for (const name of (await fs.readdir(dir)).sort()) {
        if (!name.startsWith(`certify-${key}-`) || !name.endsWith('.jsonl')) continue;
        for (const record of await readJournal(path.join(dir, name)))
          add(known, recordsIn(record as Partial<BlockRecord>, attack));
      }
      return known;
    },
    put: (samples) => journal.append({ event: 'block', attack, samples } as BlockRecord),
    close: () => journal.close(),
  };
}

async function keyOf(value: object): Promise<string> {
  const text = canonicalJson({ VERSION, ...value });
  return (await sha256([new TextEncoder().encode(text)])).slice(0, 16);
}

/** The records of a line; none of one that is something else, which is done again. */
function recordsIn(line: Partial<BlockRecord>, attack: string): readonly SampleRecord[] {
  const records = line.event === 'block' ? (parseRecords(line.samples) ?? []) : [];
  return line.attack === attack ? records : records.map(withoutAttacks);
}

export function withoutAttacks({ attacks = [], seconds, ...record }: SampleRecord): SampleRecord {
  const names = attacks.map(({ name }) => name);
  const left = Object.entries(seconds).filter(([name]) => !names.includes(name));
  return { ...record, seconds: Object.fromEntries(left) };
}

function add(known: Map<number, SampleRecord>, records: readonly SampleRecord[]): void {
  for (const record of records) {
    const { seconds, ...before } = known.get(record.index) ?? { seconds: {} };
    known.set(record.index, {
      ...before,
      ...record,
      seconds: { ...seconds, ...record.seconds },
    });
  }
}
