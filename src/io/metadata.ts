/** The metadata of our own files: a format mark and JSON values, as strings in `__metadata__`. */
import { expect } from '../errors';
import { parseJson } from '../json';
import { clip } from '../text';
import type { Decoded } from './safetensors';

/** The mark of compact models, which `compact.ts` reads. */
export const COMPACT = 'espalier-compact/1';

/** Whether a safetensors file is a compact model, of any version. */
export const isCompact = ({ metadata }: Decoded): boolean =>
  metadata.format?.startsWith('espalier-compact/') === true;

/** JSON values by key; `network` is always there. */
export type Metadata = Readonly<Record<string, unknown>>;

/** Everything but the mark, which must be `format`, a name and a version such as `espalier/1`. */
export function parseMetadata({ metadata }: Decoded, format: string, path: string): Metadata {
  const [kind, version] = format.split('/') as [string, string];
  const [found, other] = (metadata.format ?? '').split('/');
  const marked = found === kind && other !== undefined;
  const got =
    metadata.format === undefined ? 'safetensors without that mark' : `format ${metadata.format}`;
  const newer = marked && Number(other) > Number(version);
  const hint = newer ? 'The file is of a newer version: update espalier to read it.' : '';
  expect(metadata.format === format, path, `an espalier model (format ${format})`, got, hint);
  const parsed: [string, unknown][] = [];
  for (const [key, text] of Object.entries(metadata)) {
    if (key === 'format') continue;
    parsed.push([key, parseJson(text, path, `JSON in the metadata ${clip(key, 80)}`)]);
  }
  return Object.fromEntries(parsed);
}
