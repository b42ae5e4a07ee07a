/** The first example in Deno and Bun, where `npm install --prefix test/edge/hosts` put them; else it is said so. */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { bundled, ROOT, site } from './bundle';

const RUNTIMES = [
  ['deno', '@deno/linux-x64-glibc/deno', ['run', '--no-config', '--allow-read=.']],
  ['bun', '@oven/bun-linux-x64-baseline/bin/bun', ['run']],
] as const;

const here = await site();
afterAll(() => here.remove());

describe('examples/edge/node.ts', () => {
  for (const [name, file, args] of RUNTIMES) {
    const binary = join(ROOT, 'test/edge/hosts/node_modules', file);
    const present = existsSync(binary);
    const title = present ? name : `${name} (skipped: it is not installed)`;
    it.skipIf(!present)(`in ${title}`, async () => {
      const options = { format: 'esm', platform: 'browser' } as const;
      writeFileSync(join(here.folder, 'node.mjs'), await bundled('examples/edge/node.ts', options));
      const { stdout, stderr } = spawnSync(binary, [...args, 'node.mjs'], {
        cwd: here.folder,
        encoding: 'utf8',
      });
      const grey = new Float32Array(64).fill(0.5);
      const { certified, margin } = here.model.certify(grey, 0.01);
      const about = certified ? 'within 0.01 of it too' : `margin ${margin}`;
      expect(stderr).toBe('');
      expect(stdout).toBe(
        `a ${here.model.predict(grey).label} ${about}\ncertified up to ${here.model.radius(grey)}\n`,
      );
    });
  }
});
