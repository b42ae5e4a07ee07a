/**
 * Tables: one small type, four ways to write it, and the tables a run ends with.
 *
 * Text goes to a terminal (light box lines, no colour needed), markdown to a pull request, csv to a
 * spreadsheet, html into the report. Cells are strings; whoever fills them chooses the digits.
 */
import { expect } from '../errors';
import { largest } from '../statistics';
import { clip, printable } from '../text';
import { bytes, count, escapeHtml, interval, percent, rate, ratio } from './format';
import type { MethodCounts, Proportion, Summary } from './types';

export interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
}

export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
}

/** Columns of these titles; `align` has a letter each, l or r, and its last one is that of all further ones. */
export const columnsOf = (titles: readonly string[], align = 'l'): Column[] =>
  titles.map((title, i) => ({
    title,
    align: (align[i] ?? align.at(-1)) === 'r' ? 'right' : 'left',
  }));

/** Longer cells hold what nobody reads, and every row would be as wide. */
const MOST_OF_A_CELL = 200;

export type TableFormat = 'text' | 'markdown' | 'csv' | 'html';

/** The table as a string; text and markdown end without a newline, csv lines end as RFC 4180 asks. */
export function renderTable(table: Table, format: TableFormat = 'text'): string {
  for (const [i, row] of table.rows.entries())
    expect(
      row.length === table.columns.length,
      `renderTable: row ${i}`,
      `${table.columns.length} cells`,
      row.length,
    );
  return writers[format](table);
}

const writers: Readonly<Record<TableFormat, (table: Table) => string>> = {
  text: writeText,
  markdown: writeMarkdown,
  csv: writeCsv,
  html: writeHtml,
};

function writeText({ columns, rows }: Table): string {
  const lines = [columns.map((c) => c.title), ...rows].map((row) => row.map(oneLine));
  const widths = columns.map((_, i) => largest(lines.map((line) => width(line[i]!))));
  const rule = (left: string, cross: string, right: string) =>
    left + widths.map((w) => '─'.repeat(w + 2)).join(cross) + right;
  const [head, ...body] = lines.map(
    (line) => `│${line.map((cell, i) => ` ${pad(cell, widths[i]!, columns[i]!)} `).join('│')}│`,
  );
  return [rule('┌', '┬', '┐'), head, rule('├', '┼', '┤'), ...body, rule('└', '┴', '┘')].join('\n');
}

function writeMarkdown({ columns, rows }: Table): string {
  const cell = (text: string) =>
    oneLine(text).replace(/[\\`*_[\]|<>&~]/g, (c) => (c === '<' ? '&lt;' : `\\${c}`));
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map((c) => cell(c.title))),
    line(columns.map((c) => (c.align === 'right' ? '---:' : '---'))),
    ...rows.map((row) => line(row.map(cell))),
  ].join('\n');
}

function writeCsv({ columns, rows }: Table): string {
  const cell = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [columns.map((c) => c.title), ...rows]
    .map((row) => `${row.map(cell).join(',')}\r\n`)
    .join('');
}

function writeHtml({ columns, rows }: Table): string {
  const side = (i: number) => (columns[i]!.align === 'right' ? ' class="right"' : '');
  const head = columns.map((c, i) => `<th scope="col"${side(i)}>${escapeHtml(c.title)}</th>`);
  const body = rows.map((row) => {
    const cells = row.map((cell, i) =>
      i === 0
        ? `<th scope="row"${side(i)}>${escapeHtml(cell)}</th>`
        : `<td${side(i)}>${escapeHtml(cell)}</td>`,
    );
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<table><thead><tr>${head.join('')}</tr></thead><tbody>${body.join('\n')}</tbody></table>`;
}

function oneLine(text: string): string {
  return printable(clip(text, MOST_OF_A_CELL)).replace(/[\n\t]+/g, ' ');
}

/** Terminal cells a string takes: combining marks none, wide East Asian characters and emoji two. */
function width(text: string): number {
  let cells = 0;
  for (const c of text)
    if (!/\p{M}|\p{Cf}/u.test(c))
      cells +=
        /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(
          c,
        )
          ? 2
          : 1;
  return cells;
}

function pad(text: string, cells: number, { align }: Column): string {
  const space = ' '.repeat(cells - width(text));
  return align === 'right' ? space + text : text + space;
}

/** Dense against pruned: the three accuracies with their 95 % intervals, and what is retained. */
export function summaryTable(summary: Summary): Table {
  const { dense, pruned, retained } = summary;
  const cells = (a: Summary['dense']) => [
    accuracyCell(a.benign, a.benign.total),
    accuracyCell(a.era, a.benign.total),
    accuracyCell(a.vra, a.benign.total),
  ];
  return {
    columns: columnsOf(['network', 'benign', 'ERA', 'VRA']),
    rows: [
      ['dense', ...cells(dense)],
      ['pruned', ...cells(pruned)],
      ['retained', percent(retained.benign, 1), percent(retained.era, 1), percent(retained.vra, 1)],
    ],
  };
}

/** "97.08 % [96.7, 97.5]"; the count is named where it is not `usual`, the benign one. */
function accuracyCell(p: Proportion, usual: number): string {
  if (p.total === 0) return 'not measured';
  const n = p.total === usual ? '' : ` n=${count(p.total)}`;
  return `${percent(p.value)} ${interval(p)}${n}`;
}

/** One row a prunable layer: what is kept of its weights and multiply-adds; the total last. */
export function layerTable(summary: Summary): Table {
  const { layers } = summary;
  const sum = (key: 'weights' | 'nonzero' | 'macs' | 'macsNonzero') =>
    layers.reduce((total, layer) => total + layer[key], 0);
  const rows = layers.map((l) => [
    l.name,
    l.shape.join('x'),
    count(l.weights),
    count(l.nonzero),
    percent(l.density),
    count(l.macs),
    count(l.macsNonzero),
  ]);
  rows.push([
    'all',
    '',
    count(sum('weights')),
    count(sum('nonzero')),
    percent(1 - summary.sparsity),
    count(sum('macs')),
    count(sum('macsNonzero')),
  ]);
  const numbers = ['weights', 'non-zero', 'density', 'multiply-adds', 'on non-zeros'];
  return { columns: columnsOf(['layer', 'shape', ...numbers], 'llr'), rows };
}

/** Bytes and images a second, each against the dense network. */
export function sizeTable(summary: Summary): Table {
  const { bytes: b, imagesPerSecond: speed } = summary;
  const size = (name: string, value: number) => [
    name,
    `${count(value)} B`,
    bytes(value),
    ratio(b.dense, value),
  ];
  return {
    columns: columnsOf(['model', 'bytes', 'size', 'smaller', 'images a second', 'faster'], 'lr'),
    rows: [
      [...size('dense, float32', b.dense), rate(speed.dense), ratio(1, 1)],
      [
        ...size('pruned, sparse (estimate)', b.pruned),
        rate(speed.pruned),
        ratio(speed.pruned, speed.dense),
      ],
      [...size('pruned, deflated file', b.deflated), '', ''],
    ],
  };
}

/** Factor by which there are fewer prunable weights: "10.0x". */
export function compression(summary: Summary): string {
  return ratio(1, 1 - summary.sparsity);
}

/** "none" or what to make of them, as one clause. */
export function contradictionsText({ contradictions: n }: Summary): string {
  if (n === 0) return 'none: no image was both certified and successfully attacked';
  const images = n === 1 ? '1 image was' : `${count(n)} images were`;
  return `${images} both certified and successfully attacked: a bug; do not rely on these certificates`;
}

/** Attacks and verifiers with their settings; of several, each with its share. */
export function methodTexts(
  summary: Summary,
): readonly (readonly ['attack' | 'verifier', string])[] {
  const text = (name: string, description: string): string => `${name}: ${description}`;
  const lines = (
    kind: 'attack' | 'verifier',
    done: string,
    several: readonly MethodCounts[] | undefined,
  ) => {
    const one = summary[kind];
    const texts = several?.map(
      (m) => `${text(m.name, m.description)}; ${done} ${m.dense} (dense), ${m.pruned} (pruned)`,
    ) ?? [text(one.name, one.description)];
    return texts.map((line) => [kind, line] as const);
  };
  return [
    ...lines('attack', 'broke', summary.attacks),
    ...lines('verifier', 'certified', summary.verifiers),
  ];
}

/** All that is printed when a run ends. */
export function summaryText(summary: Summary): string {
  const facts = [
    ['sparsity', `${percent(summary.sparsity)} of prunable weights (${compression(summary)})`],
    ...methodTexts(summary).map(([kind, text]) => [kind, text]),
    ['contradictions', contradictionsText(summary)],
    ...(summary.suspicions ?? []).map(({ text }) => ['suspicion', text]),
  ].map(([key, value]) => `${key!.padEnd(15)} ${oneLine(value!)}`);
  return [
    `${oneLine(summary.name)}: dense against pruned, accuracies with 95 % intervals`,
    renderTable(summaryTable(summary)),
    ...facts,
    '',
    renderTable(layerTable(summary)),
    '',
    renderTable(sizeTable(summary)),
  ].join('\n');
}
