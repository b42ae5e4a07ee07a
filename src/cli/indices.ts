/** Lists of positions on the command line: "0,1,2", "0-99", "3,10-12". */
import { EspalierError } from '../errors';
import { parseOptions, whole } from '../options';

const MOST = 1_000_000;

export function parseIndices(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const match = /^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(part);
    const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
    if (!match || last < first || last - first >= MOST)
      throw new EspalierError(`--index: expected whole numbers like 0,1,2 or 0-99, got "${text}".`);
    parseOptions(whole(), last, '--index');
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
