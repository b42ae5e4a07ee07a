/**
 * Certified accuracy against eps: the fraction of samples whose largest certified radius is at least
 * eps, as numbers and as a page of its own.
 */
import { escapeHtml, pageOf, percent, short } from './format';
import { columnsOf, renderTable } from './table';

export interface CurvePoint {
  readonly eps: number;
  /** Fraction of all samples, the misclassified ones included. */
  readonly certified: number;
}

export interface RadiusCurve {
  readonly samples: number;
  readonly mean: number;
  readonly median: number;
  /** Falling; the curve is a staircase through them, each the right end of its step. */
  readonly points: readonly CurvePoint[];
}

/** The exact staircase of the given radii; 0 is not certified. */
export function certifiedCurve(radii: readonly number[]): RadiusCurve {
  const sorted = [...radii].sort((a, b) => a - b);
  const n = sorted.length;
  const middle = n === 0 ? 0 : (sorted[(n - 1) >> 1]! + sorted[n >> 1]!) / 2;
  const points: CurvePoint[] = [];
  sorted.forEach((eps, i) => {
    if (eps > 0 && eps !== sorted[i - 1]) points.push({ eps, certified: (n - i) / n });
  });
  const mean = n === 0 ? 0 : sorted.reduce((sum, r) => sum + r, 0) / n;
  return { samples: n, mean, median: middle, points };
}

/** Certified accuracy at eps. */
export function certifiedAt({ points }: RadiusCurve, eps: number): number {
  return points.find((point) => point.eps >= eps)?.certified ?? 0;
}

const ROWS = 8;

/** At most eight rows of the curve, evenly over its points. */
export function radiusTable(curve: RadiusCurve, format: 'text' | 'html' = 'text'): string {
  const { points } = curve;
  const step = Math.max(1, (points.length - 1) / (ROWS - 1));
  const picked = Array.from(
    { length: Math.min(ROWS, points.length) },
    (_, i) => points[Math.min(points.length - 1, Math.round(i * step))]!,
  );
  const columns = columnsOf(['eps', 'certified'], 'r');
  const rows = picked.map(({ eps, certified }) => [short(eps), percent(certified)]);
  return renderTable({ columns, rows }, format);
}

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [640, 320, 56, 40];

/** The curve as SVG: no script, no package. */
export function radiusChart({ points }: RadiusCurve): string {
  const most = points.at(-1)?.eps ?? 1;
  const x = (eps: number): number => LEFT + (eps / most) * (WIDTH - LEFT - 16);
  const y = (share: number): number => 12 + (1 - share) * (HEIGHT - BOTTOM - 12);
  let path = '';
  let from = 0;
  for (const { eps, certified } of points) {
    path += `${path ? 'L' : 'M'}${x(from).toFixed(2)} ${y(certified).toFixed(2)}`;
    path += `L${x(eps).toFixed(2)} ${y(certified).toFixed(2)}`;
    from = eps;
  }
  if (path) path += `L${x(from).toFixed(2)} ${y(0).toFixed(2)}`;
  const grid = [0, 0.25, 0.5, 0.75, 1]
    .map(
      (share) =>
        `<path d="M${LEFT} ${y(share)}H${WIDTH - 16}" stroke="#8884"/><text x="${LEFT - 8}" y="${y(share) + 4}" text-anchor="end">${100 * share} %</text>`,
    )
    .join('');
  const ticks = [0, 0.25, 0.5, 0.75, 1]
    .map(
      (t) =>
        `<text x="${x(t * most)}" y="${HEIGHT - 20}" text-anchor="middle">${short(t * most)}</text>`,
    )
    .join('');
  return `<svg role="img" aria-label="Certified accuracy against eps" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">${grid}${ticks}<text x="${WIDTH / 2}" y="${HEIGHT - 4}" text-anchor="middle">eps</text><path d="${path}" fill="none" stroke="#2a7" stroke-width="2"/></svg>`;
}

/** A page with the curve and its table. */
export function renderRadiusReport(
  curve: RadiusCurve,
  about: { readonly title: string; readonly verifiers: readonly string[] },
): string {
  const facts = `${curve.samples} images, median certified radius ${short(curve.median)}, mean ${short(curve.mean)}`;
  const css =
    'body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}td,th{padding:.2rem .8rem}';
  const body = [
    `<h1>${escapeHtml(about.title)}: certified accuracy against eps</h1>`,
    `<p>${escapeHtml(facts)}; by ${about.verifiers.map(escapeHtml).join(', ')}.</p>`,
    radiusChart(curve),
    radiusTable(curve, 'html'),
  ];
  return pageOf(`${about.title}: certified radii`, css, body.join('\n'));
}
