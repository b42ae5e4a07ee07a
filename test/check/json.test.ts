/** The strict reader of JSON: what JSON.parse makes of the same text, or a sentence; never more than that. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readJson } from '../../src/check/json';
import { EspalierError } from '../../src/errors';

const RESERVED = /"(__proto__|constructor|prototype)":/;

describe('readJson', () => {
  it('reads what JavaScript writes, with or without blanks', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 8 }),
        fc.constantFrom(undefined, 1, '\t'),
        (value, by) => {
          const text = JSON.stringify(value, null, by);
          fc.pre(!RESERVED.test(text));
          expect(readJson(text, 'x')).toEqual(JSON.parse(text));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('accepts nothing that JSON.parse reads otherwise', () => {
    const piece = fc.constantFrom(
      ...[
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '"a"',
        '"b"',
        '"\\u0061"',
        '"',
        '\\',
        '1',
        '-0',
        '0.5',
        '1e400',
      ],
      ...['1e-7', '00', 'true', 'null', 'NaN', ' ', '\n', '\u00a0', '\0', '{"a":1}', '[]'],
    );
    let [accepted, refused] = [0, 0];
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
        const text = pieces.join('');
        let value: unknown;
        try {
          value = readJson(text, 'x');
        } catch (error) {
          expect(error).toBeInstanceOf(EspalierError);
          refused++;
          return;
        }
        accepted++;
        expect(value).toEqual(JSON.parse(text));
        expect(JSON.stringify(value)).toBe(JSON.stringify(JSON.parse(text)));
      }),
      { numRuns: 5000 },
    );
    expect(Math.min(accepted, refused)).toBeGreaterThan(100);
  });

  it.each([
    ['{"a":1,"a":1}', /every name once, got "a" twice/],
    ['{"a":1,"\\u0061":2}', /every name once/],
    ['[{"b":{"a":1,"c":2,"a":3}}]', /"a" twice/],
    ['[1e400]', /finite numbers as JavaScript writes them .* got 1e400/],
    ['[-0]', /got -0/],
    ['[1.0]', /got 1\.0/],
    ['[0.30000000000000000001]', /got 0\.300/],
    [`[${'1'.repeat(1e6)}]`, /finite numbers/],
    ['{"__proto__":{}}', /names of fields and nodes/],
    ['[1', /a comma or \] at character 2, got the end of the text/],
    ['["a', /a closing quote/],
    ['["\\x"]', /a string at character 1/],
    ['["\n"]', /a string/],
    ['', /a value at character 0, got the end of the text/],
    ['1 2', /its end at character 2, got "2"/],
    ['['.repeat(1e6), /brackets at most 16 deep/],
    [`${'{"a":'.repeat(2e4)}1${'}'.repeat(2e4)}`, /brackets at most 16 deep/],
  ])('refuses %#', (text, what) => {
    expect(() => readJson(text, 'x')).toThrow(what);
  });
});
