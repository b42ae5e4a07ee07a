/** The programs of README and docs, run as they stand, and the files they leave against docs/formats.md. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { backend } from '../../src/cli/wiring';
import { loadTensors } from '../../src/io/model';
import { decode } from '../../src/io/safetensors';
import type { Summary } from '../../src/report/types';
import { run } from '../cli/fake';
import { leaves, plain, read, tableBelow } from './markdown';

const page = read('docs/formats.md');
const home = process.cwd();
const folder = mkdtempSync(join(tmpdir(), 'espalier-docs-'));
const runDir = join(folder, 'runs/quickstart');
const printed: unknown[][] = [];

beforeAll(async () => {
  process.chdir(folder);
  const log = vi.spyOn(console, 'log').mockImplementation((...line) => void printed.push(line));
  await import('../../examples/quickstart');
  await import('../../examples/certify');
  await import('../../examples/gradients');
  await import('../../examples/certificate');
  await import('../../examples/smooth');
  await import('../../examples/compact');
  await import('../../examples/verify');
  log.mockRestore();
}, 60_000);
afterAll(() => {
  process.chdir(home);
  rmSync(folder, { recursive: true, force: true });
});

const summary = (): Summary => JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8'));

describe('the programs', () => {
  it('print a table, an answer, a gradient, certificates, a radius, sizes and a bound', () => {
    expect(printed).toHaveLength(7);
    expect(String(printed[0]![0])).toContain('VRA');
    expect(String(printed[1]![0])).toMatch(/^certified: |^unknown: /);
    expect(printed[2]).toEqual([121, Float32Array.of(66, 88)]);
    expect(String(printed[3]![0])).toMatch(/^([1-8]) written, \1 accepted$/);
    expect(String(printed[4]![0])).toMatch(/^class \d within an L2 distance of|^abstains after/);
    expect(String(printed[5]![0])).toMatch(
      /^19240 -> \d{4} bytes, (2\d|3[0-2]) different weights$/,
    );
    expect(String(printed[6]![0])).toMatch(
      /^(certified|falsified|unknown) by \S.*: proven distance from unsafe (-?\d+\.\d\d|-Infinity)$/,
    );
  });

  it('leave a network that is small, certified and free of contradictions', () => {
    const { sparsity, contradictions, pruned } = summary();
    expect(sparsity).toBeCloseTo(0.9, 3);
    expect(contradictions).toBe(0);
    expect(pruned.benign.value).toBeGreaterThan(0.8);
    expect(pruned.vra.value).toBeGreaterThan(0.3);
  });
});

/** The compact model's fields, before they are parsed away. */
function compactMetadata(): Record<string, string> {
  const { metadata } = decode(readFileSync(join(folder, 'quickstart.compact')), 'quickstart');
  return { ...metadata };
}

/** Whether `path` is listed, or below a listed `prefix.*`. */
const covered = (rows: readonly string[], path: string): boolean =>
  rows.some((row) => row === path || (row.endsWith('.*') && path.startsWith(row.slice(0, -1))));

/** Both ways: every leaf is listed, and every row stands for one. */
function expectListed(heading: string, found: readonly string[]): void {
  const rows = tableBelow(page, heading).map(([field]) => plain(field!));
  expect(found.filter((path) => !covered(rows, path))).toEqual([]);
  expect(rows.filter((row) => !found.some((path) => covered([row], path)))).toEqual([]);
}

/** Fields that there are with several methods, with attacks made of several, and where something is suspicious. */
const SHARE = { name: 'pgd', description: '', dense: 1, pruned: 1 };
const SUSPICION = { kind: 'black-box', images: 1 };
const sometimes = {
  summary: {
    ...{ attacks: [SHARE], verifiers: [SHARE] },
    suspicions: [{ ...SUSPICION, text: '' }],
  } satisfies Partial<Summary>,
  blocks: { samples: [{ attacks: [{ by: 'square' }], signs: ['probabilities'] }] },
  evaluation: { suspicions: [SUSPICION] },
};

describe('docs/formats.md', () => {
  it('lists the files of a run directory', () => {
    const files = tableBelow(page, 'Run directory').map(([file]) => plain(file!));
    expect(files.sort()).toEqual(readdirSync(runDir).sort());
  });

  it('lists the fields of summary.json', () =>
    expectListed('Summary', [...leaves(summary()), ...leaves(sometimes.summary)]));

  it('lists the fields of a journal record', () => {
    const lines = readFileSync(join(runDir, 'journal.jsonl'), 'utf8').trim().split('\n');
    for (const line of lines) expectListed('Journal', leaves(JSON.parse(line)));
  });

  it('lists the files of an evaluation and their fields', async () => {
    const dir = join(folder, 'evaluation');
    const model = join(runDir, 'pruned.safetensors');
    const argv = [
      'evaluate',
      model,
      '--verify',
      'interval,crown',
      '--radius',
      '--limit',
      '20',
      '--eps',
      '0.1',
    ];
    const { code } = await run([...argv, '--out', dir, '--threads', '1'], backend);
    expect(code).toBe(0);
    const journals = /^certify-[0-9a-f]{16}-\d+\.jsonl$/;
    const files = readdirSync(dir).map((name) => name.replace(journals, 'certify-<job>-<i>.jsonl'));
    const listed = tableBelow(page, 'Evaluations').map(([file]) => plain(file!));
    expect([...new Set(files)].sort()).toEqual(listed.sort());
    const journal = readdirSync(dir).find((name) => journals.test(name))!;
    const [line] = readFileSync(join(dir, journal), 'utf8').split('\n');
    expectListed('Blocks', [...leaves(JSON.parse(line!)), ...leaves(sometimes.blocks)]);
    const result = JSON.parse(readFileSync(join(dir, 'evaluation.json'), 'utf8'));
    expectListed('Result of an evaluation', [...leaves(result), ...leaves(sometimes.evaluation)]);
  });

  it('lists the metadata of a compact model', () => {
    const { format, coded, ...rest } = compactMetadata();
    expect(page).toContain(`\`${format}\``);
    const keys = tableBelow(page, 'Compact models').map(([key]) => plain(key!));
    expect([...Object.keys(rest), 'coded'].sort()).toEqual(keys.sort());
    for (const fields of Object.values(JSON.parse(coded!) as Record<string, object>))
      for (const field of Object.keys(fields)) expect(page).toContain(`| \`${field}\` | `);
  });

  it('lists the metadata of a model and the tensors of a checkpoint', async () => {
    const model = await loadTensors(join(runDir, 'pruned.safetensors'));
    expect(Object.keys(model.metadata).sort()).toEqual(['config', 'network']);
    const { names, metadata } = await loadTensors(join(runDir, 'checkpoint.safetensors'));
    const prefixes = new Set(names.map((name) => name.replace(/(\/(?:[mv]\.)?).*/, '$1')));
    expect([...prefixes].sort()).toEqual(['best/', 'model/', 'moment/m.', 'moment/v.']);
    for (const prefix of prefixes) expect(page).toContain(`\`${prefix}<parameter>/<tensor>\``);
    for (const prefix of ['best/', 'model/'])
      expect(names.filter((name) => name.startsWith(prefix) && name.endsWith('/mask'))).not.toEqual(
        [],
      );
    const keys = ['best', 'hash', 'model', 'network', 'run', 'state', 'version'];
    expect(Object.keys(metadata).sort()).toEqual(keys);
  });
});
