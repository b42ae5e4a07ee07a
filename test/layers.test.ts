/** The house rules of docs/architecture.md, checked on every file, and the check itself. */
import { describe, expect, it } from 'vitest';
// @ts-expect-error A script without types.
import { checkLayers, checkProject, LAYER_NAMES } from '../scripts/check-layers.mjs';
import { layers } from '../src/nn/layers/registry';

const check = (files: Record<string, string>): string[] =>
  checkLayers(new Map(Object.entries(files)));

describe('layers', () => {
  it('hold in this project', async () => {
    expect((await checkProject()).problems).toEqual([]);
  });

  it('let imports go down and not up, types included', () => {
    expect(check({ 'nn/a.ts': "import { x } from '../tensor/b';", 'tensor/b.ts': '' })).toEqual([]);
    expect(
      check({ 'nn/a.ts': '', 'tensor/b.ts': "import type { X } from '../nn/a';" }),
    ).toHaveLength(1);
    expect(check({ 'nn/a.ts': '', 'tensor/b.ts': "export * from '../nn/a.js';" })).toHaveLength(1);
    expect(check({ 'cli/a.ts': '', 'recipe/b.ts': "await import('../cli/a');" })).toHaveLength(1);
    expect(check({ 'errors.ts': "import { x } from './nn/a';", 'nn/a.ts': '' })).toHaveLength(1);
    expect(check({ 'odd/a.ts': "import { x } from '../nn/a';", 'nn/a.ts': '' })).toHaveLength(1);
  });

  it('let everything use the common files, and nothing the surface', () => {
    expect(check({ 'nn/a.ts': "import { fail } from '../errors';", 'errors.ts': '' })).toEqual([]);
    expect(check({ 'nn/a.ts': "import { x } from '../index';", 'index.ts': '' })).toHaveLength(1);
    expect(check({ 'index.ts': "export { x } from './cli/a';", 'cli/a.ts': '' })).toEqual([]);
  });

  it('forbid cycles', () => {
    const problems = check({
      'nn/a.ts': "import { b } from './b';",
      'nn/b.ts': "import { c } from './c';",
      'nn/c.ts': "import { a } from './a';",
    });
    expect(problems).toEqual(['cycle: nn/a.ts -> nn/b.ts -> nn/c.ts -> nn/a.ts']);
  });

  it('allow node: only lazily, and only where it is named', () => {
    expect(check({ 'io/a.ts': "const fs = await import('node:fs');" })).toEqual([]);
    expect(check({ 'io/a.ts': "import type { Stats } from 'node:fs';" })).toEqual([]);
    expect(check({ 'io/a.ts': "import fs from 'node:fs';" })).toHaveLength(1);
    expect(check({ 'nn/a.ts': "await import('node:fs');" })).toHaveLength(1);
    expect(check({ 'cli/a.ts': "import fs from 'node:fs';" })).toEqual([]);
  });

  it('keep strategies, objectives and attacks apart, by whatever way', () => {
    const meet = (from: string, to: string, between = 'nn/b.ts') =>
      check({
        [from]: `import { b } from '../../${between.replace('.ts', '')}';`,
        [between]: `import { c } from '../${to.replace('.ts', '')}';`,
        [to]: '',
      }).filter((problem) => problem.startsWith('plug-ins meet'));
    expect(meet('prune/strategies/a.ts', 'train/objectives/c.ts')).toEqual([
      'plug-ins meet: prune/strategies/a.ts -> nn/b.ts -> train/objectives/c.ts',
    ]);
    expect(meet('prune/strategies/a.ts', 'attack/c.ts')).toHaveLength(1);
    expect(meet('train/objectives/a.ts', 'prune/strategies/c.ts')).toHaveLength(1);
    expect(meet('train/objectives/a.ts', 'attack/c.ts')).toEqual([]);
    expect(meet('recipe/stages/a.ts', 'attack/c.ts', 'train/b.ts')).toEqual([]);
  });

  it('forbids names of layers and parameters where operators are asked', () => {
    const names = "const is = (kind: string) => kind === 'conv2d';";
    for (const floor of ['domain', 'plan', 'bounds'])
      expect(check({ [`${floor}/a.ts`]: names })).toHaveLength(1);
    expect(check({ 'nn/a.ts': names })).toEqual([]);
    expect(check({ 'plan/a.ts': "engine.run('relu', 1, 2, 3);" })).toEqual([]);
    for (const kind of Object.keys(layers)) expect(LAYER_NAMES.has(kind), kind).toBe(true);
  });
});
