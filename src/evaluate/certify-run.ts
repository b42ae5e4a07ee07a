/**
 * A certification that survives a kill and runs on all processors: blocks of samples, each noted in a
 * journal when it is done, and shared among processes.
 *
 * Process i of n takes blocks i, i + n, ... and writes the journal `certify-<job>-<i>.jsonl`; <job> is
 * the hash of everything that verdicts depend on, so other jobs have other files and a run with
 * another number of processes goes on from what there is. The first process starts the others, does
 * its own blocks, and then whatever is missing. Verdicts do not depend on how blocks are shared.
 */
import { sha256 } from '../data/sha256';
import type { Listener, StopSignal } from '../events';
import { makeFolder } from '../io/files';
import { Journal, type JournalRecord, readJournal } from '../io/journal';
import { canonicalJson } from '../json';
import { VERSION } from '../version';
import { type BlockVerdicts, type CertifyJob, certifyInParts, type SampleVerdict } from './certify';
import { inSlices } from './slices';

/** Samples a block. */
export const BLOCK = 50;

export interface Shard {
  readonly index: number;
  readonly count: number;
}

export interface CertifyHooks {
  /** Folder of the journals. */
  readonly dir: string;
  /** What verdicts depend on besides the job's own settings: the model file's hash and the like. */
  readonly identity: unknown;
  /** Samples, the first ones. */
  readonly total: number;
  readonly shard: Shard;
  /** Starts the other processes; resolves when they have ended, however they did. */
  readonly startOthers?: () => Promise<void>;
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
}

export interface Certification {
  /** By index, [0, total); of a shard only its own. */
  readonly samples: readonly SampleVerdict[];
  readonly seconds: Readonly<Record<string, number>>;
}

interface BlockRecord extends JournalRecord, BlockVerdicts {
  readonly event: 'block';
  readonly block: number;
  /** Samples in it: the last block of a limit is noted short and done again for a larger one. */
  readonly count: number;
}

export async function certify(job: CertifyJob, hooks: CertifyHooks): Promise<Certification> {
  const { dir, identity, total, shard, startOthers } = hooks;
  await makeFolder(dir);
  const { eps, verifiers, radius } = job;
  const text = canonicalJson({ VERSION, BLOCK, identity, eps, verifiers, radius });
  const hash = (await sha256([new TextEncoder().encode(text)])).slice(0, 16);
  const path = await import('node:path');
  const journal = await Journal.open(path.join(dir, `certify-${hash}-${shard.index}.jsonl`));
  try {
    const blocks = Math.ceil(total / BLOCK);
    const counts = Array.from({ length: blocks }, (_, b) => Math.min(total - b * BLOCK, BLOCK));
    const read = () => readBlocks(dir, hash, counts);
    const mine = (b: number): boolean => b % shard.count === shard.index;
    const run = runner(job, hooks, journal);
    const others = startOthers?.();
    await run(counts, mine, await read());
    await others;
    const everything = startOthers || shard.count === 1;
    if (everything) await run(counts, () => true, await read());
    const done = await read();
    const records = [...done.values()].sort((a, b) => a.block - b.block);
    const seconds: Record<string, number> = {};
    for (const { seconds: some } of records)
      for (const [name, s] of Object.entries(some)) seconds[name] = (seconds[name] ?? 0) + s;
    const samples = records.flatMap((one) => one.samples).filter(({ index }) => index < total);
    return { samples, seconds };
  } finally {
    await journal.close();
  }
}

/** Does and notes the blocks that are chosen and not done. */
function runner(job: CertifyJob, { onEvent, signal, total }: CertifyHooks, journal: Journal) {
  const started = performance.now();
  let fresh = 0;
  return async (
    counts: readonly number[],
    chosen: (block: number) => boolean,
    done: ReadonlyMap<number, BlockRecord>,
  ): Promise<void> => {
    let known = [...done.values()].reduce((sum, { count }) => sum + count, 0);
    for (const [block, count] of counts.entries()) {
      if (!chosen(block) || done.has(block)) continue;
      const saved = `Verdicts so far are in ${journal.path}: the same command goes on.`;
      const parts = certifyInParts(job, block * BLOCK, block * BLOCK + count);
      const verdicts = await inSlices(parts, { signal, saved });
      const record: BlockRecord = { event: 'block', block, count, ...verdicts };
      await journal.append(record);
      known += count;
      fresh += count;
      const rate = (1000 * fresh) / (performance.now() - started);
      const event = { type: 'progress', done: Math.min(total, known), total } as const;
      onEvent?.({ ...event, rate, unit: 'images', metrics: {} });
    }
  };
}

/** The blocks in all journals of a job that have as many samples as are wanted. */
async function readBlocks(
  dir: string,
  hash: string,
  counts: readonly number[],
): Promise<Map<number, BlockRecord>> {
  const fs = await import('node:fs/promises');
  const path = await import('node:path');
  const done = new Map<number, BlockRecord>();
  for (const name of (await fs.readdir(dir)).sort()) {
    if (!name.startsWith(`certify-${hash}-`) || !name.endsWith('.jsonl')) continue;
    for (const record of await readJournal(path.join(dir, name))) {
      if (!isBlock(record)) continue;
      if ((counts[record.block] ?? Number.POSITIVE_INFINITY) <= record.count)
        done.set(record.block, record);
    }
  }
  return done;
}

/** Whether a line is the verdicts of one whole block; any other is passed over, and done again. */
function isBlock(record: JournalRecord): record is BlockRecord {
  const { event, block = -1, count = 0, samples, seconds } = record as Partial<BlockRecord>;
  const isWhole = Number.isSafeInteger(block) && block >= 0 && Array.isArray(samples);
  if (event !== 'block' || !isWhole || samples!.length !== count || count > BLOCK) return false;
  const times = typeof seconds === 'object' && seconds !== null ? Object.values(seconds) : [''];
  return (
    count > 0 &&
    times.every((s) => typeof s === 'number' && s >= 0) &&
    samples!.every((sample, i) => isVerdict(sample, block * BLOCK + i))
  );
}

function isVerdict(sample: Partial<SampleVerdict> | null, index: number): boolean {
  const { verdict, by, margin = 0, radius = 0 } = sample ?? {};
  return (
    sample?.index === index &&
    (verdict === 'certified' || verdict === 'falsified' || verdict === 'unknown') &&
    (margin === null || typeof margin === 'number') &&
    typeof by === 'string' &&
    typeof radius === 'number' &&
    radius >= 0
  );
}
