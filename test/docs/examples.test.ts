/** The configs in examples/: each is a run, or a sweep of runs that can all be. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/recipe/config';
import { phasesOfRun } from '../../src/recipe/run-phases';
import { parseSweep } from '../../src/recipe/sweep/config';

const configs = readdirSync('examples').filter((name) => name.endsWith('.json'));

describe('examples', () => {
  it('has some', () => expect(configs.length).toBeGreaterThan(10));

  it.each(configs)('%s can be done', async (name) => {
    const json = JSON.parse(readFileSync(`examples/${name}`, 'utf8'));
    if (!('base' in json)) {
      expect(phasesOfRun(parseConfig(json, name)).length).toBeGreaterThan(1);
      return;
    }
    const { name: own, rows } = await parseSweep(json, name);
    expect(rows.map(({ error }) => error)).toEqual(rows.map(() => null));
    expect(rows.length).toBeGreaterThan(1);
    expect(name).toContain(own);
  });
});
