/** JSON of files: parsed, or refused in a sentence. */
import { expect, fail } from './errors';

/** Deeper than anything written here; far below where a recursive walk runs out of stack. */
const MOST_NESTED = 100;

/**
 * The value of JSON text; `who` and `what` ("a network as JSON") begin every error.
 *
 * Raises EspalierError for a syntax error and for lists and objects nested more than 100 deep, which
 * whoever walks the value could not take. Cost: linear in the text.
 */
export function parseJson(text: string, who: string, what = 'JSON', hint = ''): unknown {
  const depth = nesting(text);
  expect(
    depth <= MOST_NESTED,
    who,
    `${what}, nested at most ${MOST_NESTED} deep`,
    `${depth} deep`,
    hint,
  );
  try {
    return JSON.parse(text);
  } catch (error) {
    return fail(who, what, `a syntax error: ${(error as Error).message}`, hint);
  }
}

/** How deep brackets and braces outside of strings are nested at most. */
function nesting(text: string): number {
  let [depth, most] = [0, 0];
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 0x22) {
      i++;
      while (i < text.length && text.charCodeAt(i) !== 0x22)
        i += text.charCodeAt(i) === 0x5c ? 2 : 1;
    } else if (char === 0x5b || char === 0x7b) most = Math.max(most, ++depth);
    else if (char === 0x5d || char === 0x7d) depth--;
  }
  return most;
}
