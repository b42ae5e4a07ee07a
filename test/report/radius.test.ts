/** The curve of certified radii: its numbers, its table and its page. */
import { describe, expect, it } from 'vitest';
import {
  certifiedAt,
  certifiedCurve,
  radiusTable,
  renderRadiusReport,
} from '../../src/report/radius';

describe('the curve of radii', () => {
  const curve = certifiedCurve([0, 0.2, 0.1, 0.2, 0.4]);
  it('is the exact staircase', () => {
    expect(curve.points).toEqual([
      { eps: 0.1, certified: 0.8 },
      { eps: 0.2, certified: 0.6 },
      { eps: 0.4, certified: 0.2 },
    ]);
    expect([curve.samples, curve.median]).toEqual([5, 0.2]);
    expect(curve.mean).toBeCloseTo(0.18, 12);
    const at = [0.05, 0.1, 0.11, 0.2, 0.3, 0.4, 0.41].map((eps) => certifiedAt(curve, eps));
    expect(at).toEqual([0.8, 0.8, 0.6, 0.6, 0.2, 0.2, 0]);
    expect(certifiedCurve([])).toEqual({ samples: 0, mean: 0, median: 0, points: [] });
  });
  it('becomes a table and a page without scripts, names escaped', () => {
    expect(radiusTable(curve)).toMatch(/0\.4 │ +20\.00 %/);
    const page = renderRadiusReport(curve, { title: 'a<b>', verifiers: ['crown'] });
    expect(page).toMatch(/a&lt;b&gt;/);
    expect(page).not.toMatch(/<script|https?:/);
    expect(renderRadiusReport(certifiedCurve([0]), { title: '', verifiers: [] })).not.toMatch(
      /NaN/,
    );
  });
});
