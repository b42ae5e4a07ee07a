/**
 * The tokens of VNN-LIB: parentheses and atoms, with the lines they stand on; `;` comments.
 */

const LINE_FEED = 0x0a;
const BLANK = 0x20;
const OPEN = 0x28;
const CLOSE = 0x29;
const COMMENT = 0x3b;

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
      const start = at++;
      if (code !== OPEN && code !== CLOSE) while (!isBreak(text.charCodeAt(at))) at++;
      more = visit(text.slice(start, at), line);
    }
  }
}

/** Whether an atom ends before that character; NaN stands after the last. */
function isBreak(code: number): boolean {
  return !(code > BLANK) || code === OPEN || code === CLOSE || code === COMMENT;
}
