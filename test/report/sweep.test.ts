/** Tables and page of a sweep: what they show, and that names of users are harmless. */
import { describe, expect, it } from 'vitest';
import { meanText, sweepText } from '../../src/report/sweep';
import { renderSweep } from '../../src/report/sweep-html';
import type { GroupResult, SweepResult } from '../../src/report/sweep-types';
import { meanOf } from '../../src/statistics';

const NASTY = '<script>alert(1)</script>';

const group = (strategy: string, accuracy: number, bytes: number): GroupResult => {
  const each = (value: number) => ({
    benign: meanOf([value, value + 0.02]),
    era: meanOf([value]),
    vra: null,
  });
  return {
    labels: { network: 'mlp', 'prune.strategy': strategy, 'prune.control': 'none' },
    ...{ seeds: [1, 2], dense: each(0.98), pruned: each(accuracy), retained: each(0.99) },
    ...{ sparsity: 0.9, bytes, multiplyAdds: 10 * bytes },
  };
};

const result = (multiplyAdds = 10): SweepResult => {
  const none = { benign: [0, 1], era: [0], vra: [] };
  return {
    ...{ schema: 'espalier-sweep/1', name: NASTY },
    runs: [{ labels: { network: NASTY }, seed: 3, dir: null, error: `no ${NASTY}`, result: null }],
    groups: [group(NASTY, 0.9, 1000), { ...group('random', 0.8, 500), multiplyAdds }],
    fronts: { bytes: none, multiplyAdds: none },
    pairs: [
      {
        ...{ a: 0, b: 1, accuracy: 'era', seeds: [1, 2], pairs: 2000 },
        ...{ onlyA: 30, onlyB: 10, difference: 0.01, p: 0.00222 },
      },
    ],
    provenance: { espalier: '0', node: 'v20' },
  };
};

describe('a mean', () => {
  it.each([
    [meanOf([0.5]), '50.00 %'],
    [meanOf([0.5, 0.5]), '50.00 % ± 0.00'],
    [null, '–'],
  ])('of %j', (mean, text) => expect(meanText(mean)).toBe(text));
});

describe('a sweep', () => {
  it('is told as text', () => {
    const text = sweepText(result());
    for (const part of [
      '0 of 1 runs',
      'network mlp',
      'strategy',
      '90.0 %',
      '1.00 kB',
      '0.0022',
      '1.00',
    ])
      expect(text).toContain(part);
    expect(text).toContain('seed 3');
  });

  it.each([10, 0])('is a page without scripts, at %d multiply-adds too', async (multiplyAdds) => {
    const page = await renderSweep(result(multiplyAdds));
    expect(page).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/);
    expect(page).toContain('&lt;script&gt;');
    expect(page.match(/<svg/g)).toHaveLength(4);
    expect(page).not.toMatch(/NaN|Infinity/);
    for (const title of ['Runs', 'Fronts', 'Paired tests', 'Runs without a result'])
      expect(page).toContain(`<h2>${title}</h2>`);
  });

  it('without anything done leaves sections out', async () => {
    const empty = { benign: [], era: [], vra: [] };
    const page = await renderSweep({
      ...result(),
      ...{ groups: [], pairs: [], fronts: { bytes: empty, multiplyAdds: empty } },
    });
    expect(page).not.toContain('<h2>Fronts</h2>');
    expect(page).toContain('Runs without a result');
  });
});
