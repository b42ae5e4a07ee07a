/** Hostile values of every argument and of every option of every registry: refused in a sentence. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attacks } from '../../src/attack/attacks/registry';
import { COMMANDS } from '../../src/cli/main';
import { EspalierError } from '../../src/errors';
import { compile } from '../../src/nn/graph';
import { layers } from '../../src/nn/layers/registry';
import { buildNetwork, zoo } from '../../src/nn/zoo';
import { parseOptions } from '../../src/options';
import { strategies } from '../../src/prune/strategies/registry';
import { applySet } from '../../src/recipe/config';
import { objectives } from '../../src/train/objectives/registry';
import { verifiers } from '../../src/verify/verifiers/registry';
import { run } from './fake';

const NESTED = JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`) as unknown;
const LONG = 'x'.repeat(200_000);
const ESCAPES = '\x1b[31m\x9b2J\u202e\ud800';

/** What no option takes, or takes and survives. */
const VALUES: readonly unknown[] = [
  ...[Number.NaN, Number.POSITIVE_INFINITY, -1, 0, 0.5, 1e308, 2 ** 31, 2 ** 53, -0, 10n],
  ...['', LONG, ESCAPES, '__proto__', '1'.repeat(100_000), true, null, undefined, Symbol('s')],
  ...[NESTED, [], [[]], {}, { name: LONG }, Array(10_000).fill(1e9), () => 1, new Date(Number.NaN)],
];

/** Runs; nothing but an EspalierError of a length that is read may be raised. */
function survives(what: string, run: () => unknown): void {
  try {
    run();
  } catch (error) {
    expect(error, `${what}: ${String(error).slice(0, 300)}`).toBeInstanceOf(EspalierError);
    expect((error as Error).message.length, what).toBeLessThan(20_000);
  }
}

const TEXTS = [
  ...[
    '',
    ' ',
    'NaN',
    '-1',
    '1e999',
    '1e308',
    '0',
    '0.5',
    '99999999999999999999',
    '0x10',
    '1/0',
    ',',
  ],
  ...[
    '8/255',
    '1,2,3',
    'a=b',
    '__proto__',
    'constructor=1',
    '__proto__.x=1',
    LONG,
    ESCAPES,
    './..',
  ],
  ...[
    `${'1'.repeat(100_000)}x`,
    `${' '.repeat(100_000)}x`,
    '1,'.repeat(50_000),
    '[['.repeat(50_000),
  ],
];

describe('arguments', () => {
  // Some are names of files to write.
  const before = process.cwd();
  const folder = mkdtempSync(join(tmpdir(), 'espalier-args-'));
  beforeAll(() => process.chdir(folder));
  afterAll(() => {
    process.chdir(before);
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(Object.keys(COMMANDS))(
    'of %s',
    async (name) => {
      const { command } = await COMMANDS[name]!.load();
      const entries = Object.entries(command.args);
      const needed = entries
        .filter(([, def]) => def.type === 'positional')
        .map(() => 'nothing-here');
      // Doctor measures the machine each time.
      const texts = name === 'doctor' ? TEXTS.slice(0, 5) : TEXTS;
      for (const [option, def] of entries)
        for (const text of texts) {
          const argv = def.type === 'positional' ? [text] : [...needed, `--${option}=${text}`];
          const { code, stdout, stderr } = await run([name, ...argv]);
          const what = `${name} --${option}=${text.slice(0, 30)}: ${stderr.slice(0, 300)}`;
          expect([0, 1, 2], what).toContain(code);
          expect(stdout.length + stderr.length, what).toBeLessThan(30_000);
          expect(/[\p{Cc}\p{Bidi_Control}]/u.test((stdout + stderr).replace(/\n/g, '')), what).toBe(
            false,
          );
        }
    },
    600_000,
  );
});

const REGISTRIES = { objectives, strategies, attacks, verifiers, layers, zoo };

describe('options', () => {
  it.each(Object.entries(REGISTRIES))('of %s', (_, registry) => {
    for (const [name, { options }] of Object.entries(registry)) {
      for (const key of [
        ...Object.keys(options.entries),
        '__proto__',
        'constructor',
        ESCAPES,
        LONG,
      ])
        for (const value of VALUES)
          survives(`${name}.${key.slice(0, 20)}`, () =>
            parseOptions(options, Object.fromEntries([[key, value]]), name),
          );
      for (const value of VALUES) survives(name, () => parseOptions(options, value, name));
    }
  });

  it('of layers, in networks', () => {
    for (const [layer, { options }] of Object.entries(layers))
      for (const key of Object.keys(options.entries))
        for (const value of VALUES)
          for (const input of [[4], [2, 3, 3], [1e5, 1e5], []])
            survives(`${layer}.${key}`, () => {
              const given = { ...SOUND[layer], [key]: value };
              compile({ name: 'n', input, nodes: [{ name: 'a', layer, options: given }] });
            });
  });

  it('of networks of the zoo', () => {
    for (const [name, { options }] of Object.entries(zoo))
      for (const key of Object.keys(options.entries))
        for (const value of VALUES)
          for (const input of [[4], [1, 8, 8], [], [1e9, 1e9, 1e9]])
            survives(`${name}.${key}`, () =>
              compile(buildNetwork(name, { [key]: value }, input, 10)),
            );
    for (const name of ['wrn-1000000000-1', `wrn-${'9'.repeat(400)}-1`, 'wrn-10-99999999999', LONG])
      survives(name.slice(0, 20), () => buildNetwork(name, {}, [1, 8, 8], 10));
  });

  it('of a config', () => {
    const keys = ['name', 'seed', 'data', 'data.path', 'network', 'objective', 'objective.eps'];
    for (const key of [
      ...keys,
      'pretrain',
      'pretrain.schedule',
      'prune.strategy',
      'evaluate.attack',
    ])
      for (const text of [
        ...TEXTS.slice(0, 20),
        'null',
        '[]',
        '{}',
        '1e999',
        '{"name":1}',
        '{"__proto__":1}',
      ])
        survives(`${key}=${text.slice(0, 20)}`, () => applySet({}, [`${key}=${text}`]));
    for (const set of [
      '=',
      'a',
      '__proto__=1',
      '__proto__.polluted=1',
      'constructor.prototype.polluted=1',
      `${'a.'.repeat(40_000)}b=1`,
    ])
      survives(set.slice(0, 20), () => applySet({}, [set]));
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

/** Options that a layer needs beside the one that is tried. */
const SOUND: Readonly<Record<string, Record<string, unknown>>> = {
  conv2d: { channels: 1, kernel: 1 },
  'max-pool': { kernel: 1 },
  'avg-pool': { kernel: 1 },
  pad: { before: [0], after: [0] },
  select: { indices: [0] },
  normalise: { mean: [0], std: [1] },
};
