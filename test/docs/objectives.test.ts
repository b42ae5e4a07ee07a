/** docs/objectives.md has every objective of the registry, and names the sources that the file names. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { objectives } from '../../src/train/objectives/registry';
import { plain, ROOT, read, tableBelow } from './markdown';

const rows = tableBelow(read('docs/objectives.md'), 'The catalogue').map((row) => row.map(plain));
const KINDS = ['benign', 'empirical', 'certified', 'smoothed'];

describe('the catalogue of objectives', () => {
  it('has every entry of the registry, in its order', () => {
    expect(rows.map(([name]) => name)).toEqual(Object.keys(objectives));
  });

  it.each(rows)(
    'says of %s what it is for, what picks epochs, source, cost, deviation',
    (...row) => {
      const [name, kind, , source] = row as [string, string, string, string];
      expect(KINDS).toContain(kind);
      for (const cell of row) expect(cell).not.toBe('');
      const file = readFileSync(join(ROOT, `src/train/objectives/${name}.ts`), 'utf8');
      for (const [, year] of source.matchAll(/ ((?:19|20)\d\d)\b(?!\.\d)/g))
        expect(file).toContain(year);
    },
  );
});
