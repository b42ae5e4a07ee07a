/**
 * The charts of a finished run: its accuracies, and where its weights went.
 *
 * Each returns an SVG string; see `draw.ts` for how and `curves.ts` for the training curves.
 */

import { largest } from '../statistics';
import { printable } from '../text';
import {
  type BarSeriesOption,
  type Chart,
  type CustomSeriesOption,
  draw,
  FONT,
  HALF,
  type LineSeriesOption,
  label,
  legend,
  PERCENT,
  type Renderer,
  rule,
  valueAxis,
} from './draw';
import { count, percent, short } from './format';
import { colour } from './theme';
import type { HistogramPair, Proportion, Summary } from './types';

/** Benign, ERA and VRA of both networks as bars, with their 95 % intervals as whiskers. */
export function accuracyChart({ dense, pruned }: Summary): Chart {
  const measures = [
    ['benign', dense.benign, pruned.benign],
    ['ERA', dense.era, pruned.era],
    ['VRA', dense.vra, pruned.vra],
  ] as const;
  const names = measures.map(([name, d, p]) => {
    const totals = [...new Set([d.total, p.total])].map(count).join(' / ');
    return `${name}\nn = ${totals}`;
  });
  const layout = { barWidth: '30%', barGap: '15%' };
  const bars = (name: 'dense' | 'pruned', column: 1 | 2): BarSeriesOption => ({
    type: 'bar',
    name,
    data: measures.map((m) => 100 * m[column].value),
    color: colour(name),
    ...layout,
    emphasis: { disabled: true },
  });
  const whiskers = (column: 1 | 2): CustomSeriesOption => ({
    type: 'custom',
    silent: true,
    z: 3,
    encode: { x: 0, y: [1, 2, 3] },
    data: measures.map((m, i) => [i, 100 * m[column].lo, 100 * m[column].hi]),
    renderItem: whisker(
      measures.map((m) => m[column]),
      column === 1 ? -0.1725 : 0.1725,
    ),
  });
  return draw('Accuracies of the dense and the pruned network', HALF, {
    legend: legend('dense', 'pruned'),
    grid: { left: 62, right: 16, top: 48, bottom: 44 },
    xAxis: {
      type: 'category',
      data: names,
      axisLabel: { ...label, lineHeight: 16, interval: 0 },
      axisLine: rule,
      axisTick: { show: false },
    },
    yAxis: { ...valueAxis('accuracy, %', 44, true), ...PERCENT },
    series: [bars('dense', 1), bars('pruned', 2), whiskers(1), whiskers(2)],
  });
}

/** A long name without its middle: what tells layers apart is at the ends. */
function shorten(name: string, most: number): string {
  if (name.length <= most) return name;
  const tail = Math.ceil(0.7 * (most - 1));
  return `${name.slice(0, most - 1 - tail)}…${name.slice(-tail)}`;
}

/** An interval's line and caps with the value above, `shift` bands right of the category's centre. */
function whisker(values: readonly Proportion[], shift: number): Renderer {
  return (params, api) => {
    const value = values[params.dataIndex]!;
    if (value.total === 0) return null; // not measured: the label below says n = 0
    const band = (api.size!([1, 0]) as number[])[0]!;
    const index = api.value(0) as number;
    const [middle, top] = api.coord([index, api.value(2)]) as [number, number];
    const bottom = api.coord([index, api.value(1)])[1]!;
    const x = middle + shift * band;
    const stroke = { stroke: colour('ink'), lineWidth: 1.25, fill: 'none' };
    const segment = (x1: number, y1: number, x2: number, y2: number) => ({
      type: 'line' as const,
      shape: { x1, y1, x2, y2 },
      style: stroke,
    });
    return {
      type: 'group',
      children: [
        segment(x, bottom, x, top),
        segment(x - 4, top, x + 4, top),
        segment(x - 4, bottom, x + 4, bottom),
        {
          type: 'text',
          style: {
            x,
            y: top - 4,
            text: percent(value.value).replace(' %', ''),
            fill: colour('ink'),
            stroke: colour('paper'),
            lineWidth: 3,
            fontSize: FONT,
            align: 'center',
            verticalAlign: 'bottom',
          },
        },
      ],
    };
  };
}

/** The fraction of weights kept, a bar a layer, with the whole network's as a dashed line. */
export function densityChart({ layers, sparsity }: Summary): Chart | undefined {
  if (layers.length === 0) return undefined;
  const whole = 100 * (1 - sparsity);
  const names = layers.map((l) => shorten(printable(l.name), 22));
  const room = 7.5 * largest(names.map((name) => name.length));
  return draw(
    'Density of every layer',
    { width: HALF.width, height: 84 + 24 * layers.length },
    {
      grid: { left: room + 16, right: 66, top: 26, bottom: 44 },
      xAxis: { ...valueAxis('weights kept, %', 26, true), min: 0 },
      yAxis: {
        type: 'category',
        inverse: true,
        data: names,
        axisLabel: { ...label, color: colour('ink'), interval: 0 },
        axisLine: rule,
        axisTick: { show: false },
      },
      series: [
        {
          type: 'bar',
          data: layers.map((l) => 100 * l.density),
          color: colour('pruned'),
          barWidth: 13,
          label: {
            show: true,
            position: 'right',
            color: colour('ink'),
            textBorderColor: colour('paper'),
            textBorderWidth: 3,
            fontSize: FONT,
            formatter: ({ dataIndex }) => percent(layers[dataIndex]!.density),
          },
          emphasis: { disabled: true },
          markLine: {
            silent: true,
            z: 1, // below bars and their numbers
            symbol: 'none',
            lineStyle: { color: colour('faint'), width: 1, type: [3, 3] },
            label: {
              position: 'start',
              color: colour('faint'),
              fontSize: FONT,
              formatter: `all ${percent(whole / 100)}`,
            },
            data: [{ xAxis: whole }],
          },
        },
      ],
    },
  );
}

/**
 * Weights of one layer before (area) and after (line) on the same bins. Counts are drawn as
 * log10(1 + count): the dense peak is often a hundred times the pruned one.
 */
export function histogramChart(pair: HistogramPair): Chart {
  // Equal weights still need an axis of some width.
  const [min, max] = pair.max > pair.min ? [pair.min, pair.max] : [pair.min - 0.5, pair.min + 0.5];
  const bins = Math.max(pair.dense.length, pair.pruned.length);
  const most = Math.max(1, ...pair.dense, ...pair.pruned);
  const top = Math.ceil(Math.log10(most + 1));
  const ticks = [0, ...Array.from({ length: top + 1 }, (_, i) => 10 ** i)];
  const height = (n: number) => Math.log10(1 + n);
  const steps = (counts: readonly number[]) =>
    Array.from({ length: bins + 1 }, (_, i) => [
      min + ((max - min) * i) / Math.max(1, bins),
      height(counts[Math.min(i, bins - 1)] ?? 0),
    ]);
  const series = (name: 'dense' | 'pruned'): LineSeriesOption => ({
    type: 'line',
    name,
    step: 'end',
    symbol: 'none',
    data: steps(pair[name]),
    color: colour(name),
    lineStyle: { width: name === 'dense' ? 1 : 1.75 },
    areaStyle: { opacity: name === 'dense' ? 0.22 : 0.35 },
    emphasis: { disabled: true },
  });
  const visible = ticks.map(height).filter((y) => y <= height(most) * 1.02 || y === 0);
  return draw(
    `Weights of ${printable(pair.name)} before and after pruning`,
    { width: 320, height: 190 },
    {
      grid: { left: 60, right: 14, top: 10, bottom: 42 },
      xAxis: {
        ...valueAxis('weight', 24, false),
        min,
        max,
        axisLabel: { ...label, formatter: short, showMinLabel: false, showMaxLabel: false },
      },
      yAxis: {
        ...valueAxis('weights a bin', 44, true),
        min: 0,
        max: height(most) * 1.04,
        axisLabel: {
          ...label,
          customValues: visible,
          formatter: (v: number) => count(10 ** v - 1),
        },
        axisTick: { show: false, customValues: visible },
      },
      series: [series('dense'), series('pruned')],
    },
  );
}
