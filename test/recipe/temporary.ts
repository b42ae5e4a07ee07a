/** A folder for one test, removed afterwards. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

type Write = (name: string, content: string) => Promise<void>;

export async function inTemporaryFolder(
  test: (file: (name: string) => string, write: Write) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-'));
  try {
    await test(
      (name) => join(folder, name),
      (name, content) => writeFile(join(folder, name), content),
    );
  } finally {
    // Processes of a job that was killed may still be on their way out.
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}
