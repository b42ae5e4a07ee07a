/**
 * How a chart is drawn: Apache ECharts without a browser, to an SVG string, with the house's axes.
 *
 * This module and nothing else imports echarts, an optional peer: load it, and those above it
 * (`charts.ts`, `curves.ts`), lazily, as `html.ts` does. Every drawing is static and complete on its
 * own; it is as wide as half a page and scales with it, so that text keeps a readable size.
 */
import {
  BarChart,
  type BarSeriesOption,
  CustomChart,
  type CustomSeriesOption,
  LineChart,
  type LineSeriesOption,
} from 'echarts/charts';
import {
  GridComponent,
  type GridComponentOption,
  LegendComponent,
  type LegendComponentOption,
  MarkAreaComponent,
  MarkLineComponent,
} from 'echarts/components';
import * as echarts from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { escapeHtml, short } from './format';
import { colour } from './theme';

export type { BarSeriesOption, CustomSeriesOption, LineSeriesOption };

type Option = echarts.ComposeOption<
  | BarSeriesOption
  | CustomSeriesOption
  | LineSeriesOption
  | GridComponentOption
  | LegendComponentOption
>;
export type Renderer = NonNullable<CustomSeriesOption['renderItem']>;

/** A drawing and the sentence that names it; `alt` is also its accessible label. */
export interface Chart {
  readonly alt: string;
  readonly svg: string;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

echarts.use([
  BarChart,
  CustomChart,
  LineChart,
  GridComponent,
  LegendComponent,
  MarkAreaComponent,
  MarkLineComponent,
  SVGRenderer,
]);

export const FONT = 12;
/** Half a page wide. */
export const HALF: Size = { width: 440, height: 260 };

/** `option` drawn with the house's defaults. */
export function draw(alt: string, { width, height }: Size, option: Option): Chart {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width, height });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: 'transparent',
      textStyle: { fontFamily: 'system-ui, sans-serif', fontSize: FONT, color: colour('ink') },
      ...option,
    });
    const svg = chart
      .renderToSVGString()
      // Hover styles and the marks of a client script: of no use in a still picture.
      .replace(/<style[^>]*>.*?<\/style>/gs, '')
      .replace(/ (?:class|ecmeta_\w+)="[^"]*"/g, '');
    // ids count up over the process: renamed by content, so that equal data give equal files.
    const id = `c${fingerprint(alt + svg.replace(/zr\d+-/g, ''))}-`;
    return {
      alt,
      svg: svg
        .replace(/zr\d+-/g, id)
        .replace(/^<svg /, `<svg role="img" aria-label="${escapeHtml(alt)}" `),
    };
  } finally {
    chart.dispose();
  }
}

/** FNV-1a, 32 bits, in base 36. */
function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}

/** Text along an axis. */
export const label = { color: colour('faint'), fontSize: FONT, hideOverlap: true };
/** An axis' line. */
export const rule = { lineStyle: { color: colour('rule') } };

/** An axis of numbers, named along its length. */
export function valueAxis(name: string, gap: number, grid: boolean) {
  return {
    type: 'value' as const,
    name,
    nameLocation: 'middle' as const,
    nameGap: gap,
    nameTextStyle: { color: colour('faint'), fontSize: FONT },
    axisLabel: { ...label, formatter: short },
    axisLine: { show: !grid, ...rule },
    axisTick: { show: !grid, ...rule },
    splitLine: { show: grid, ...rule },
    splitNumber: 4,
  };
}

/** An axis of percentages, whole. */
export const PERCENT = { min: 0, max: 100, interval: 20 };

/** The names of series, top right. */
export function legend(...names: string[]): LegendComponentOption {
  return {
    data: names,
    top: 0,
    right: 8,
    itemWidth: 14,
    itemHeight: 10,
    itemGap: 16,
    selectedMode: false,
    backgroundColor: 'transparent',
    borderColor: colour('rule'),
    textStyle: { color: colour('ink'), fontSize: FONT },
  };
}
