/** Lists of instances: the competition's form, headers, quotes, several networks, and what is refused. */
import { describe, expect, it } from 'vitest';
import { parseInstances } from '../../src/io/instances';
import { fuzz, mutateText } from '../helpers/mutate';

const parse = (...lines: string[]) => parseInstances(lines.join('\n'), 'instances.csv');

describe('lists of instances', () => {
  it('of the competition have three fields and no header', () => {
    expect(
      parse('./onnx/a.onnx,./vnnlib/p.vnnlib,116', '', 'b.onnx.gz, p.vnnlib.gz , 0.5\r'),
    ).toEqual([
      {
        ...{ line: 1, network: './onnx/a.onnx', property: './vnnlib/p.vnnlib', seconds: 116 },
        networks: [{ name: '', path: './onnx/a.onnx' }],
      },
      {
        ...{ line: 3, network: 'b.onnx.gz', property: 'p.vnnlib.gz', seconds: 0.5 },
        networks: [{ name: '', path: 'b.onnx.gz' }],
      },
    ]);
  });

  it('with a header have fields by name, in any order', () => {
    const rows = parse('answer,onnx,other,vnnlib', 'unsat,a,x,p', 'sat,a,y,q', 'unknown,a,,r');
    expect(rows.map(({ property, answer, seconds }) => [property, answer, seconds])).toEqual([
      ['p', 'unsat', undefined],
      ['q', 'sat', undefined],
      ['r', undefined, undefined],
    ]);
  });

  it('name several networks in quotes', () => {
    const [row] = parse(`"[('f', 'nets/a.onnx'), (""g"", ""b,c.onnx"")]",p.vnnlib,100`);
    expect(row!.networks).toEqual([
      { name: 'f', path: 'nets/a.onnx' },
      { name: 'g', path: 'b,c.onnx' },
    ]);
  });

  it('are refused with all wrong lines', () => {
    const lines = [
      'a.onnx',
      'a.onnx,p.vnnlib,soon',
      'a.onnx,p.vnnlib,-1',
      '../a.onnx,p.vnnlib,1',
      'a.onnx,/etc/passwd,1',
      "\"[('f', 'a.onnx'),\",p,1",
    ];
    expect(() => parse(...lines)).toThrow(
      [
        'instances.csv, line 1: expected a network, a property and seconds, got 1 fields: "a.onnx".',
        'instances.csv, line 2: expected a number of seconds above 0, got "soon".',
        'instances.csv, line 3: expected a number of seconds above 0, got "-1".',
        'instances.csv, line 4: expected paths inside of the folder, got "../a.onnx".',
        'instances.csv, line 5: expected paths inside of the folder, got "/etc/passwd".',
        `instances.csv, line 6: expected networks as [('f', 'a.onnx'), ...], got "[('f', 'a.onnx'),".`,
      ].join('\n'),
    );
    expect(() => parse('network,property')).toThrow('expected lines of a network');
    expect(() => parse('network,property,answer', 'a,b,maybe')).toThrow('the answer sat or unsat');
    expect(() => parse(...new Array(100_001).fill('a,b,1'))).toThrow('at most 100000 lines');
  });

  it('damaged, are refused or read', () => {
    const seed = `network,property,seconds\na.onnx,p.vnnlib,3\n"[('f', 'a')]","q ""1""",4\n`;
    const words = ['"', ',', '""', "[('", "')]", '\n', '..', '/', '1e9', 'NaN', '\0'];
    const { accepted, refused } = fuzz(
      2000,
      (s) => mutateText(seed, words, s),
      (text) => parseInstances(text, 'x'),
    );
    expect(accepted).toBeGreaterThan(50);
    expect(refused).toBeGreaterThan(50);
  });
});
