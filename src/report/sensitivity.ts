/**
 * Sensitivity of layers to the loss of their filters (Li et al. 2016, section 3.2): accuracies against the
 * share that a layer lost, all others being whole, as a table and as a page.
 */
import { escapeHtml, pageOf, percent } from './format';
import { loadCharts } from './html';
import { style } from './style';
import { columnsOf, renderTable, type Table } from './table';
import type { HeldOutAccuracies, Sensitivity, SensitivityPoint } from './types';

/** Whether the objective has a robust accuracy that differs anywhere. */
const isRobust = ({ whole, layers }: Sensitivity): boolean =>
  [whole, ...layers.flatMap(({ points }) => points)].some(
    ({ benign, robust }) => benign !== robust,
  );

/** What the page and the table say above their numbers. */
export const sensitivityText = (found: Sensitivity): string =>
  `${isRobust(found) ? 'benign / robust accuracy' : 'accuracy'} of ${found.images} held-out images against the share of one layer's filters removed (whole filters, smallest ${found.score} first); whole: ${cell(found, found.whole)}`;

const cell = (found: Sensitivity, { benign, robust }: HeldOutAccuracies): string =>
  isRobust(found) ? `${percent(benign)} / ${percent(robust)}` : percent(benign);

/** A row a layer, a column a share. */
export function sensitivityTable(found: Sensitivity): Table {
  const shares = [...new Set(found.layers.flatMap(({ points }) => points.map(nominal)))];
  shares.sort((a, b) => a - b);
  const titles = ['layer', 'filters', ...shares.map((share) => `${share} %`)];
  const rows = found.layers.map(({ layers, filters, points }) => {
    const at = new Map(points.map((point) => [nominal(point), point]));
    const cells = shares.map((share) => {
      const point = at.get(share);
      return point ? cell(found, point) : '';
    });
    return [layers.join(' + '), `${filters}`, ...cells];
  });
  return { columns: columnsOf(titles, 'lr'), rows };
}

/** A share as the tenth it stands for, in percent. */
const nominal = ({ share }: SensitivityPoint): number => 10 * Math.max(1, Math.round(10 * share));

/** The page: a chart a layer on the same axes, and the table. Needs the package echarts. */
export async function renderSensitivity(found: Sensitivity, title: string): Promise<string> {
  const charts = await loadCharts(async () => {
    const { sensitivityChart } = await import('./curves');
    return found.layers.map((layer) => sensitivityChart(layer, found.whole, isRobust(found)));
  });
  const figures = found.layers.map(({ layers }, i) => {
    const name = escapeHtml(layers.join(' + '));
    return `<figure>${charts[i]!.svg}<figcaption>${name}</figcaption></figure>`;
  });
  const body = [
    `<header><p class="kicker">espalier inspect</p><h1>${escapeHtml(title)}</h1></header><main>`,
    `<section><h2>Sensitivity of layers</h2><p>${escapeHtml(sensitivityText(found))}.</p>`,
    `<div class="histograms">${figures.join('')}</div>`,
    `<div class="scroll">${renderTable(sensitivityTable(found), 'html')}</div></section></main>`,
  ];
  return pageOf(`${title}: sensitivity`, style(), body.join('\n'));
}
