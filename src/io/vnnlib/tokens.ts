/**
 * S-expressions as tokens with their lines, for VNN-LIB: parentheses and atoms, `;` comments.
 */

export interface Token {
  /** `(`, `)` or an atom. */
  readonly text: string;
  /** From 1. */
  readonly line: number;
}

/** Line feed, comment, parenthesis, or atom; blanks match nothing and are skipped. */
const TOKEN = /\n|;[^\n]*|[()]|[^\s();]+/g;

/** The tokens of `text` one at a time, so that a long file never stands in memory as tokens. */
export function* tokens(text: string): Generator<Token, void> {
  let line = 1;
  for (const [found] of text.matchAll(TOKEN)) {
    if (found === '\n') line++;
    else if (!found.startsWith(';')) yield { text: found, line };
  }
}
