/** The report of a sweep as one HTML file, in the style of that of a run. */
import type { Chart } from './draw';
import { escapeHtml, pageOf } from './format';
import { grid, loadCharts, scroll, section } from './html';
import { style } from './style';
import { ABOUT_PAIRS, faultTable, groupTable, labelsOf, pairTable } from './sweep';
import type { SweepResult } from './sweep-types';
import { renderTable, type Table } from './table';

/** The whole of a sweep's `report.html`; sections without data are left out. */
export async function renderSweep(result: SweepResult): Promise<string> {
  const charts: readonly Chart[] = await loadCharts(async () =>
    (await import('./sweep-charts')).frontCharts(result),
  );
  const table = (one: Table): string | 0 => one.rows.length && scroll(renderTable(one, 'html'));
  const faults = faultTable(result);
  const { common } = labelsOf(result.groups);
  const { length } = result.runs;
  const contradictions = result.runs.reduce((n, run) => n + (run.result?.contradictions ?? 0), 0);
  const body = `<header>
<p class="kicker">espalier sweep</p>
<h1>${escapeHtml(result.name)}</h1>
<p class="verdict">${length - faults.rows.length} of ${length} runs${common && `: ${escapeHtml(common)}`}</p>
${contradictions > 0 ? `<p class="alarm" role="alert"><b>Contradictions:</b> ${contradictions} samples were both certified and broken: a bug; do not rely on these certificates.</p>` : ''}
</header>
<main>
${section('Runs', 'Means over the seeds ± half of their 95 % interval (Student), in points; “kept” is the share of the dense network’s accuracy. Bytes count non-zeros as value and place.', table(groupTable(result)))}
${section('Fronts', 'Numbers are those of the table. A group is on the front if no other is as accurate at a lower cost, or more at the same.', charts.length && grid(charts, 'charts'))}
${section('Paired tests', ABOUT_PAIRS, table(pairTable(result)))}
${section('Runs without a result', '', table(faults))}
${section('Provenance', '', `<p>espalier ${escapeHtml(result.provenance.espalier)}, Node ${escapeHtml(result.provenance.node)}; each run’s own folder has its report.</p>`)}
</main>`;
  return pageOf(`${result.name}: espalier sweep`, style(), body);
}
