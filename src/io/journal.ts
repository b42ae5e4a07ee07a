/**
 * Journals: append-only JSONL, one record a line, each with a checksum, written in one call and synced
 * before `append` resolves. A line torn by a kill or a power cut can only be the last; it is cut off
 * when the journal is opened. Any other damage is found and said. Cost: one fsync a record, so records are
 * of epochs, not of steps.
 */
import type { FileHandle } from 'node:fs/promises';
import { EspalierError, expect, fail } from '../errors';
import { parseJson } from '../json';
import { crc32 } from './crc32';
import { type Release, takeLock } from './lock';

/** Any JSON object with the name of what happened, such as an `EpochRecord`. */
export interface JournalRecord {
  readonly event: string;
}

const WORDS = { where: 'at this journal', instead: 'choose another name' };
const NEWLINE = 10;
/** How every line starts, so that a torn one is told from a file that is no journal. */
const START = '{"event":"';
/** How it ends: with the CRC-32 of all that stands before, as 8 hex digits. */
const END = /^,"crc32":"([0-9a-f]{8})"\}$/;
const BEYOND = /,"crc32":"[0-9a-f]{8}"\}./s;
const END_LENGTH = ',"crc32":"01234567"}'.length;
const MAX_BYTES = 1 << 28;

export class Journal {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #unlock: Release;
  readonly #records: JournalRecord[];
  /** Byte offset behind each line. */
  readonly #ends: number[];
  /** Writers take turns. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(path: string, file: FileHandle, unlock: Release, { records, ends }: Lines) {
    this.path = path;
    this.#file = file;
    this.#unlock = unlock;
    this.#records = records;
    this.#ends = ends;
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
      const end = lines.ends.at(-1) ?? 0;
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

  /** What it holds, in order; grows as it does. */
  get records(): readonly JournalRecord[] {
    return this.#records;
  }

  /** Writes one line and waits until the disk has it; on failure the journal is as it was. */
  append(record: JournalRecord): Promise<void> {
    const line = lineOf(record);
    const bytes = new TextEncoder().encode(line);
    return this.#inTurn(async () => {
      const start = this.#ends.at(-1) ?? 0;
      try {
        const { bytesWritten } = await this.#file.write(bytes);
        if (bytesWritten < bytes.length)
          throw Object.assign(new Error('a disk that took only part of it'), { code: 'ENOSPC' });
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
      this.#records.push(JSON.parse(`${line.slice(0, -END_LENGTH - 1)}}`));
      this.#ends.push(start + bytes.length);
    });
  }

  /**
   * Drops every record behind the last one that `isLast` accepts; where it accepts none, all.
   * So a run that resumes from a checkpoint forgets what happened after it.
   */
  truncateAfter(isLast: (record: JournalRecord) => boolean): Promise<void> {
    return this.#inTurn(async () => {
      const kept = this.#records.findLastIndex(isLast) + 1;
      if (kept === this.#records.length) return;
      await this.#file.truncate(this.#ends[kept - 1] ?? 0);
      await this.#file.sync();
      this.#records.length = kept;
      this.#ends.length = kept;
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

/** A record as its line: JSON with a checksum, and a newline. */
export function lineOf({ event, ...rest }: JournalRecord): string {
  expect(!('crc32' in rest), 'journal', 'a record without a crc32 of its own', 'one');
  const start = JSON.stringify({ event, ...rest }).slice(0, -1);
  return `${start},"crc32":"${checksum(new TextEncoder().encode(start))}"}\n`;
}

const checksum = (bytes: Uint8Array): string => crc32(bytes).toString(16).padStart(8, '0');

/** The records of a journal file, for readers that write nothing; a torn last line is ignored. */
export async function readJournal(path: string): Promise<readonly JournalRecord[]> {
  const { readFile } = await import('./files');
  return parse(path, await readFile(path, MAX_BYTES)).records;
}

interface Lines {
  readonly records: JournalRecord[];
  readonly ends: number[];
}

function parse(path: string, bytes: Uint8Array): Lines {
  const lines: Lines = { records: [], ends: [] };
  const { records, ends } = lines;
  const decoder = new TextDecoder();
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, start);
    const line = bytes.subarray(start, newline < 0 ? bytes.length : newline);
    const text = decoder.decode(line);
    const where = `${path}: line ${records.length + 1}`;
    const record = newline < 0 ? undefined : parseRecord(text);
    if (record === undefined) {
      const last = newline < 0 || newline === bytes.length - 1;
      // Something behind a checksum is no torn line: a newline was lost.
      if (last && !BEYOND.test(text) && (records.length > 0 || isTorn(text))) break;
      if (last && !BEYOND.test(text))
        fail(path, 'a journal', 'another file', 'Choose another name; it was left as it is.');
      fail(where, 'a JSON object with "event"', 'something else', DAMAGED);
    }
    const sum = checksum(line.subarray(0, -END_LENGTH));
    const [, theirs] = END.exec(text.slice(-END_LENGTH)) ?? [];
    if (theirs !== sum) fail(where, `the checksum ${sum} at its end`, theirs ?? 'none', DAMAGED);
    delete (record as { crc32?: string }).crc32;
    records.push(record);
    ends.push(newline + 1);
    start = newline + 1;
  }
  return lines;
}

const DAMAGED = 'Only the last line can be torn by a crash: this file was damaged otherwise.';

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
