/** smooth: what it asks for and prints. */
import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/cli/backend';
import { run } from './fake';

describe('smooth', () => {
  it('hands over noise, draws, confidence and radii', async () => {
    let seen: Parameters<Backend['smooth']>[1] | undefined;
    const smooth: Backend['smooth'] = async (_, job) => {
      seen = job;
      return { certified: [], meanRadius: 0, abstained: 0, draws: 0, images: [] };
    };
    const line =
      'smooth m --sigma 0.5 --n0 10 --n 1000 --alpha 0.01 --eps 0.25,1 --limit 7 --seed 3 -o s.jsonl';
    expect((await run(line, { smooth })).code).toBe(0);
    expect(seen).toMatchObject({
      ...{ model: 'm', sigma: 0.5, n0: 10, n: 1000, alpha: 0.01, radii: [0.25, 1] },
      ...{ limit: 7, seed: 3, out: 's.jsonl', data: { name: 'digits' } },
    });
  });

  it('says that it speaks of the smoothed classifier, or prints JSON', async () => {
    const { code, stdout } = await run('smooth m --eps 0,0.5');
    expect(code).toBe(0);
    expect(stdout).toMatch(/│ 0\.5 +│ 50\.00 % \[40\.0, 60\.0\] n=100/);
    expect(stdout).toMatch(/not the network itself; each answer holds with probability 0\.999/);
    const json = JSON.parse((await run('smooth m --json')).stdout);
    expect(json).toMatchObject({ sigma: 0.25, radii: [0, 0.25, 0.5, 0.75], meanRadius: 0.25 });
  });

  it.each([
    ['--sigma 0', /--sigma: expected/],
    ['--alpha 0.7', /--alpha: expected/],
    ['--eps 0,x', /--eps: expected L2 radii like/],
    ['--eps=-1', /--eps: expected L2 radii/],
    ['--n 0.5', /--n: expected a whole number/],
  ])('refuses %s', async (options, what) => {
    const { code, stderr } = await run(`smooth m ${options}`);
    expect(code).toBe(2);
    expect(stderr).toMatch(what);
  });
});
