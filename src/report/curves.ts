/**
 * Training curves: what a run's journal says, by epoch, with the phases marked.
 *
 * A point of epoch k stands at x = k, the state after k epochs; pruning after epoch k is the line at
 * x = k, and curves break there, as the network before and after is not the same.
 */

import { printable } from '../text';
import {
  type Chart,
  draw,
  FONT,
  HALF,
  type LineSeriesOption,
  legend,
  PERCENT,
  valueAxis,
} from './draw';
import { colour } from './theme';
import type { EpochRecord, LayerSensitivity, Sensitivity } from './types';

/** Consecutive epochs of one phase and round; `from` is the epoch before its first. */
interface Segment {
  readonly name: string;
  readonly phase: EpochRecord['phase'];
  readonly from: number;
  readonly to: number;
}

/** Loss, held-out accuracies, eps (where the objective has one) and learning rate by epoch. */
export function trainingCharts(records: readonly EpochRecord[]): Chart[] {
  // A resumed run may have written an epoch twice: the later line counts.
  const epochs = [...new Map(records.map((e) => [e.overall, e])).values()].sort(
    (a, b) => a.overall - b.overall,
  );
  if (epochs.length === 0) return [];
  const faint = colour('ink');
  const charts = [
    curves('Held-out accuracy', 'accuracy, %', epochs, [
      line('benign', colour('dense'), (e) => 100 * e.heldOut.benign),
      line('robust', colour('pruned'), (e) => 100 * e.heldOut.robust),
    ]),
    curves('Training loss', 'loss', epochs, [line('loss', faint, (e) => e.loss)]),
  ];
  if (epochs.some((e) => Number.isFinite(e.metrics.eps)))
    charts.push(
      curves('Radius trained against, eps', 'eps', epochs, [
        line('eps', faint, (e) => e.metrics.eps),
      ]),
    );
  charts.push(
    curves('Learning rate', 'learning rate', epochs, [
      line('learning rate', faint, (e) => e.learningRate),
    ]),
  );
  return charts;
}

interface Line {
  readonly name: string;
  readonly colour: string;
  readonly value: (epoch: EpochRecord) => number | undefined;
}

function line(name: string, stroke: string, value: Line['value']): Line {
  return { name, colour: stroke, value };
}

function curves(alt: string, axis: string, epochs: readonly EpochRecord[], lines: Line[]): Chart {
  const parts = segments(epochs);
  const start = parts[0]!.from;
  const end = parts.at(-1)!.to;
  const named = (part: Segment) => (part.to - part.from) / (end - start) > 0.14;
  const percentages = axis.endsWith('%');
  const series: LineSeriesOption[] = lines.map((l, i) => ({
    type: 'line',
    name: l.name,
    data: points(epochs, l.value),
    color: l.colour,
    lineStyle: { width: 2, type: i === 0 ? 'solid' : [6, 3] },
    symbol: i === 0 ? 'circle' : 'diamond',
    symbolSize: epochs.length > 40 ? 0 : i === 0 ? 4 : 6,
    emphasis: { disabled: true },
  }));
  // The phases hang on a series of their own: a mark needs one, and this one is never hidden.
  series.push({
    type: 'line',
    data: [],
    silent: true,
    color: colour('faint'),
    markArea: {
      silent: true,
      z: -1, // below the grid's lines
      label: { position: 'top', distance: 4, color: colour('faint'), fontSize: FONT },
      data: parts.map((part) => [
        {
          xAxis: part.from,
          name: named(part) ? part.name : '',
          itemStyle: { color: part.phase !== 'pretrain' ? colour('shade') : 'transparent' },
        },
        { xAxis: part.to },
      ]),
    },
    markLine: {
      silent: true,
      symbol: 'none',
      label: { show: false },
      lineStyle: { color: colour('faint'), width: 1, type: [3, 3] },
      data: parts.filter((part) => part.phase !== 'pretrain').map((part) => ({ xAxis: part.from })),
    },
  });
  return draw(alt, HALF, {
    ...(lines.length > 1 ? { legend: legend(...lines.map((l) => l.name)) } : {}),
    grid: { left: 62, right: 16, top: 48, bottom: 44 },
    xAxis: {
      ...valueAxis('epoch', 26, false),
      min: start,
      max: end,
      minInterval: 1,
      splitNumber: 5,
    },
    yAxis: { ...valueAxis(axis, 44, true), ...(percentages ? PERCENT : { min: 0 }) },
    series,
  });
}

/** The finite values by epoch, with a gap where pruning or a new round breaks the curve. */
function points(epochs: readonly EpochRecord[], value: Line['value']) {
  const data: (number | null)[][] = [];
  for (const [i, epoch] of epochs.entries()) {
    const before = epochs[i - 1];
    if (before && (before.phase !== epoch.phase || before.round !== epoch.round))
      data.push([before.overall, null]);
    const y = value(epoch);
    data.push([epoch.overall, y !== undefined && Number.isFinite(y) ? y : null]);
  }
  return data;
}

const NAMES: Readonly<Record<EpochRecord['phase'], string>> = {
  pretrain: 'pre-train',
  prune: 'prune',
  finetune: 'pruned, fine-tune',
  control: 'control',
};

function segments(epochs: readonly EpochRecord[]): Segment[] {
  const rounds = new Set(epochs.map((e) => (e.phase === 'finetune' ? e.round : null))).size;
  const result: Segment[] = [];
  let last: EpochRecord | undefined;
  for (const epoch of epochs) {
    const open = result.at(-1);
    if (open && last?.phase === epoch.phase && last.round === epoch.round)
      result[result.length - 1] = { ...open, to: epoch.overall };
    else {
      const round = rounds > 2 ? ` ${epoch.round}` : '';
      const name = NAMES[epoch.phase] + (epoch.phase === 'pretrain' ? '' : round);
      result.push({ name, phase: epoch.phase, from: epoch.overall - 1, to: epoch.overall });
    }
    last = epoch;
  }
  return result;
}

/** Accuracies against the share of a layer's filters removed, from the whole network's on. */
export function sensitivityChart(
  { layers, points }: LayerSensitivity,
  whole: Sensitivity['whole'],
  robust: boolean,
): Chart {
  const all = [{ ...whole, share: 0 }, ...points];
  const series = (name: 'benign' | 'robust', stroke: string): LineSeriesOption => ({
    type: 'line',
    name,
    data: all.map((point) => [100 * point.share, 100 * point[name]]),
    color: stroke,
    lineStyle: { width: 2, type: name === 'benign' ? 'solid' : [6, 3] },
    symbol: name === 'benign' ? 'circle' : 'diamond',
    symbolSize: name === 'benign' ? 4 : 6,
    emphasis: { disabled: true },
  });
  const [benign, second] = [series('benign', colour('dense')), series('robust', colour('pruned'))];
  return draw(
    `Accuracy against the share of filters removed of ${printable(layers.join(' + '))}`,
    { width: 320, height: 190 },
    {
      ...(robust && { legend: legend('benign', 'robust') }),
      grid: { left: 52, right: 14, top: robust ? 26 : 10, bottom: 42 },
      xAxis: { ...valueAxis('filters removed, %', 24, false), ...PERCENT },
      yAxis: { ...valueAxis('accuracy, %', 36, true), ...PERCENT },
      series: robust ? [benign, second] : [benign],
    },
  );
}
