/**
 * A run's report as one HTML file: no script, no network, no font to load; CSS, inline SVG and
 * bitmaps only, and a content policy that holds it to that. Light or dark with the reader's system,
 * always light on paper. Names come from a user's config, so every string goes through `escapeHtml`.
 */
import { EspalierError } from '../errors';
import type { Chart } from './draw';
import { bytes, DASH, escapeHtml, pageOf, percent, rate, ratio } from './format';
import { exhibitGrid, glossary, provenance } from './sections';
import { style } from './style';
import {
  compression,
  contradictionsText,
  layerTable,
  methodTexts,
  renderTable,
  sizeTable,
  summaryTable,
} from './table';
import { paint } from './theme';
import type { ReportData, Summary } from './types';

/** The whole of `report.html`. Sections without data (no epochs, no exhibits) are left out. */
export async function renderReport(data: ReportData): Promise<string> {
  const { summary } = data;
  const charts = await drawCharts(data);
  const sections = [
    section(
      'Accuracies',
      'Fractions of test images with 95 % Clopper-Pearson intervals; n is named where it differs from the benign one.',
      `${scroll(renderTable(summaryTable(summary), 'html'))}<div class="pair">${figure(charts.accuracy, 'Dense against pruned')}${methods(summary)}</div>`,
    ),
    section('Size and speed', '', scroll(renderTable(sizeTable(summary), 'html'))),
    section(
      'Training',
      'By epoch, on the held-out split. Shaded: fine-tuning of the pruned network.',
      charts.training.length && grid(charts.training, 'charts'),
    ),
    section(
      'Density a layer',
      'Which weights the method kept. Biases and norms are not pruned and not counted.',
      summary.layers.length &&
        `${scroll(renderTable(layerTable(summary), 'html'))}${charts.density ? `<div class="half">${figure(charts.density)}</div>` : ''}`,
    ),
    section(
      'Weights before and after',
      'The same bins for both; the pruned network’s zeros are left out. The count axis is logarithmic.',
      charts.histograms.length &&
        `${swatches()}<div class="histograms">${charts.histograms
          .map((chart, i) => figure(chart, data.histograms[i]!.name))
          .join('')}</div>`,
    ),
    section(
      'Test images under attack',
      'What the pruned network says of an image and of its attacked version, and the radius in which its answer is proved not to change.',
      data.exhibits.length && exhibitGrid(data.exhibits),
    ),
    section('What the numbers mean', '', glossary()),
    section('Provenance', '', provenance(summary)),
  ];
  const body = `<header>
<p class="kicker">espalier report</p>
<h1>${escapeHtml(summary.name)}</h1>
<p class="verdict">${keepUnits(verdict(summary))}</p>
${warning(summary)}
${tiles(summary)}
</header>
<main>
${sections.filter(Boolean).join('\n')}
</main>`;
  return pageOf(`${summary.name}: espalier report`, style(), body);
}

interface Charts {
  readonly accuracy: Chart;
  readonly density: Chart | undefined;
  readonly training: readonly Chart[];
  readonly histograms: readonly Chart[];
}

function drawCharts(data: ReportData): Promise<Charts> {
  return loadCharts(async () => {
    const [charts, curves] = await Promise.all([import('./charts'), import('./curves')]);
    return {
      accuracy: charts.accuracyChart(data.summary),
      density: charts.densityChart(data.summary),
      training: curves.trainingCharts(data.epochs),
      histograms: data.histograms.map(charts.histogramChart),
    };
  });
}

/** What `draws` gives; an error that names the package where there is none to draw with. */
export async function loadCharts<T>(draws: () => Promise<T>): Promise<T> {
  try {
    return await draws();
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error;
    throw new EspalierError(
      'report: expected the package echarts for its charts, got none. Install it: npm install echarts',
      { cause: error },
    );
  }
}

/** One sentence that answers: smaller by how much, and still to be trusted? Escaped. */
function verdict(summary: Summary): string {
  const { retained, sparsity } = summary;
  const kept = [
    [retained.benign, 'benign'],
    [retained.era, 'empirical robust'],
    [retained.vra, 'verified robust'],
  ] as const;
  const list = kept
    .filter(([value]) => value !== null)
    .map(([value, name]) => `<b>${escapeHtml(percent(value, 1))}</b> of ${name}`);
  const all = list.length > 1 ? `${list.slice(0, -1).join(', ')} and ${list.at(-1)}` : list[0];
  const rest = all ? `retains ${all} accuracy` : 'has no accuracy to compare with the dense one';
  return `With <b>${escapeHtml(percent(sparsity, 1))}</b> of its prunable weights removed (${compression(summary)} fewer), the network ${rest}.`;
}

function warning(summary: Summary): string {
  return summary.contradictions === 0
    ? ''
    : `<p class="alarm" role="alert"><b>Contradictions:</b> ${contradictionsText(summary)}.</p>`;
}

function tiles(summary: Summary): string {
  const { pruned, dense, retained, bytes: size, imagesPerSecond: speed } = summary;
  const accuracy = (name: string, key: 'benign' | 'era' | 'vra') => [
    name,
    pruned[key].total === 0 ? DASH : percent(pruned[key].value),
    pruned[key].total === 0
      ? 'not measured'
      : `dense ${percent(dense[key].value)}, retained ${percent(retained[key], 1)}`,
  ];
  const items = [
    [
      'fewer weights',
      compression(summary),
      `${percent(1 - summary.sparsity)} of prunable weights kept`,
    ],
    accuracy('benign accuracy', 'benign'),
    accuracy('empirical robust', 'era'),
    accuracy('verified robust', 'vra'),
    [
      'deflated file',
      bytes(size.deflated),
      `${ratio(size.dense, size.deflated)} smaller than ${bytes(size.dense)}`,
    ],
    [
      'images a second',
      rate(speed.pruned),
      `dense ${rate(speed.dense)}, ${ratio(speed.pruned, speed.dense)} faster`,
    ],
  ];
  const tile = ([name, value, note]: string[]) =>
    `<li><span class="name">${name}</span><span class="value">${keepUnits(escapeHtml(value!))}</span><span class="note">${keepUnits(escapeHtml(note!))}</span></li>`;
  return `<ul class="tiles">${items.map(tile).join('')}</ul>`;
}

function methods(summary: Summary): string {
  const row = (term: string, text: string) => `<dt>${term}</dt><dd>${text}</dd>`;
  const titles = { attack: 'Attack (ERA)', verifier: 'Verifier (VRA)' };
  const named = (text: string) => {
    const [name = '', ...rest] = text.split(': ');
    return `<b>${escapeHtml(name)}</b>: ${escapeHtml(rest.join(': '))}`;
  };
  const suspicions = (summary.suspicions ?? []).map(({ text }) =>
    row('Suspicion', escapeHtml(text)),
  );
  const rows = methodTexts(summary).map(([kind, text]) => row(titles[kind], named(text)));
  return `<dl class="facts">${rows.join('')}${row('Contradictions', contradictionsText(summary))}${suspicions.join('')}</dl>`;
}

/** A titled part of the page; nothing where it has no body. */
export function section(title: string, intro: string, body: string | 0): string {
  if (!body) return '';
  return `<section><h2>${title}</h2>${intro && `<p class="intro">${intro}</p>`}${body}</section>`;
}

function figure(chart: Chart, caption = chart.alt): string {
  return `<figure><figcaption>${escapeHtml(caption)}</figcaption>${paint(chart.svg)}</figure>`;
}

export function grid(charts: readonly Chart[], kind: string): string {
  return `<div class="${kind}">${charts.map((chart) => figure(chart)).join('')}</div>`;
}

export function scroll(table: string): string {
  return `<div class="scroll" tabindex="0">${keepUnits(table)}</div>`;
}

function swatches(): string {
  return '<p class="swatches"><i class="dense"></i>dense <i class="pruned"></i>pruned, non-zero</p>';
}

/** A number does not part from its unit at the end of a line. */
function keepUnits(html: string): string {
  return html.replace(/(\d,?) (%|[kMGT]?B\b|s\b|[\d.]+\])/g, '$1&nbsp;$2');
}
