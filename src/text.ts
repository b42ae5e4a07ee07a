/**
 * Text of files and users, made fit to be shown: without what would act on a terminal, and no longer
 * than somebody reads. What it is about stays whole; only the showing is cut.
 */

/**
 * Control characters (C0, DEL, C1), controls of direction (U+202E and kin), lone surrogates and
 * Unicode's own line ends: they move a cursor, hide or reorder what stands beside them.
 */
const UNSAFE = /[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]/gu;

/** `text` with U+FFFD for every unsafe character but newline and tab. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (c) => (c === '\n' || c === '\t' ? c : '\ufffd'));
}

/** JSON of the same value, as JSON.stringify gives it, with unsafe characters escaped. */
export function printableJson(json: string): string {
  return json.replace(UNSAFE, (c) =>
    c === '\n' ? c : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Room for a second clipping: a text that was clipped, put behind a path, stays as it is. */
const SLACK = 200;

/** The first `most` UTF-16 units of `text` and how many follow; a little longer text stays whole. */
export function clip(text: string, most: number): string {
  if (text.length <= most + SLACK) return text;
  // Not through the middle of a pair.
  const end = /[\ud800-\udbff]/.test(text[most - 1]!) ? most - 1 : most;
  return `${text.slice(0, end)}... (${text.length - end} more)`;
}

/** The first `mostItems`, each clipped to `most`, and how many follow; one more stays whole. */
export function clipList(items: readonly string[], mostItems: number, most: number): string[] {
  const over = items.length - mostItems;
  const shown = over > 1 ? [...items.slice(0, mostItems), `... (${over} more)`] : items;
  return shown.map((item) => clip(item, most));
}

/** `clipList` of the lines of a text. */
export function clipLines(text: string, mostLines: number, most: number): string {
  return clipList(text.split('\n'), mostLines, most).join('\n');
}
