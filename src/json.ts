/**
 * JSON of files: parsed, or refused in words. Values nested deeper than anything of ours is are refused
 * before they are parsed, so that what walks over them later (checks, messages) meets no deep recursion.
 *
 * Cost: one more look at every character.
 */
import { fail } from './errors';

/** Arrays and objects inside of one another; our own files have less than ten. */
const MAX_DEPTH = 64;

/**
 * The value of a JSON text; `who` names the file and the field, `what` says what was expected there.
 * Raises EspalierError for a syntax error and for values nested more than 64 deep.
 */
export function parseJson(text: string, who: string, what = 'JSON', hint = ''): unknown {
  if (depthOf(text) > MAX_DEPTH) fail(who, what, `values nested more than ${MAX_DEPTH} deep`, hint);
  try {
    return JSON.parse(text);
  } catch (error) {
    return fail(who, what, error instanceof Error ? error.message : String(error), hint);
  }
}

/** How deep brackets outside of strings are nested, counted up to one more than is allowed. */
function depthOf(text: string): number {
  let [depth, most, inString] = [0, 0, false];
  for (let i = 0; i < text.length && most <= MAX_DEPTH; i++) {
    const char = text.charCodeAt(i);
    if (inString) {
      if (char === 0x5c) i++;
      else if (char === 0x22) inString = false;
    } else if (char === 0x22) inString = true;
    else if (char === 0x5b || char === 0x7b) most = Math.max(most, ++depth);
    else if (char === 0x5d || char === 0x7d) depth--;
  }
  return most;
}

/** JSON without blanks and with sorted keys: equal values have equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}
