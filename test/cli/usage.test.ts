/** Help, versions, exit codes, and what is said about wrong use. */
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/main';
import { EspalierError } from '../../src/errors';
import { objectives } from '../../src/train/objectives/registry';
import { run } from './fake';

const names = Object.keys(COMMANDS);

describe('help', () => {
  it.each([[''], ['--help'], ['-h'], ['help']])('%j lists every command', async (line) => {
    const { code, stdout, stderr } = await run(line);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    for (const name of names) expect(stdout).toContain(`  ${name}`);
  });

  it.each(names)('%s --help has usage, options, defaults and examples', async (name) => {
    const { code, stdout } = await run([name, '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain(`USAGE  espalier ${name}`);
    expect(stdout).toMatch(/--json .*\n(.*\n)*.*--seed .*\n(.*\n)*.*--threads/);
    expect(stdout).toContain(`EXAMPLES\n  espalier ${name}`);
    expect((await run(['help', name])).stdout).toBe(stdout);
    expect((await run([name, '-h'])).stdout).toBe(stdout);
  });

  it('lists the registries where they can be named', async () => {
    const { stdout } = await run('compress --help');
    for (const [name, { about }] of Object.entries(objectives)) {
      expect(stdout).toContain(`  ${name} `);
      expect(stdout).toContain(about);
    }
    expect((await run('prune --help')).stdout).toContain('(default: 0.9)');
  });

  it('has no colours in a pipe, and a version', async () => {
    expect((await run('compress --help')).stdout).not.toContain('\u001b');
    expect((await run('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('wrong use', () => {
  it.each([
    ['comprss', /expected one of .*, got "comprss"\. Did you mean "compress"\?/],
    ['zzzzzzzz', /got "zzzzzzzz"\. Known: /],
    ['--seed 3', /expected a command first/],
    ['constructor', /expected one of/],
    ['compress --sede 3', /got --sede\. Did you mean "--seed"\?/],
    ['compress --outt=x', /got --outt\. Did you mean "--out"\?/],
    ['compress --no-json', /got --no-json/],
    ['compress -x', /got -x/],
    ['compress --out', /--out: expected a value, --out <dir>, got nothing/],
    ['compress --out --seed 1', /--out: expected a value, --out <dir>, got --seed/],
    ['compress --out=', /--out: expected a value, --out <dir>, got an empty one/],
    ['compress --json=yes', /--json: expected no value/],
    ['compress --binary realxed', /--binary: expected one of .* Did you mean "relaxed"\?/],
    ['compress a.json b.json', /expected only CONFIG, got "b\.json" too/],
    ['doctor here', /expected none, got "here" too/],
    ['inspect', /MODEL: expected a model: .*, got nothing/],
    ['train', /CONFIG: expected a JSON config, got nothing/],
  ])('%s', async (line, message) => {
    const { code, stdout, stderr } = await run(line);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error: /);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/\nSee: espalier.* --help\n$/);
    expect(stderr).not.toContain('    at ');
  });

  it.each([
    ['inspect m --threads 0', /--threads: expected a whole number in \[1, 64\]/],
    ['inspect m --threads many', /--threads: expected a whole number/],
    ['compress --seed -1', /--seed: expected a whole number/],
    ['compress --seed 1.5', /--seed: expected a whole number/],
    ['prune m --sparsity 1', /--sparsity: expected a fraction in \[0, 1\)/],
    ['prune m --sparsity ninety', /--sparsity: expected a fraction in \[0, 1\)/],
    ['prune m --strategy magnitud', /--strategy: expected one of .*"magnitude"/],
    [
      'prune m --strategy filter --set scope=erk',
      /--strategy with --set: prune\.strategy\.scope: expected one of layer, global/,
    ],
    [
      'prune m --strategy filter --set scores=l1',
      /--strategy with --set: prune\.strategy\.scores: expected a known option.*score/,
    ],
    ['evaluate m --eps -0.1', /--eps: expected a radius/],
    ['evaluate m --eps 0', /--eps: expected a radius/],
    ['evaluate m --eps 8/', /--eps: expected a radius/],
    ['evaluate m --attack pdg', /attack: expected one of .*"pgd"/],
    ['evaluate m --data mnits', /data: expected one of .*"mnist"/],
    ['bounds m --index 0,x', /--index: expected whole numbers/],
    ['bounds m --method intervall', /--method: expected one of .*"interval"|got "intervall"/],
    ['compress missing.json', /missing\.json: expected a readable file/],
    ['compress --set prune.sparsty=1', /prune\.sparsty: .*"sparsity"/],
  ])('%s', async (line, message) => {
    const { code, stdout, stderr } = await run(line);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toContain('    at ');
  });
});

describe('errors', () => {
  it('of ours come with a stack, and with another code', async () => {
    const inspect = async () => {
      throw new TypeError('broken');
    };
    const { code, stderr } = await run('inspect m', { inspect });
    expect(code).toBe(70);
    expect(stderr).toMatch(/TypeError: broken\n\s+at .*(.*\n)*This is a bug/);
  });

  it('of the system are a sentence', async () => {
    const inspect = async () => {
      const { readFileSync } = await import('node:fs');
      throw readFileSync(`/${'n'.repeat(5000)}`);
    };
    const { code, stderr } = await run('inspect m', { inspect });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: \S+: expected to open, got ENAMETOOLONG: .*\n$/);
  });

  it('with --json are one document on standard output', async () => {
    const inspect = async () => {
      throw new EspalierError('m: expected a model, got a cat.');
    };
    const { code, stdout, stderr } = await run('inspect m --json', { inspect });
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toEqual({ error: 'm: expected a model, got a cat.' });
    expect(stderr).toBe('error: m: expected a model, got a cat.\n');
    expect(JSON.parse((await run('inspect --json')).stdout).error).toContain('MODEL');
  });
});
