/**
 * The journal of a run: append-only JSONL, one record a line, each written in one call and synced
 * before `append` resolves. A line torn by a kill or a power cut can only be the last; it is cut off
 * when the journal is opened. Cost: one fsync a record, so records are of epochs, not of steps.
 */
import type { FileHandle } from 'node:fs/promises';
import { EspalierError, fail } from '../errors';
import { parseJson } from '../json';
import { type Release, takeLock } from './lock';

/** Any JSON object with the name of what happened, such as an `EpochRecord`. */
export interface JournalRecord {
  readonly event: string;
}

interface Line {
  readonly record: JournalRecord;
  /** Byte offset just behind the line. */
  readonly end: number;
}

const WORDS = { where: 'at this journal', instead: 'choose another name' };
const NEWLINE = 10;
/** How every line starts, so that a torn one is told from a file that is no journal. */
const START = '{"event":"';
const MAX_BYTES = 1 << 28;

export class Journal {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #unlock: Release;
  #lines: readonly Line[];
  /** Writers take turns. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(path: string, file: FileHandle, unlock: Release, lines: readonly Line[]) {
    this.path = path;
    this.#file = file;
    this.#unlock = unlock;
    this.#lines = lines;
  }

  /**
   * Opens or creates the journal at `path` and locks it, by `<path>.lock`, until it is closed; a torn
   * last line is truncated away.
   */
  static async open(path: string): Promise<Journal> {
    const { open, realpath } = await import('node:fs/promises');
    const unlock = await takeLock(`${await realpath(path).catch(() => path)}.lock`, WORDS);
    let file: FileHandle | undefined;
    try {
      file = await open(path, 'a+').catch((error: Error) => {
        throw new EspalierError(`${path}: expected to open the journal, got: ${error.message}.`);
      });
      const { size } = await file.stat();
      if (size > MAX_BYTES) fail(path, `a journal of at most ${MAX_BYTES} bytes`, `${size} bytes`);
      const lines = parse(path, await file.readFile());
      const end = lines.at(-1)?.end ?? 0;
      if (end < size) {
        await file.truncate(end);
        await file.sync();
      }
      return new Journal(path, file, unlock, lines);
    } catch (error) {
      await file?.close();
      await unlock();
      throw error;
    }
  }

  get records(): readonly JournalRecord[] {
    return this.#lines.map((line) => line.record);
  }

  /** Writes one line and waits until the disk has it; on failure the journal is as it was. */
  append(record: JournalRecord): Promise<void> {
    const { event, ...rest } = record;
    const line = JSON.stringify({ event, ...rest });
    const bytes = new TextEncoder().encode(`${line}\n`);
    return this.#inTurn(async () => {
      const start = this.#lines.at(-1)?.end ?? 0;
      try {
        const { bytesWritten } = await this.#file.write(bytes);
        if (bytesWritten < bytes.length) throw new Error('the disk took only part of it');
        await this.#file.sync();
      } catch (error) {
        await this.#file.truncate(start).catch(() => undefined);
        const why = error instanceof Error ? error.message : String(error);
        throw new EspalierError(
          `${this.path}: expected to write ${bytes.length} bytes, got: ${why}. Make room and run the same command again: it resumes.`,
          { cause: error },
        );
      }
      // As a reader would see it, so that a resumed run and this one hold the same records.
      const kept = JSON.parse(new TextDecoder().decode(bytes)) as JournalRecord;
      this.#lines = [...this.#lines, { record: kept, end: start + bytes.length }];
    });
  }

  /**
   * Drops every record behind the last one that `isLast` accepts; where it accepts none, all.
   * So a run that resumes from a checkpoint forgets what happened after it.
   */
  truncateAfter(isLast: (record: JournalRecord) => boolean): Promise<void> {
    return this.#inTurn(async () => {
      const keep = this.#lines.slice(
        0,
        this.#lines.findLastIndex((line) => isLast(line.record)) + 1,
      );
      if (keep.length === this.#lines.length) return;
      await this.#file.truncate(keep.at(-1)?.end ?? 0);
      await this.#file.sync();
      this.#lines = keep;
    });
  }

  async close(): Promise<void> {
    await this.#inTurn(() => this.#file.close());
    await this.#unlock();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

/** The records of a journal file, for readers that write nothing; a torn last line is ignored. */
export async function readJournal(path: string): Promise<readonly JournalRecord[]> {
  const { readFile } = await import('./files');
  return parse(path, await readFile(path, MAX_BYTES)).map((line) => line.record);
}

function parse(path: string, bytes: Uint8Array): Line[] {
  const lines: Line[] = [];
  const decoder = new TextDecoder();
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, start);
    const text = decoder.decode(bytes.subarray(start, newline < 0 ? bytes.length : newline));
    const record = newline < 0 ? undefined : parseRecord(text);
    if (record === undefined) {
      const last = newline < 0 || newline === bytes.length - 1;
      if (last && (lines.length > 0 || isTorn(text))) break;
      if (last)
        fail(path, 'a journal', 'another file', 'Choose another name; it was left as it is.');
      fail(
        `${path}: line ${lines.length + 1}`,
        'a JSON object with "event"',
        'something else',
        'Only the last line can be torn by a crash: this file was damaged otherwise.',
      );
    }
    lines.push({ record, end: newline + 1 });
    start = newline + 1;
  }
  return lines;
}

/** The start of a line, or the zeros that a power cut may leave in its place. */
const isTorn = (text: string): boolean =>
  text.startsWith(START) || START.startsWith(text) || /^\0*$/.test(text);

function parseRecord(text: string): JournalRecord | undefined {
  try {
    const value = parseJson(text, 'record');
    const good = typeof value === 'object' && value !== null && 'event' in value;
    return good && typeof value.event === 'string' ? (value as JournalRecord) : undefined;
  } catch {
    return undefined;
  }
}
