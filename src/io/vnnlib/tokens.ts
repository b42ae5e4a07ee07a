/**
 * The tokens of VNN-LIB: parentheses and atoms, with the lines they stand on; `;` comments. Indices in
 * square brackets belong to the atom before them, blanks in them included (`X[0, 1]`); a text in double quotes is
 * one atom.
 */

const LINE_FEED = 0x0a;
const BLANK = 0x20;
const OPEN = 0x28;
const CLOSE = 0x29;
const COMMENT = 0x3b;
const BRACKET = 0x5b;
const BRACKET_END = 0x5d;
const QUOTE = 0x22;

/**
 * Calls `visit` with every token (`(`, `)` or an atom) and its line, from 1, until it says false.
 * A long file never stands in memory as tokens.
 */
export function eachToken(text: string, visit: (token: string, line: number) => boolean): void {
  let line = 1;
  let at = 0;
  let more = true;
  while (more && at < text.length) {
    const code = text.charCodeAt(at);
    if (code <= BLANK) {
      if (code === LINE_FEED) line++;
      at++;
    } else if (code === COMMENT) {
      const end = text.indexOf('\n', at);
      at = end < 0 ? text.length : end;
    } else {
      const start = at;
      at = code === OPEN || code === CLOSE ? at + 1 : atomEnd(text, at);
      more = visit(text.slice(start, at), line);
      for (let i = start; i < at; i++) if (text.charCodeAt(i) === LINE_FEED) line++;
    }
  }
}

/** Where the atom that begins at `at` ends. */
function atomEnd(text: string, at: number): number {
  if (text.charCodeAt(at) === QUOTE) return quotedEnd(text, at);
  let end = at;
  for (let inside = false; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (inside ? cutsIndices(code) : isBreak(code)) break;
    if (code === BRACKET) inside = true;
    else if (code === BRACKET_END) inside = false;
  }
  return end;
}

/** Behind the quote that ends a text, which ends with its line at the latest. */
function quotedEnd(text: string, at: number): number {
  let end = at + 1;
  while (end < text.length && text.charCodeAt(end) !== LINE_FEED)
    if (text.charCodeAt(end++) === QUOTE) break;
  return end;
}

/** Whether a bracket is left open at that character: what no index holds. */
const cutsIndices = (code: number): boolean => code === OPEN || code === CLOSE || code === COMMENT;

/** Whether an atom ends before that character; NaN stands after the last. */
function isBreak(code: number): boolean {
  return !(code > BLANK) || code === OPEN || code === CLOSE || code === COMMENT;
}
