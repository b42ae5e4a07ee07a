/** certify: what it asks for, prints and returns. */
import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/cli/backend';
import { run } from './fake';

describe('certify', () => {
  it('hands over positions, radius, methods and folder', async () => {
    let seen: Parameters<Backend['certify']>[1] | undefined;
    const certify: Backend['certify'] = async (_, job) => {
      seen = job;
      return [];
    };
    const line = 'certify m --index 7,0-2 --eps 8/255 --method interval,crown -o proofs';
    expect((await run(line, { certify })).code).toBe(0);
    expect(seen).toMatchObject({
      model: 'm',
      indices: [7, 0, 1, 2],
      eps: 8 / 255,
      methods: ['interval', 'crown'],
      folder: 'proofs',
      force: false,
    });
    await run(`${line} --force`, { certify });
    expect(seen).toMatchObject({ force: true });
  });

  it('prints a table, or JSON, and calls an image without a proof bad news', async () => {
    const { code, stdout } = await run('certify m --index 0-3');
    expect(code).toBe(1);
    expect(stdout).toMatch(/certificates\/0\.json[\s\S]*not proven[\s\S]*2 of 4 certified within/);
    const json = JSON.parse((await run('certify m --index 0,2 --json')).stdout);
    expect(json).toMatchObject({ written: 2, images: [{ index: 0 }, { index: 2 }] });
    expect((await run('certify m --index 0')).code).toBe(0);
  });

  it.each([
    ['--index 3-1', /whole numbers like 0,1,2 or 0-99/],
    ['--index x', /whole numbers like/],
    ['--method magic', /some of interval, crown-ibp, crown, got "magic"/],
    ['--eps 2', /a radius in \(0, 1\]/],
  ])('refuses %s', async (options, what) => {
    const { code, stderr } = await run(`certify m ${options}`);
    expect(code).toBe(2);
    expect(stderr).toMatch(what);
  });
});
