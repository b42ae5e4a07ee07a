/**
 * VNN-LIB: the competition's files, the algebra of cases, errors with their lines, hostile texts.
 */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EspalierError } from '../../src/errors';
import { formatResult, isUnsafe, parseVnnlib } from '../../src/io/vnnlib';
import { VNNLIB, vnnlibSeeds } from '../helpers/format-seeds';
import { fuzz } from '../helpers/mutate';
import { sampler } from '../helpers/random';

const parse = (text: string) => parseVnnlib(text, 'p.vnnlib');
const DECLARED = [
  ...['X_0', 'X_1', 'Y_0', 'Y_1'].map((name) => `(declare-const ${name} Real)`),
  '(assert (>= X_0 0)) (assert (<= X_0 1)) (assert (>= X_1 0)) (assert (<= X_1 1))',
].join('\n');
/** The property of asserts on two inputs in [0, 1] and two outputs; its lines begin at 6. */
const given = (...asserts: string[]) =>
  parse([DECLARED, ...asserts.map((formula) => `(assert ${formula})`)].join('\n'));
const rows = (...asserts: string[]) =>
  given(...asserts).cases.map(({ lo, hi, unsafe }) => [
    [...lo, ...hi].join(),
    ...unsafe.map((c) => c.rows.map((row, k) => `${[...row]} <= ${c.rhs[k]}`).join(' & ')),
  ]);
const problems = (text: string): string[] => {
  try {
    parse(text);
  } catch (error) {
    expect(error).toBeInstanceOf(EspalierError);
    return (error as Error).message.split('\n');
  }
  return [];
};

interface Instance {
  readonly id: string;
  readonly vnnlib: string;
  readonly n_inputs: number;
  readonly boxes: number;
  readonly disjuncts: number;
  readonly counterexample?: { readonly x: number[]; readonly y_float64: number[] };
}

const FOLDER = '../shared/goldens/vnnlib';
const instances: Instance[] = existsSync(`${FOLDER}/instances.json`)
  ? JSON.parse(readFileSync(`${FOLDER}/instances.json`, 'utf8')).instances
  : [];

describe.skipIf(instances.length === 0)('VNN-COMP 2021 (shared/goldens/vnnlib)', () => {
  it.each(instances)('$id', ({ vnnlib, n_inputs, boxes, disjuncts, counterexample }) => {
    const property = parseVnnlib(readFileSync(`${FOLDER}/${vnnlib}`, 'utf8'), vnnlib);
    expect(property.inputs).toBe(n_inputs);
    expect(property.cases.length).toBe(boxes);
    expect(property.cases.flatMap(({ unsafe }) => unsafe).length).toBe(disjuncts);
    for (const { lo, hi } of property.cases)
      for (let i = 0; i < n_inputs; i++) expect(lo[i]).toBeLessThanOrEqual(hi[i]!);
    if (!counterexample) return;
    expect(isUnsafe(property, counterexample.x, counterexample.y_float64)).toBe(true);
    const outside = counterexample.x.map((value, i) => (i === 0 ? value + 100 : value));
    expect(isUnsafe(property, outside, counterexample.y_float64)).toBe(false);
  });
});

describe('cases', () => {
  it('are one box with a disjunct for a conjunction of asserts', () => {
    expect(rows('(<= Y_0 Y_1)', '(>= Y_0 2)', '(<= X_0 0.5)')).toEqual([
      ['0,0,0.5,1', '1,-1 <= 0 & -1,0 <= -2'],
    ]);
  });

  it('take linear terms on both sides', () => {
    expect(rows('(<= (+ (* 2 Y_0 -3) (- Y_1) 1) (- (+ Y_0 4) (* Y_1 .5) 1))')).toEqual([
      ['0,0,1,1', '-7,-0.5 <= 2'],
    ]);
    expect(rows('(>= (- Y_0 Y_0 Y_1) 1e-1)')).toEqual([['0,0,1,1', '0,1 <= -0.09999999999999999']]);
    expect(rows('(<= (* 2 (- X_0)) -0.5)', '(<= Y_0 0)')[0]![0]).toBe('0.25,0,1,1');
  });

  it('gather disjuncts of one box, and split boxes', () => {
    expect(
      rows(
        '(or (and (<= X_0 0.5) (<= Y_0 0)) (and (>= X_0 0.5) (<= Y_0 1)) (and (<= X_0 0.5) (<= Y_0 2)))',
      ),
    ).toEqual([
      ['0,0,0.5,1', '1,0 <= 0', '1,0 <= 2'],
      ['0.5,0,1,1', '1,0 <= 1'],
    ]);
  });

  it('multiply disjunctions out, leaving empty boxes away', () => {
    const found = rows(
      '(or (<= X_0 0.2) (>= X_0 0.8))',
      '(or (<= X_0 0.1) (>= Y_1 0))',
      '(and (or (<= Y_0 5)))',
    );
    expect(found).toEqual([
      ['0,0,0.1,1', '1,0 <= 5'],
      ['0,0,0.2,1', '1,0 <= 5 & 0,-1 <= 0'],
      ['0.7999999999999999,0,1,1', '1,0 <= 5 & 0,-1 <= 0'],
    ]);
  });

  it('know constants: true changes nothing, false empties', () => {
    expect(rows('(or (<= 1 0) (<= Y_0 1))', '(<= 0 1)')).toEqual([['0,0,1,1', '1,0 <= 1']]);
    expect(() => given('(<= 1 0)')).toThrow(
      'bounds that some input satisfies, got a contradiction',
    );
    expect(() => given('(<= X_0 -1)')).toThrow('got a contradiction');
  });

  it('agree with the formula at sampled points', () => {
    const property = parse(VNNLIB);
    const s = sampler(3);
    let hits = 0;
    for (let i = 0; i < 5000; i++) {
      const [a, b, c, d] = [s.real(-1, 0.5), s.real(0, 5), s.real(-3, 3), s.real(-3, 3)];
      const first = (1 <= b && b <= 1.5) || (3 <= b && b <= 4 && c <= 0);
      const second = (2 * c - d <= 3 && d >= c) || c <= d;
      const unsafe = a >= -0.5 && a <= 0.1 && first && second;
      expect(isUnsafe(property, [a, b], [c, d])).toBe(unsafe);
      if (unsafe) hits++;
    }
    expect(hits).toBeGreaterThan(50);
  });

  it('take declare-fun and skip what changes nothing', () => {
    const text = DECLARED.replace('(declare-const Y_1 Real)', '(declare-fun Y_1 () Real)');
    expect(parse(`(set-logic QF_LRA)\n${text}\n(assert (<= Y_1 0))(check-sat)`).outputs).toBe(2);
  });
});

describe('version 2.0', () => {
  const two = (sort: string, version = '<2.0>') =>
    `(vnnlib-version ${version})(declare-network f (declare-input X ${sort} [1, 1])` +
    `(declare-output Y ${sort} [1]))(assert (and (>= X[0,0] 0) (<= X[0,0] 1) (<= Y[0] 0)))`;

  it('takes the sorts of the standard and of files, in any letters', () => {
    for (const sort of ['real', 'Real', 'float32', 'Float32', 'float64', 'double'])
      expect(parse(two(sort)).cases).toHaveLength(1);
    expect(problems(two('float16'))[0]).toContain('expected the sort real, float, float32');
  });

  it('is told from versions that nobody has read', () => {
    for (const version of ['<1.0>', '2', '<2.0.1>'])
      expect(parse(two('real', version)).inputs).toBe(1);
    for (const version of ['<3.0>', '20', ''])
      expect(problems(two('real', version))[0]).toContain('expected version 1 or 2 of VNN-LIB');
  });
});

describe('several networks', () => {
  const network = (name: string, more = '', size = 2) =>
    `(declare-network ${name} ${more} (declare-input X_${name} real [1, ${size}])(declare-output Y_${name} real [2]))`;
  const box = '(assert (and (>= X_f[0,0] 0) (<= X_f[0,0] 1) (>= X_f[0,1] 0) (<= X_f[0,1] 1)))';
  const same = '(assert (and (== X_f[0,0] X_g[0,0]) (= X_g[0,1] X_f[0,1])))';
  const two = (...asserts: string[]) =>
    [network('f'), network('g'), box, ...asserts.map((a) => `(assert ${a})`)].join('\n');

  it('share an input, and have their outputs side by side', () => {
    const text = `${two('(or (> (- Y_f[0] Y_g[0]) 0.05) (< Y_f[1] (- Y_g[1] 0.05)))')}${same}`;
    const { inputs, outputs, networks, cases } = parse(`${text}(assert (<= X_g[0,0] 0.5))`);
    expect([inputs, outputs, networks.map(({ name }) => name)]).toEqual([2, 4, ['f', 'g']]);
    expect([...cases[0]!.lo, ...cases[0]!.hi]).toEqual([0, 0, 0.5, 1]);
    expect(cases[0]!.unsafe.map(({ rows: [row] }) => [...row!])).toEqual([
      [-1, 0, 1, 0],
      [0, 1, 0, -1],
    ]);
  });

  it('may be linked through each other, in any order', () => {
    const links = [
      'X_h[0,0] X_g[0,0]',
      'X_h[0,1] X_g[0,1]',
      'X_g[0,0] X_f[0,0]',
      'X_f[0,1] X_g[0,1]',
    ];
    const asserts = links.map((pair) => `(assert (== ${pair}))`).join('');
    const text = [
      network('f'),
      network('g', '(equal-to f)'),
      network('h', '(isomorphic-to g)'),
      box,
    ];
    const { inputs, outputs, networks } = parse(`${text.join('')}${asserts}(assert (<= Y_h[1] 0))`);
    expect([inputs, outputs]).toEqual([2, 6]);
    expect(networks.map(({ relation }) => relation?.how)).toEqual([
      ...[undefined, 'equal-to', 'isomorphic-to'],
    ]);
  });

  it.each([
    [
      'no links',
      two('(<= Y_f[0] Y_g[0])'),
      /share their input, \(assert \(== X_f\[0,0\] X_g\[0,0\]\)\)/,
    ],
    ['crossed links', two('(== X_f[0,0] X_g[0,1])', '(== X_f[0,1] X_g[0,0])'), /share their input/],
    ['links of all to one', `${two('(== X_g[0,0] X_f[0,1])')}${same}`, /got more/],
    [
      'links in an or',
      `${two('(or (== X_f[0,0] X_g[0,0]) (<= Y_f[0] 0))')}${same}`,
      /outside of any or/,
    ],
    ['equal inputs of one', two('(== X_f[0,0] X_f[0,1])'), /line 4: .*got a relation/],
    ['inputs that differ', two('(<= X_f[0,0] X_g[0,0])'), /line 4: .*got a relation/],
    ['inputs a step apart', two('(== X_f[0,0] (+ X_g[0,0] 0.1))'), /line 4: .*got a relation/],
    ['multiples', two('(== X_f[0,0] (* 2 X_g[0,0]))'), /line 4: .*got a relation/],
    [
      'other sizes',
      network('f') + network('g', '', 3) + box,
      /share the 2 inputs of f, got another/,
    ],
    ['one name', `${network('f')}\n${network('f')}`, /line 2: expected one network "f", got two/],
    [
      'a tensor’s name twice',
      `${network('f')}(declare-network g (declare-input X_f real [1])(declare-output Y real [1]))`,
      /another name for each tensor, got "X_f" twice/,
    ],
    ['an unknown relation', network('f', '(equal-to g)'), /declared before, got "g"/],
    [
      'a relation of other shapes',
      network('f') + network('g', '(equal-to f)', 3),
      /the shapes of "f"/,
    ],
    ['two relations', network('f') + network('g', '(equal-to f)(equal-to f)'), /got another form/],
    [
      'two inputs',
      '(declare-network f (declare-input A real [1])(declare-input B real [1])(declare-output Y real [1]))',
      /one input and one output each/,
    ],
    [
      'hidden values',
      '(declare-network f (declare-input A real [1])(declare-hidden H real [1] "h")(declare-output Y real [1]))',
      /got a hidden tensor/,
    ],
    ['a relation in an assert', `${network('f')}(assert (equal-to f))`, /expected one comparison/],
    [
      'networks beside variables',
      `(declare-const X_0 Real)${network('f')}`,
      /no network beside variables/,
    ],
  ])('are refused: %s', (_, text, message) => {
    expect(problems(text).join('\n')).toMatch(message);
  });

  it('may name their tensors in the file', () => {
    const text = `(declare-network f (declare-input X real [2] "in; (a) b")(declare-output Y real [1] "out"))${[
      0, 1,
    ]
      .map((i) => `(assert (>= X[${i}] 0))(assert (<= X[${i}] 1))`)
      .join('')}`;
    const [f] = parse(text).networks;
    expect([f!.input.onnx, f!.output.onnx]).toEqual(['in; (a) b', 'out']);
    expect(problems(text.replace('"out"', '"out')).length).toBeGreaterThan(0);
    expect(problems(text.replace('"out"', 'out'))[0]).toContain('name of the ONNX file in quotes');
  });
});

describe('errors', () => {
  it('come all at once, each with its line', () => {
    expect(
      problems(
        [
          '(declare-const X_0 Real)',
          '(declare-const Y_0 Int)',
          '(declare-const Y_0 Real) (declare-const Z_0 Real)',
          '(assert (<= X_0 (* Y_0 Y_0)))',
          '(assert (~ X_0 1))',
          '(assert (and (<= X_1 1) (foo)))',
          '(assert (<= X_0 Y_0))',
          '(assert (<= X_0 1 2))',
          '(assert (+ X_0 1))',
          '(assert (<= X_0 1e9999))',
          '(minimize Y_0)',
          '(assert (or))',
        ].join('\n'),
      ).map((line) => line.replace(/^p\.vnnlib, /, '')),
    ).toEqual([
      'line 2: expected the sort Real, got "Int".',
      'line 3: expected X_i or Y_j below 500000, got "Z_0".',
      'line 4: expected at most one factor with variables, got a non-linear term.',
      'line 5: expected an operator of <= >= < > == = != and or + - *, got "~".',
      'line 6: expected a declared variable, got X_1, which is not.',
      'line 6: expected an operator of <= >= < > == = != and or + - *, got "foo".',
      'line 7: expected a constraint on one input or on outputs, got a relation.',
      'line 8: expected 2 arguments of <=, got 3.',
      'line 9: expected one comparison, and, or or, got something else.',
      'line 10: expected a variable or a number of at most 2000 places, got "1e9999".',
      expect.stringMatching(/^line 11: expected vnnlib-version, .*, got "minimize"\.$/),
      'line 12: expected arguments of or, got none.',
    ]);
  });

  it('name inputs without bounds, gaps and missing variables', () => {
    expect(problems('(declare-const X_1 Real)')).toEqual([
      'p.vnnlib: expected X_0 to be declared, as a later one is, got none.',
      'p.vnnlib: expected (declare-const Y_0 Real), got none.',
    ]);
    const text = '(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)';
    expect(problems(`${text}(assert (<= X_0 1))`)).toEqual([
      'p.vnnlib: expected a lower and an upper bound of every input, got none for ' +
        'X_0 >= ?, X_1 >= ?, X_1 <= ?.',
    ]);
  });

  it('are syntax errors where the brackets are wrong', () => {
    expect(problems('(assert (<= X_0')[0]).toContain('expected 2 more ")"');
    expect(problems('\n)')[0]).toBe('p.vnnlib, line 2: expected "(", got ")".');
    expect(problems('X_0')[0]).toBe('p.vnnlib, line 1: expected "(", got "X_0".');
    expect(problems('((a) b)')[0]).toContain('line 1: expected');
    expect(problems('(assert (assert (<= 0 1)))')[0]).toContain('expected an operator');
    expect(problems('')).toHaveLength(2);
  });

  it('stop at twenty', () => {
    expect(problems('(foo)\n'.repeat(100))).toHaveLength(20);
  });
});

describe('hostile texts', () => {
  const or = (n: number) =>
    `(or ${Array.from({ length: n }, (_, i) => `(<= Y_0 ${i})`).join(' ')})`;
  const nest = (open: string, core: string, depth: number) =>
    open.repeat(depth) + core + ')'.repeat(depth);

  it('may nest deeply', () => {
    expect(rows(nest('(and ', '(<= Y_0 1)', 50_000))).toEqual([['0,0,1,1', '1,0 <= 1']]);
    expect(rows(`(<= ${nest('(+ 1 ', 'Y_0', 50_000)} 0)`)).toEqual([['0,0,1,1', '1,0 <= -50000']]);
    expect(problems(`${DECLARED}${'('.repeat(200_000)}`)[0]).toContain('tokens, 100000 deep');
  });

  it.each([
    ['a product of disjunctions', `${DECLARED}${`(assert ${or(10)})`.repeat(12)}`],
    ['a nested one', `${DECLARED}(assert (and ${or(100)} ${or(100)} ${or(100)} ${or(100)}))`],
    [
      'disjunctions in each other',
      `${DECLARED}(assert ${nest('(or (<= Y_0 1) ', '(<= Y_0 0)', 20_000)})`,
    ],
    ['a million variables', `(declare-const X_499999 Real)(declare-const Y_0 Real)`],
    ['millions of tokens', `(assert (and ${'a '.repeat(6_000_000)}))`],
  ])('are stopped: %s', (_, text) => {
    expect(problems(text).length).toBeGreaterThan(0);
  });

  it('of damaged tokens are refused or read', () => {
    const { accepted, refused } = fuzz(4000, vnnlibSeeds(), parse);
    expect(accepted).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(1000);
  });
});

describe('results', () => {
  it('are written as the competition reads them', () => {
    expect(formatResult('unsat')).toBe('unsat\n');
    expect(formatResult('sat', { x: [0.5, -1e-7], y: [2] })).toBe(
      'sat\n((X_0 0.5)\n (X_1 -1e-7)\n (Y_0 2))\n',
    );
    const { networks } = parse(
      '(declare-network f (declare-input A real [1,2])(declare-output B real [1]))' +
        '(declare-network g (equal-to f)(declare-input C real [1,2])(declare-output D real [1]))' +
        [0, 1]
          .map(
            (i) =>
              `(assert (== A[0,${i}] C[0,${i}]))(assert (>= A[0,${i}] 0))(assert (<= A[0,${i}] 1))`,
          )
          .join(''),
    );
    expect(formatResult('sat', { x: [0.5, 1], y: [2, 3] }, networks)).toBe(
      'sat\nA[0,0]=0.5\nA[0,1]=1\nB[0]=2\nC[0,0]=0.5\nC[0,1]=1\nD[0]=3\n',
    );
    expect(() => formatResult('sat')).toThrow('expected a point for sat');
    expect(() => formatResult('sat', { x: [Number.NaN], y: [] })).toThrow(
      'result, X_0: expected a',
    );
  });
});
