/** What a program carries that imports the library's core alone: nothing of the readers. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Bytes of each source file, below the project, in the bundle of a program. */
async function bundled(program: string): Promise<ReadonlyMap<string, number>> {
  const { metafile } = await build({
    stdin: { contents: program, resolveDir: ROOT, loader: 'ts' },
    absWorkingDir: ROOT,
    bundle: true,
    format: 'esm',
    platform: 'node',
    minify: true,
    metafile: true,
    write: false,
    outfile: 'program.js',
    define: { ESPALIER_VERSION: '"0"' },
    logLevel: 'error',
  });
  const { inputs } = metafile.outputs['program.js']!;
  const sizes = Object.entries(inputs).map(
    ([file, { bytesInOutput }]) => [file, bytesInOutput] as const,
  );
  return new Map(sizes.filter(([, bytes]) => bytes > 0));
}

const CORE = `
  import { createModel, input, load, predict, step } from './src/index';
  const engine = await load();
  const model = createModel(engine, { name: 'n', input: [2], nodes: [{ name: 'a', layer: 'relu' }] });
  console.log(step(engine, () => predict(model, input(engine, [1, 2], [1, 2]))));
`;

/** Readers, and what only they need. */
const READERS = [
  /^src\/io\//,
  /^src\/data\//,
  /^src\/(recipe|report|cli)\//,
  /node_modules\/(fflate|pbf|nanotar|echarts|citty|benchmark)\//,
];

describe('the bundle of a program that imports the core', () => {
  it('has the engine and the layers, and nothing that reads files', async () => {
    const files = await bundled(CORE);
    expect(files.has('src/runtime/engine.ts')).toBe(true);
    expect(files.has('src/nn/layers/dense.ts')).toBe(true);
    const readers = [...files.keys()].filter((file) => READERS.some((way) => way.test(file)));
    expect(readers).toEqual([]);
  });

  it('would show a reader, were there one', async () => {
    const files = await bundled(
      `import { readModelFile } from './src/io/read'; console.log(readModelFile);`,
    );
    expect(files.has('src/io/torch/read.ts')).toBe(true);
    expect([...files.keys()].some((file) => file.includes('node_modules/fflate/'))).toBe(true);
  });
});
