/** The journal: what was appended is there, whatever happened in between. */
import {
  appendFile,
  readdir,
  readFile,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { Journal, type JournalRecord, lineOf, readJournal } from '../../src/io/journal';
import { inTemporaryFolder } from '../recipe/temporary';

const epoch = (n: number) => ({ event: 'epoch', n, text: 'naïve \u2028 ✓' });
const upTo = (n: number) => (record: JournalRecord) => 'n' in record && record.n === n;

async function filled(path: string, count: number): Promise<Journal> {
  const journal = await Journal.open(path);
  for (let n = 1; n <= count; n++) await journal.append(epoch(n));
  return journal;
}

describe('Journal', () => {
  it('holds what was appended, again after opening', async () => {
    await inTemporaryFolder(async (file) => {
      const journal = await filled(file('j'), 3);
      expect(journal.records).toEqual([epoch(1), epoch(2), epoch(3)]);
      await journal.close();
      const again = await Journal.open(file('j'));
      expect(again.records).toEqual([epoch(1), epoch(2), epoch(3)]);
      await again.append(epoch(4));
      await again.close();
      expect(await readJournal(file('j'))).toHaveLength(4);
    });
  });

  it('keeps the order of appends that were not awaited', async () => {
    await inTemporaryFolder(async (file) => {
      const journal = await Journal.open(file('j'));
      await Promise.all([1, 2, 3, 4, 5].map((n) => journal.append(epoch(n))));
      await journal.close();
      expect(await readJournal(file('j'))).toEqual([1, 2, 3, 4, 5].map(epoch));
    });
  });

  it('survives being cut at every byte of its last line', async () => {
    await inTemporaryFolder(async (file) => {
      const two = await filled(file('j'), 2);
      const { size } = await stat(file('j'));
      await two.append(epoch(3));
      await two.close();
      const whole = await readFile(file('j'));
      for (let cut = size; cut < whole.length; cut++) {
        await truncate(file('j'), 0);
        await appendFile(file('j'), whole.subarray(0, cut));
        expect(await readJournal(file('j'))).toHaveLength(2);
        const journal = await Journal.open(file('j'));
        expect(journal.records).toEqual([epoch(1), epoch(2)]);
        await journal.append(epoch(3));
        await journal.close();
        expect(await readFile(file('j'))).toEqual(whole);
      }
    });
  });

  it('leaves a file alone that is no journal', async () => {
    await inTemporaryFolder(async (file, write) => {
      const model = `\x08\0\0\0\0\0\0\0{"a":[]}`;
      for (const text of ['hi\n', 'hi', '{}\n', '[1]', '{"name":"config"}\n', model]) {
        await write('a', text);
        await expect(Journal.open(file('a'))).rejects.toThrow(/a: expected a journal, got another/);
        await expect(readJournal(file('a'))).rejects.toThrow(/expected a journal/);
        expect(await readFile(file('a'), 'utf8')).toBe(text);
      }
      for (const text of ['', '{', '{"event', '{"event":"ep', '\0\0\0', '{"event":"a"\n']) {
        await write('a', text);
        const journal = await Journal.open(file('a'));
        expect(journal.records).toEqual([]);
        await journal.append(epoch(1));
        await journal.close();
        expect(await readJournal(file('a'))).toEqual([epoch(1)]);
      }
    });
  });

  it('drops a last line of zeros or rubbish, and refuses rubbish before the end', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('a', `${lineOf(epoch(1))}\0\0\0\0\n`);
      const journal = await Journal.open(file('a'));
      expect(journal.records).toEqual([epoch(1)]);
      await journal.close();
      await write('b', `${lineOf({ event: 'x' })}rubbish\n${lineOf({ event: 'y' })}`);
      await expect(Journal.open(file('b'))).rejects.toThrow(/b: line 2: expected a JSON object/);
      expect(await readFile(file('b'), 'utf8')).toContain('rubbish');
    });
  });

  it('finds and says every change of a byte before the last line, and cuts no whole one', async () => {
    await inTemporaryFolder(async (file) => {
      await (await filled(file('j'), 3)).close();
      const whole = await readFile(file('j'));
      const starts = [...whole.keys()].filter((i) => i === 0 || whole[i - 1] === 10);
      for (let at = 0; at < whole.length; at += 1) {
        const changed = Buffer.from(whole);
        changed[at]! ^= 1;
        await writeFile(file('j'), changed);
        const line = starts.findLastIndex((start) => start <= at) + 1;
        if (line < 3)
          await expect(readJournal(file('j')), `${at}`).rejects.toThrow(
            new RegExp(`j: line ${line}: expected`),
          );
        else
          await readJournal(file('j')).then(
            // What is no JSON any more is torn.
            (records) => expect(records).toEqual([epoch(1), epoch(2)]),
            (error) => expect(String(error)).toMatch(/line 3: expected/),
          );
      }
      for (const text of ['{"event":"x"}\n', '{"event":"x","crc32":"00000000"}\n']) {
        await writeFile(file('j'), text);
        await expect(Journal.open(file('j'))).rejects.toThrow(/line 1: expected the checksum/);
        expect(await readFile(file('j'), 'utf8')).toBe(text);
      }
    });
  });

  it('refuses a record with a checksum of its own', async () => {
    await inTemporaryFolder(async (file) => {
      const journal = await Journal.open(file('j'));
      const odd = { event: 'x', crc32: 'mine' } as JournalRecord;
      await expect(async () => journal.append(odd)).rejects.toThrow(/crc32/);
      await journal.close();
      expect(await readJournal(file('j'))).toEqual([]);
    });
  });

  it('forgets what came after a checkpoint', async () => {
    await inTemporaryFolder(async (file) => {
      const journal = await filled(file('j'), 5);
      await journal.truncateAfter(upTo(5));
      expect(journal.records).toHaveLength(5);
      await journal.truncateAfter(upTo(3));
      expect(journal.records).toEqual([epoch(1), epoch(2), epoch(3)]);
      await journal.append(epoch(9));
      expect(await readJournal(file('j'))).toEqual([epoch(1), epoch(2), epoch(3), epoch(9)]);
      await journal.truncateAfter(() => false);
      expect((await stat(file('j'))).size).toBe(0);
      await journal.close();
    });
  });

  it('is open in one place at a time, by whatever name', async () => {
    await inTemporaryFolder(async (file) => {
      const journal = await filled(file('j'), 1);
      await symlink(file('j'), file('k'));
      for (const name of ['j', 'k'])
        await expect(Journal.open(file(name))).rejects.toThrow(/no other process at this journal/);
      await journal.append(epoch(2));
      await journal.close();
      expect((await readdir(file('.'))).sort()).toEqual(['j', 'k']);
      const again = await Journal.open(file('k'));
      expect(again.records).toHaveLength(2);
      await again.close();
    });
  });

  it('names the file when the disk takes nothing, and stays usable for readers', async () => {
    await inTemporaryFolder(async (file) => {
      const journal = await filled(file('j'), 1);
      await journal.close();
      await expect(journal.append(epoch(2))).rejects.toThrow(/j: expected to write \d+ bytes/);
      expect(await readJournal(file('j'))).toEqual([epoch(1)]);
    });
  });
});
