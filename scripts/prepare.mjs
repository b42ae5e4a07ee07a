/**
 * `npm install` in a clone builds, and so does npm when the folder is linked (as `npx espalier` does):
 * only where a source is newer than what was built.
 */
import { execSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';

const SOURCES = [
  'src',
  'assembly',
  'data',
  'scripts',
  'asconfig.json',
  'package.json',
  'tsup.config.ts',
];
const BUILT = [
  'dist/index.js',
  'dist/index.cjs',
  'dist/index.d.ts',
  'dist/index.d.cts',
  'dist/cli.js',
];

/** Modification time of a file, or the newest below a folder; `.gen.` files are built. */
function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return path.includes('.gen.') ? 0 : stat.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newest(`${path}/${name}`)));
}

function isFresh() {
  try {
    return Math.min(...BUILT.map(newest)) > Math.max(...SOURCES.map(newest));
  } catch {
    return false;
  }
}

if (!isFresh()) execSync('npm run build', { stdio: 'inherit' });
