/**
 * The lock files: `npm ci` on any platform finds the optional binaries of that platform in them.
 * A lock file that is made where a registry lacks some of these leaves them out in silence.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

interface Locked {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly resolved?: string;
}

const locks = ['package-lock.json', 'bench/peers/package-lock.json'];

/** Optional packages that a locked package asks for and the lock file does not hold. */
function missing(packages: Readonly<Record<string, Locked>>): string[] {
  return Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter((name) => !(`${path}/node_modules/${name}` in packages))
      .filter((name) => !(`node_modules/${name}` in packages))
      .map((name) => `${path}: ${name}`),
  );
}

describe.each(locks)('%s', (file) => {
  const { packages } = JSON.parse(readFileSync(file, 'utf8')) as {
    packages: Record<string, Locked>;
  };

  it('holds the binaries of all platforms', () => {
    expect(missing(packages)).toEqual([]);
  });

  it('names no host to download from', () => {
    const named = Object.entries(packages).filter(([, { resolved }]) => resolved !== undefined);
    expect(named).toEqual([]);
  });
});

it('names the bundlers of Linux, macOS and Windows', () => {
  const text = readFileSync('package-lock.json', 'utf8');
  for (const platform of ['linux-x64', 'linux-arm64', 'darwin-arm64', 'darwin-x64', 'win32-x64']) {
    expect(text).toContain(`node_modules/@esbuild/${platform}"`);
    expect(text).toContain(`node_modules/@rollup/rollup-${platform}`);
    expect(text).toContain(`node_modules/@biomejs/cli-${platform}"`);
  }
});

it('notices a binary that is left out', () => {
  const packages = { 'node_modules/a': { optionalDependencies: { 'a-linux': '1', 'a-mac': '1' } } };
  expect(missing({ ...packages, 'node_modules/a-linux': {} })).toEqual(['node_modules/a: a-mac']);
});
