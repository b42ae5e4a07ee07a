/** Text fit to be shown, errors of bounded length, and JSON that is refused in words. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EspalierError, fail, describe as inWords, lookup } from '../src/errors';
import { parseJson } from '../src/json';
import { eps, parseOptions } from '../src/options';
import { suggest } from '../src/suggest';
import { clip, clipLines, printable, printableJson } from '../src/text';

/** What a terminal acts on, or what hides text: every character of these ranges. */
const isUnsafe = (code: number): boolean =>
  code < 0x20 ||
  (code >= 0x7f && code <= 0x9f) ||
  [0x61c, 0x200e, 0x200f, 0x2028, 0x2029].includes(code) ||
  (code >= 0x202a && code <= 0x202e) ||
  (code >= 0x2066 && code <= 0x2069) ||
  (code >= 0xd800 && code <= 0xdfff);

/** Any UTF-16, lone surrogates and controls often. */
const hostile = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 0xffff }),
      fc.integer({ min: 0, max: 0xa0 }),
      fc.integer({ min: 0x2000, max: 0x2070 }),
    ),
  )
  .map((codes) => String.fromCharCode(...codes));

const unsafeIn = (text: string): number[] =>
  [...text].map((c) => c.codePointAt(0)!).filter(isUnsafe);

const raised = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(EspalierError);
    return (error as Error).message;
  }
  throw new Error('nothing was raised');
};

describe('printable', () => {
  it('leaves newlines and tabs alone of all that is unsafe, and everything else as it is', () => {
    for (let code = 0; code <= 0x10ffff; code++) {
      const text = String.fromCodePoint(code);
      const kept = text === '\n' || text === '\t' || !isUnsafe(code);
      if ((printable(text) === text) !== kept) expect(code.toString(16)).toBe('shown rightly');
    }
  });

  it('stops sequences of terminals', () => {
    for (const text of ['\x1b[31mred', '\x1b]0;title\x07', '\x9b2J', 'a\rb', '\x1b]8;;x\x1b\\y'])
      expect(unsafeIn(printable(text))).toEqual([]);
  });

  it('escapes JSON without changing its value', () => {
    fc.assert(
      fc.property(hostile, hostile, (key, text) => {
        const value = { [key]: [text] };
        const json = printableJson(JSON.stringify(value, null, 2));
        expect(unsafeIn(json).filter((code) => code !== 0x0a)).toEqual([]);
        expect(JSON.parse(json)).toEqual(value);
      }),
    );
  });
});

describe('clipping', () => {
  it('says how much is missing, never cuts a pair, and leaves a clipped text alone', () => {
    const long = '\u{1f600}'.repeat(1000);
    for (const most of [99, 100]) {
      const short = clip(long, most);
      expect(short).toMatch(/^(\u{1f600}){49,50}\.\.\. \(19\d\d more\)$/u);
      expect(clip(`/some/folder/file: ${short}`, most)).toBe(`/some/folder/file: ${short}`);
    }
    expect(clip('short', 3)).toBe('short');
    const lines = clipLines('x\n'.repeat(1000), 10, 80);
    expect(lines.split('\n')).toHaveLength(11);
    expect(lines).toMatch(/\.\.\. \(991 more\)$/);
    expect(clipLines(lines, 10, 80)).toBe(lines);
  });
});

describe('errors', () => {
  it('stay short whatever they speak of', () => {
    const long = 'x'.repeat(1_000_000);
    for (const run of [
      () => fail(long, 'a', 'b'),
      () => fail('a', long, 'b'),
      () => fail('a', 'b', long),
      () => fail('a', 'b', 'c', long),
      () => lookup({ ibp: 1 }, long, 'objective'),
      () => parseOptions(eps(), long, 'eps'),
    ])
      expect(raised(run).length).toBeLessThan(3000);
    const many = new EspalierError(Array.from({ length: 1e5 }, (_, i) => `${i}`).join('\n'));
    expect(many.message.split('\n')).toHaveLength(41);
    expect(many.message).toContain('(99960 more)');
  });

  it('say any value in words', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 20_000; i++) deep = i % 2 ? [deep] : { a: deep };
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    expect(inWords(deep)).toMatch(/^(a list of 1 items|an object)$/);
    expect(inWords({ deep })).toBe('an object');
    expect(inWords(circle)).toBe('an object');
    expect(inWords(10n)).toBe('10');
    expect(inWords({ big: 10n })).toBe('an object');
    expect(inWords([1, 'a', null])).toBe('[1,"a",null]');
    expect(inWords([1, 2])).toBe('[1, 2]');
    expect(inWords(Symbol('s'))).toBe('Symbol(s)');
  });

  it('suggest from keys of about the same length only', () => {
    expect(suggest('magnitud', ['magnitude', 'filter'])).toBe('Did you mean "magnitude"?');
    expect(suggest('m'.repeat(1_000_000), ['magnitude'])).toBe('Known: magnitude.');
  });
});

describe('a radius as text', () => {
  it('is a number or a quotient of two', () => {
    const cases: [string, number][] = [
      ['8/255', 8 / 255],
      ['.5', 0.5],
      [' 0.1 ', 0.1],
      ['1e-3', 1e-3],
      ['2.5/10', 0.25],
      ['1', 1],
    ];
    for (const [text, value] of cases) expect(parseOptions(eps(), text, 'eps')).toBe(value);
    for (const text of ['', '.', '1.', '1..2', '1/0', '0x1', '-1', '8/', '/8', 'Infinity'])
      expect(raised(() => parseOptions(eps(), text, 'eps'))).toContain('a radius in (0, 1]');
  });

  it('is read in time linear in the text: steps of an expression that is quadratic take minutes', () => {
    const digits = '1'.repeat(100_000);
    for (const text of [`${digits}x`, `.${digits}x`, `${' '.repeat(100_000)}x`, `1/${digits}x`])
      raised(() => parseOptions(eps(), text, 'eps'));
    raised(() => parseOptions(eps(), `1${' '.repeat(100_000)}/x`, 'eps'));
  });
});

describe('parseJson', () => {
  it('is JSON.parse where that is not nested deeply', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        expect(parseJson(text, 'f')).toEqual(JSON.parse(text));
      }),
    );
    expect(parseJson('"[[[\\"{{{"', 'f')).toBe('[[["{{{');
  });

  it('refuses deep nesting and bad syntax in a sentence', () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const)
      expect(
        raised(() => parseJson(`${open.repeat(20_000)}1${close.repeat(20_000)}`, 'f')),
      ).toContain('f: expected JSON, got values nested more than 64 deep.');
    expect(parseJson(`${'['.repeat(64)}${']'.repeat(64)}`, 'f')).toBeDefined();
    expect(raised(() => parseJson('{"a', 'f'))).toMatch(/^f: expected JSON, got .*JSON/);
    expect(raised(() => parseJson('"\\', 'f'))).toMatch(/^f: expected JSON, got .*JSON/);
  });
});
