/**
 * Numbers and names as people read them. Independent of locale, so that two machines write the same
 * report; what cannot be shown (NaN, infinities, null) becomes a dash.
 */
import { printable } from '../text';
import type { Proportion } from './types';

export const DASH = '–';

/** A fraction as "97.08 %". Only exactly 1 prints as 100, only exactly 0 as 0. */
export function percent(value: number | null, digits = 2): string {
  if (value === null || !Number.isFinite(value)) return DASH;
  const unit = 10 ** -digits;
  const text = (100 * value).toFixed(digits);
  if (value < 1 && Number(text) >= 100) return `>${(100 - unit).toFixed(digits)} %`;
  if (value > 0 && Number(text) === 0) return `<${unit.toFixed(digits)} %`;
  return `${text} %`;
}

/** "[96.7, 97.5]" in percent, rounded outwards: what is printed contains what was computed. */
export function interval(p: Proportion): string {
  return `[${(Math.floor(1000 * p.lo) / 10).toFixed(1)}, ${(Math.ceil(1000 * p.hi) / 10).toFixed(1)}]`;
}

/** An integer with thousands grouped: "1,234,567". */
export function count(value: number): string {
  if (!Number.isFinite(value)) return DASH;
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}

/** A rate: whole above 100, one decimal below. */
export function rate(value: number): string {
  if (!Number.isFinite(value)) return DASH;
  return Math.abs(value) < 100 ? value.toFixed(1) : count(value);
}

/** Decimal units: "847 B", "98.3 kB", "1.20 MB". */
export function bytes(value: number): string {
  if (!Number.isFinite(value)) return DASH;
  let scaled = value;
  let unit = 0;
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  // 999.5 would print as 1000.
  while (Math.abs(scaled) >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${unit === 0 ? scaled.toFixed(0) : threeDigits(scaled)} ${units[unit]}`;
}

/** `numerator / denominator` as "4.3x"; a dash where it has no meaning. */
export function ratio(numerator: number, denominator: number): string {
  const value = numerator / denominator;
  if (!Number.isFinite(value)) return DASH;
  return `${value >= 100 ? count(value) : value.toFixed(value >= 2 ? 1 : 2)}x`;
}

/** "45 s", "12 min 5 s", "3 h 20 min". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return DASH;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A number of three significant digits, without trailing zeros or a needless exponent. */
export function short(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(3))) : DASH;
}

/** Text made safe for HTML and for SVG, in content and in quoted attributes. */
export function escapeHtml(text: string): string {
  return printable(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

function threeDigits(value: number): string {
  const magnitude = Math.abs(value);
  return value.toFixed(magnitude >= 99.95 ? 0 : magnitude >= 9.995 ? 1 : 2);
}

/** A page without scripts, links and fonts, held to that by its policy; `title` is plain text, `body` is HTML. */
export const pageOf = (title: string, css: string, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${css}</style>
</head>
<body>
${body}
</body>
</html>
`;
