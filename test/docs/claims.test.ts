/** docs/claims.md: what it leans on exists, every claim leans on something, and other pages lead to it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT, read, tableBelow } from './markdown';

const PAGE = 'docs/claims.md';
const page = read(PAGE);
/** Backticked files, and the title of a test behind one in brackets and quotes. */
const REFERENCE = /`((?:src|test|docs|scripts|bench)\/[\w./-]+\.\w+)`(?: \("([^"]+)"\))?/g;
const references = (text: string) =>
  [...text.matchAll(REFERENCE)].map(([, file, title]) => ({ file: file!, title }));

describe(PAGE, () => {
  it.each(references(page).map(({ file, title }) => [file, title] as const))(
    '%s %s',
    (file, title) => {
      expect(existsSync(join(ROOT, file)), file).toBe(true);
      if (title !== undefined) expect(read(file)).toContain(title);
    },
  );

  it('has a test or a measurement for every claim', () => {
    const rows = tableBelow(page, 'What carries each claim');
    expect(rows.length).toBeGreaterThan(10);
    for (const [claim, , carried] of rows)
      expect(
        references(carried!).filter(({ file }) => file.startsWith('test/')),
        claim,
      ).not.toEqual([]);
  });

  it('names lemmas that docs/numerics.md proves', () => {
    const proven = [...read('docs/numerics.md').matchAll(/\*\*Lemma (\d+)\b/g)].map(([, n]) =>
      Number(n),
    );
    const named = [...page.matchAll(/lemmas? (\d+)(?: to (\d+))?/g)].flatMap(([, from, to]) => [
      Number(from),
      Number(to ?? from),
    ]);
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((n) => !proven.includes(n))).toEqual([]);
  });

  it('is where the other pages send their readers', () => {
    expect(read('README.md')).toContain('](docs/claims.md)');
    for (const name of ['certificates', 'verification', 'edge', 'numerics', 'smoothing'])
      expect(read(`docs/${name}.md`), name).toMatch(/\]\(claims\.md(#[\w-]+)?\)/);
  });
});
