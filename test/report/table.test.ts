import { describe, expect, it } from 'vitest';
import { EspalierError } from '../../src/errors';
import { proportion } from '../../src/report/binomial';
import {
  bytes,
  count,
  duration,
  escapeHtml,
  interval,
  percent,
  rate,
  ratio,
} from '../../src/report/format';
import {
  layerTable,
  renderTable,
  sizeTable,
  summaryTable,
  summaryText,
  type Table,
} from '../../src/report/table';
import { fakeSummary } from './fixture';

const table: Table = {
  columns: [
    { title: 'layer', align: 'left' },
    { title: 'n', align: 'right' },
  ],
  rows: [
    ['conv1', '5'],
    ['a|b, "c"', '1,234'],
    ['<b>*</b>\u001b[1m', ''],
  ],
};

describe('renderTable', () => {
  it('text: aligned, without control characters', () => {
    expect(renderTable(table)).toBe(
      [
        '┌──────────────┬───────┐',
        '│ layer        │     n │',
        '├──────────────┼───────┤',
        '│ conv1        │     5 │',
        '│ a|b, "c"     │ 1,234 │',
        '│ <b>*</b>\ufffd[1m │       │',
        '└──────────────┴───────┘',
      ].join('\n'),
    );
  });

  it('markdown: separators and markup escaped', () => {
    expect(renderTable(table, 'markdown')).toBe(
      [
        '| layer | n |',
        '| --- | ---: |',
        '| conv1 | 5 |',
        '| a\\|b, "c" | 1,234 |',
        '| &lt;b\\>\\*&lt;/b\\>\ufffd\\[1m |  |',
      ].join('\n'),
    );
  });

  it('csv: quoted as RFC 4180 asks', () => {
    const plain = { ...table, rows: table.rows.slice(0, 2) };
    expect(renderTable(plain, 'csv')).toBe('layer,n\r\nconv1,5\r\n"a|b, ""c""","1,234"\r\n');
  });

  it('html: escaped', () => {
    const html = renderTable(table, 'html');
    expect(html).toContain('<th scope="col" class="right">n</th>');
    expect(html).toContain('<td class="right">1,234</td>');
    expect(html).toContain('&lt;b&gt;*&lt;/');
    expect(html).not.toContain('<b>');
  });

  it('counts wide characters as two cells', () => {
    const lines = renderTable({
      columns: [{ title: 'x', align: 'left' }],
      rows: [['層'], ['ab'], ['e\u0301']],
    }).split('\n');
    expect(lines.slice(1)).toEqual([
      '│ x  │',
      '├────┤',
      '│ 層 │',
      '│ ab │',
      '│ e\u0301  │',
      '└────┘',
    ]);
  });

  it('refuses a ragged row', () => {
    expect(() => renderTable({ ...table, rows: [['x']] })).toThrow(EspalierError);
  });
});

describe('tables of a summary', () => {
  const summary = fakeSummary();

  it('accuracies, naming n where it is not the benign one', () => {
    expect(summaryTable(summary).rows).toEqual([
      ['dense', '97.42 % [97.0, 97.8]', '93.80 % [92.1, 95.3] n=1,000', '90.86 % [90.2, 91.5]'],
      ['pruned', '97.08 % [96.7, 97.5]', '92.10 % [90.2, 93.7] n=1,000', '87.65 % [86.9, 88.3]'],
      ['retained', '99.7 %', '98.2 %', '96.5 %'],
    ]);
  });

  it('says what was not measured', () => {
    const rows = summaryTable({
      ...summary,
      pruned: { ...summary.pruned, vra: proportion(0, 0) },
      retained: { ...summary.retained, vra: null },
    }).rows;
    expect(rows.map((row) => row[3])).toEqual(['90.86 % [90.2, 91.5]', 'not measured', '–']);
  });

  it('layers and their total', () => {
    const { rows } = layerTable(summary);
    expect(rows[0]).toEqual(['conv1', '16x1x4x4', '256', '231', '90.23 %', '50,176', '45,276']);
    expect(rows.at(-1)).toEqual(['all', '', '166,248', '16,469', '9.91 %', '609,384', '186,506']);
  });

  it('sizes and speed', () => {
    expect(sizeTable(summary).rows).toEqual([
      ['dense, float32', '665,624 B', '666 kB', '1.00x', '21,480', '1.00x'],
      ['pruned, sparse (estimate)', '132,384 B', '132 kB', '5.0x', '63,912', '3.0x'],
      ['pruned, deflated file', '87,431 B', '87.4 kB', '7.6x', '', ''],
    ]);
  });

  it('summaryText has them all, and no line too long for a terminal', () => {
    const text = summaryText(summary);
    for (const part of ['mnist-ibp-10x', '97.08 %', 'retained', '90.09 %', '10.1x', 'pgd: ', 'fc1'])
      expect(text).toContain(part);
    expect(text).toContain('contradictions  none');
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it('summaryText is loud about contradictions', () => {
    const text = summaryText({ ...summary, contradictions: 2 });
    expect(text).toContain('2 images were both certified and successfully attacked: a bug');
  });
});

describe('format', () => {
  it('percent never rounds to all or nothing', () => {
    expect(percent(1)).toBe('100.00 %');
    expect(percent(0)).toBe('0.00 %');
    expect(percent(59_999 / 60_000)).toBe('>99.99 %');
    expect(percent(1e-9)).toBe('<0.01 %');
    expect(percent(1.012, 1)).toBe('101.2 %');
    expect(percent(null)).toBe('–');
  });

  it('interval rounds outwards', () => {
    expect(interval(proportion(10_000, 10_000))).toBe('[99.9, 100.0]');
    expect(interval(proportion(0, 10_000))).toBe('[0.0, 0.1]');
  });

  it('numbers with units', () => {
    expect([0, 847, 999, 1000, 98_300, 999_600, 1_204_000, 5e12].map(bytes)).toEqual([
      '0 B',
      '847 B',
      '999 B',
      '1.00 kB',
      '98.3 kB',
      '1.00 MB',
      '1.20 MB',
      '5.00 TB',
    ]);
    expect([0, 999, 1000, 1_234_567].map(count)).toEqual(['0', '999', '1,000', '1,234,567']);
    expect([3.12, 99.96, 1234.5].map(rate)).toEqual(['3.1', '100.0', '1,235']);
    expect([ratio(1, 0), ratio(3, 2), ratio(43, 10), ratio(1234, 1)]).toEqual([
      '–',
      '1.50x',
      '4.3x',
      '1,234x',
    ]);
    expect([0.25, 45, 59.7, 725, 12_000, 7199].map(duration)).toEqual([
      '0.3 s',
      '45 s',
      '1 min 0 s',
      '12 min 5 s',
      '3 h 20 min',
      '2 h 0 min',
    ]);
  });

  it('escapes for html', () => {
    expect(escapeHtml(`<a href='x' title="y">&\u0000`)).toBe(
      '&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;\ufffd',
    );
  });
});
