/** The pages themselves: code blocks, command lines, links, and tables that must not drift. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
// @ts-expect-error A script without types.
import { checkLayers } from '../../scripts/check-layers.mjs';
import { attacks } from '../../src/attack/attacks/registry';
import { datasets } from '../../src/data/registry';
import { zoo } from '../../src/nn/zoo';
import { parseOptions } from '../../src/options';
import { strategies } from '../../src/prune/strategies/registry';
import { applySet, DEFAULT_CONFIG, parseConfig } from '../../src/recipe/config';
import { parseSweep } from '../../src/recipe/sweep/config';
import { objectives } from '../../src/train/objectives/registry';
import { verifiers } from '../../src/verify/verifiers/registry';
import { VERSION } from '../../src/version';
import { run } from '../cli/fake';
import {
  blocksOf,
  brokenLinks,
  codeOf,
  PAGES,
  plain,
  ROOT,
  read,
  tableBelow,
  withCode,
} from './markdown';

const packageJson = JSON.parse(read('package.json')) as {
  version: string;
  scripts: Record<string, string>;
};
/** Entries that exist in worked examples only. */
const EXAMPLES = ['lamp', 'ibp-hinge', 'corners', 'split'];

describe.each(PAGES)('%s', (page) => {
  if (process.env.UPDATE_DOCS) writeFileSync(join(ROOT, page), withCode(read(page)));
  const blocks = blocksOf(read(page));

  it('shows code that is compiled and run', () => {
    for (const { language, text, marker, line } of blocks) {
      if (language !== 'ts') continue;
      expect(
        codeOf(marker),
        `${page}:${line}: a ts block needs a code marker before it`,
      ).toBeDefined();
      expect(text, `${page}:${line}: run the tests with UPDATE_DOCS=1`).toBe(codeOf(marker));
    }
  });

  it('has no blocks of a kind that nothing checks', () => {
    const languages = new Set(blocks.map(({ language }) => language));
    expect([...languages].filter((name) => !['ts', 'sh', 'diff', ''].includes(name))).toEqual([]);
  });

  it('shows command lines that parse', async () => {
    for (const { language, text } of blocks)
      if (language === 'sh') for (const line of text.split('\n')) await checkLine(line);
  });

  it('links to what is there', () => expect(brokenLinks(page)).toEqual([]));

  it('names no machine', () => {
    expect(read(page)).not.toMatch(/\/(?:home|root|tmp|work|Users)\//);
  });
});

/** Every command of a line `a && b # comment` is known, with known options and values. */
async function checkLine(line: string): Promise<void> {
  const commands = line.replace(/\s+#.*$/, '').split(' && ');
  for (const command of commands) {
    const words = command.trim().split(/\s+/);
    if (words[0] === 'npm') {
      const script = words[1] === 'run' ? words[2]! : words[1]!;
      if (script !== 'install') expect(Object.keys(packageJson.scripts), line).toContain(script);
      continue;
    }
    expect(words.slice(0, 2), line).toEqual(['npx', 'espalier']);
    const argv = words.slice(2);
    const { code, stderr } = await run([...argv, '--help']);
    expect(stderr, line).toBe('');
    expect(code, line).toBe(0);
    const config = argv.find((word) => word.endsWith('.json'));
    if (config) expect(existsSync(join(ROOT, config)), line).toBe(true);
    const sets = argv.filter((_, i) => argv[i - 1] === '--set');
    if (sets.some((set) => EXAMPLES.some((name) => set.includes(name)))) continue;
    const json = config ? JSON.parse(read(config)) : DEFAULT_CONFIG;
    if (argv[0] === 'prune') {
      const strategy = argv[argv.indexOf('--strategy') + 1 || argv.length] ?? 'magnitude';
      const own = sets.map((set) => `prune.strategy.${set}`);
      applySet({ prune: { strategy } }, own, line);
    } else if (argv[0] === 'sweep') await parseSweep(json, line, sets);
    else applySet(json, sets, line);
  }
}

describe('README.md', () => {
  it('is short', () => expect(read('README.md').split('\n').length).toBeLessThan(200));

  it('has a program of about twenty lines', () => {
    const [program] = blocksOf(read('README.md')).filter(({ language }) => language === 'ts');
    expect(program!.text.split('\n').length).toBeLessThanOrEqual(24);
  });

  it('lists every entry of the registries', () => {
    const rows = new Map(
      tableBelow(read('README.md'), 'What is in it').map(([key, v]) => [key!, v!]),
    );
    const listed = (key: string): string[] =>
      [...rows.get(key)!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
    expect(listed('data')).toEqual(Object.keys(datasets));
    expect(listed('networks').map((n) => n.replace('-D-K', ''))).toEqual(Object.keys(zoo));
    expect(listed('objectives')).toEqual(Object.keys(objectives));
    expect(listed('pruning strategies')).toEqual(Object.keys(strategies));
    expect(listed('attacks')).toEqual(Object.keys(attacks));
    expect(listed('verifiers')).toEqual(Object.keys(verifiers));
  });
});

describe('CHANGELOG.md', () => {
  it('is about this version', () => {
    expect(VERSION).toBe(packageJson.version);
    expect(read('CHANGELOG.md')).toContain(`## [${VERSION}]`);
  });
});

describe('docs/architecture.md', () => {
  it('draws the floors that the layer check has', () => {
    const rows = tableBelow(read('docs/architecture.md'), 'The floors');
    const floors = rows.map(([floor]) => plain(floor!));
    for (const [i, [floor, , cell]] of rows.entries()) {
      const names =
        cell === 'all above' ? floors.slice(0, i) : plain(cell!).split(' ').filter(Boolean);
      const allowed = floors.filter((other) => {
        const from = `${plain(floor!)}/a.ts`;
        const files = { [from]: `import '../${other}/b';`, [`${other}/b.ts`]: '' };
        return other !== plain(floor!) && checkLayers(new Map(Object.entries(files))).length === 0;
      });
      expect(names.sort(), floor).toEqual(allowed.sort());
    }
  });
});

describe('docs/formats.md', () => {
  const page = read('docs/formats.md');

  it('lists every key of the config with its default', () => {
    const config = parseConfig({}, 'the empty config');
    const options = Object.values(slotOptions).flatMap((registry) =>
      Object.values(registry).flatMap((entry) => Object.keys(entry.options.entries)),
    );
    const slots = Object.keys(slotOptions);
    const found = flat(config).filter(([key = '']) => {
      const slot = slots.find((path) => key.startsWith(`${path}.`));
      return !slot || !options.includes(key.slice(slot.length + 1));
    });
    const listed = tableBelow(page, 'Config').map((row) => row.slice(0, 2).map(plain));
    expect(listed).toEqual(found);
  });

  it('lists the options of every plug-in with their defaults', () => {
    const found = Object.entries(slotOptions).flatMap(([slot, registry]) =>
      Object.entries(registry).map(([name, { options }]) => [
        slot,
        name,
        JSON.stringify(parseOptions(options, {}, name)),
      ]),
    );
    const listed = tableBelow(page, 'Options of the slots').map((row) => row.map(plain));
    expect(listed).toEqual(found);
  });
});

const slotOptions = {
  network: zoo,
  objective: objectives,
  'prune.strategy': strategies,
  'evaluate.attack': attacks,
  'evaluate.verifier': verifiers,
};

/** Leaves of a config with their JSON; a list is a leaf. */
function flat(value: object, path = ''): string[][] {
  return Object.entries(value).flatMap(([key, inner]) => {
    const full = path ? `${path}.${key}` : key;
    const section = typeof inner === 'object' && inner !== null && !Array.isArray(inner);
    return section ? flat(inner, full) : [[full, JSON.stringify(inner)]];
  });
}

it('examples are all shown somewhere', () => {
  const text = PAGES.map(read).join('\n');
  for (const name of ['quickstart', 'certify', 'gradients', 'compact', 'verify', 'adding/split'])
    expect(text).toContain(`examples/${name}.ts`);
  expect(readFileSync(join(ROOT, 'docs/numerics.md'), 'utf8')).toContain(
    'test/docs/numerics.test.ts',
  );
});
