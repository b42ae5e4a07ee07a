/**
 * Reads the project's markdown: fenced blocks, tables, links, and the markers that tie a block to the
 * code it shows.
 *
 * `<!-- code: examples/adding/split.ts as src/verify/verifiers/split.ts -->` before a ts block says
 * that the block is that file (or its region `#program`) as it would read at the other place: import
 * paths are rewritten. UPDATE_DOCS=1 writes the blocks anew instead of comparing them.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** README, CHANGELOG and docs/, relative to the root. */
export const PAGES: readonly string[] = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

export const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

export interface Block {
  readonly language: string;
  readonly text: string;
  /** The line before the fence. */
  readonly marker: string;
  /** 1-based line of the fence. */
  readonly line: number;
}

export function blocksOf(markdown: string): Block[] {
  const lines = markdown.split('\n');
  const blocks: Block[] = [];
  for (let i = 0; i < lines.length; i++) {
    const fence = /^```(\w*)$/.exec(lines[i]!);
    if (!fence) continue;
    const end = lines.indexOf('```', i + 1);
    const text = lines.slice(i + 1, end).join('\n');
    blocks.push({ language: fence[1]!, text, marker: lines[i - 1] ?? '', line: i + 1 });
    i = end;
  }
  return blocks;
}

/** What users import instead. */
const PUBLISHED: Readonly<Record<string, string>> = {
  'src/index': 'espalier',
  'src/edge/index': 'espalier/runtime',
  'build/runtime.wasm': 'espalier/runtime.wasm',
};

/** The code a marker names, as the block must show it; undefined where it is no marker. */
export function codeOf(marker: string): string | undefined {
  const match = /^<!-- code: (\S+?)(?:#(\w+))?(?: as (\S+))? -->$/.exec(marker);
  if (!match) return undefined;
  const [, file, region, home = 'here.ts'] = match;
  const text = regionOf(read(file!), region);
  return text.replace(/from '(\.[^']+)'/g, (_, to: string) => {
    const target = normalize(join(dirname(file!), to));
    const own = PUBLISHED[target.replace(/\?.*/, '')];
    if (own) return `from '${own}${target.replace(/^[^?]*/, '')}'`;
    const path = relative(dirname(home), target);
    return `from '${path.startsWith('.') ? path : `./${path}`}'`;
  });
}

function regionOf(text: string, region: string | undefined): string {
  if (region === undefined) return text.trimEnd();
  const start = text.indexOf(`// #region ${region}\n`);
  const body = text.slice(text.indexOf('\n', start) + 1);
  return body.slice(0, body.indexOf('// #endregion')).trimEnd();
}

/** The page with every marked block as its code has it. */
export function withCode(markdown: string): string {
  return markdown.replace(
    /(<!-- code: .* -->)\n```ts\n[\s\S]*?\n?```(?=\n|$)/g,
    (_, marker: string) => `${marker}\n\`\`\`ts\n${codeOf(marker)}\n\`\`\``,
  );
}

/** Cells of the first table below the heading, without its header; code marks are taken off. */
export function tableBelow(markdown: string, heading: string): string[][] {
  const lines = markdown.split('\n');
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.endsWith(` ${heading}`));
  if (start < 0) throw new Error(`no heading ${heading}`);
  const first = lines.findIndex((line, i) => i > start && line.startsWith('|'));
  const last = lines.findIndex((line, i) => i > first && !line.startsWith('|'));
  return lines.slice(first + 2, last < 0 ? undefined : last).map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll('\\|', '|')),
  );
}

/** A cell without its backticks. */
export const plain = (cell: string): string => cell.replaceAll('`', '');

/** Targets of the page's relative links that lead nowhere. */
export function brokenLinks(page: string): string[] {
  const outside = read(page).replace(/```[\s\S]*?```/g, '');
  return [...outside.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1]!)
    .filter((to) => !/^[a-z]+:/.test(to))
    .filter((to) => {
      const [file, anchor] = to.split('#') as [string, string?];
      const target = file === '' ? page : join(dirname(page), file);
      if (!existsSync(join(ROOT, target))) return true;
      return anchor !== undefined && !anchors(read(target)).includes(anchor);
    });
}

function anchors(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map((match) =>
    match[1]!
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

/** Paths of all leaves of a JSON value; list elements are `[]`. */
export function leaves(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) {
    const inner = value.flatMap((one) => leaves(one, `${path}[]`));
    return inner.length > 0 ? [...new Set(inner)] : [`${path}[]`];
  }
  if (typeof value !== 'object' || value === null) return [path];
  return [
    ...new Set(
      Object.entries(value).flatMap(([key, inner]) => leaves(inner, path ? `${path}.${key}` : key)),
    ),
  ];
}
