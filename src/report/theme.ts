/**
 * The colours of tables and charts, for light and for dark paper.
 *
 * Dense and pruned are a blue and an orange that stay apart under the common colour-blindnesses
 * (after Okabe & Ito 2008), lightened on dark paper; they differ in lightness too, for print in grey.
 * A chart is drawn in the light colours and is complete on its own; within a page `paint` turns them
 * into CSS variables, so that one drawing follows `prefers-color-scheme`.
 */

interface Colour {
  readonly light: string;
  readonly dark: string;
}

const colours = {
  paper: { light: '#fffefc', dark: '#16191d' },
  panel: { light: '#f5f4ef', dark: '#1f2429' },
  ink: { light: '#1d2327', dark: '#e7e8e4' },
  faint: { light: '#5c666e', dark: '#a2abb2' },
  rule: { light: '#dcdad2', dark: '#363d44' },
  shade: { light: '#efede4', dark: '#262c32' },
  dense: { light: '#1b6ca8', dark: '#63b1e8' },
  pruned: { light: '#d9730d', dark: '#f5a94a' },
  alarm: { light: '#b3261e', dark: '#ff8a80' },
} as const satisfies Readonly<Record<string, Colour>>;

export type ColourName = keyof typeof colours;

const names = Object.keys(colours) as ColourName[];

/** The light colour, for drawing. */
export function colour(name: ColourName): string {
  return colours[name].light;
}

/** The declarations `--ink: #1d2327; ...` of one scheme. */
export function variables(scheme: keyof Colour): string {
  return names.map((name) => `--${name}:${colours[name][scheme]}`).join(';');
}

/** Replaces the drawing's fills and strokes by the variables of the page. */
export function paint(svg: string): string {
  const byHex = new Map<string, ColourName>(names.map((name) => [colours[name].light, name]));
  return svg.replace(/\b(fill|stroke)="(#[0-9a-f]{6})"/g, (whole, attribute, hex) => {
    const name = byHex.get(hex);
    return name ? `${attribute}="var(--${name})"` : whole;
  });
}
