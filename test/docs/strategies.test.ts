/** docs/strategies.md says of every strategy what the registry says. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseOptions } from '../../src/options';
import { strategies } from '../../src/prune/strategies/registry';
import { phasesOf, trainsScores } from '../../src/prune/strategy';
import { plain, ROOT, read, tableBelow } from './markdown';

const rows = tableBelow(read('docs/strategies.md'), 'The catalogue').map((row) => row.map(plain));

/** By which weights a strategy decides and when, as its phases say. */
function decides(name: string): string {
  const entry = strategies[name]!;
  const phases = phasesOf(entry, parseOptions(entry.options, {}, name));
  const first = phases.find((phase) => phase.decides)!;
  const acts = phases.some(({ every }) => every !== undefined);
  if (name === 'lottery') return 'trained weights, every round';
  // Weights that are trained along with scores are what scores are about.
  if (trainsScores(entry, parseOptions(entry.options, {}, name)) && first.trained === 'scores')
    return acts ? 'trained scores, rates in training' : 'trained scores';
  const by = first.decides === 'initial' ? 'initial weights' : 'trained weights';
  if (!acts) return by;
  return phases.indexOf(first) > 0 ? `${by}, after training` : `${by}, then in training`;
}

describe('the catalogue of strategies', () => {
  it('has every entry of the registry, in its order', () => {
    expect(rows.map(([name]) => name)).toEqual(Object.keys(strategies));
  });

  it.each(rows)('says when %s decides and what it needs', (name, when, needs, source) => {
    expect(when).toBe(decides(name!));
    expect(needs).toBe((strategies[name!]!.needs ?? []).join(', '));
    // The source is the one that the file itself names.
    const header = readFileSync(join(ROOT, `src/prune/strategies/${name}.ts`), 'utf8');
    const year = /\b(19|20)\d\d\b/.exec(source!)![0];
    expect(header).toContain(year);
    const paper = /arXiv (\d{4}\.\d{5})/.exec(source!)?.[1];
    if (paper) expect(header.replaceAll(/\n \* /g, ' ')).toContain(paper);
    expect(header).toMatch(/Deviation|deviation/);
    expect(header).toMatch(/Cost/);
  });
});
