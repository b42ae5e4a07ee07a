/** Fronts of a sweep: an accuracy against what the network costs, one point a group. */
import { type Chart, draw, FONT, HALF, type LineSeriesOption, legend, valueAxis } from './draw';
import { NAMES } from './sweep';
import { COSTS, type Cost, type SweepResult } from './sweep-types';
import { colour } from './theme';
import { ACCURACIES, type Accuracy } from './types';

const AXES: Readonly<Record<Cost, string>> = { bytes: 'bytes', multiplyAdds: 'multiply-adds' };

/** For each cost the three accuracies, where they were measured; points have the numbers of the table. */
export const frontCharts = (result: SweepResult): Chart[] =>
  COSTS.flatMap((cost) =>
    ACCURACIES.filter((key) => result.fronts[cost][key].length > 0).map((key) =>
      frontChart(result, cost, key),
    ),
  );

function frontChart({ groups, fronts }: SweepResult, cost: Cost, accuracy: Accuracy): Chart {
  const point = (at: number) => ({
    value: [groups[at]![cost], 100 * (groups[at]!.pruned[accuracy]?.mean ?? 0)],
    label: { show: true, formatter: String(at + 1), position: 'top' as const, fontSize: FONT },
  });
  const front = fronts[cost][accuracy];
  const measured = groups.flatMap((group, at) => (group.pruned[accuracy] ? [at] : []));
  const rest = measured.filter((at) => !front.includes(at));
  const series = (name: string, list: readonly number[], joined: boolean): LineSeriesOption => ({
    type: 'line',
    name,
    data: [...list].sort((a, b) => groups[a]![cost] - groups[b]![cost]).map(point),
    color: colour(joined ? 'pruned' : 'dense'),
    lineStyle: { width: joined ? 2 : 0 },
    symbol: joined ? 'circle' : 'diamond',
    symbolSize: 7,
    emphasis: { disabled: true },
  });
  return draw(`${NAMES[accuracy]} accuracy against ${AXES[cost]}`, HALF, {
    legend: legend('on the front', 'behind it'),
    grid: { left: 62, right: 24, top: 48, bottom: 44 },
    xAxis: { ...valueAxis(AXES[cost], 26, false), scale: true },
    yAxis: { ...valueAxis('accuracy, %', 44, true), scale: true },
    series: [series('on the front', front, true), series('behind it', rest, false)],
  });
}
