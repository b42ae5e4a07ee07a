/** The harness: order of turns, statistics, ratios, and what happens to wrong results. */
import { describe, expect, it } from 'vitest';
import { hold, type Plan, type Race } from '../../bench/harness';
import { assertClose } from '../../bench/networks';
import { render } from '../../bench/report';

const PLAN: Plan = { rounds: 3, samples: 2, warmSeconds: 0, leastSeconds: 1e-4 };

const wait = (seconds: number): void => {
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end);
};

describe('hold', () => {
  it('times contestants of every kind in turns', async () => {
    const order: string[] = [];
    const busy = (name: string, seconds: number): number => {
      if (order.at(-1) !== name) order.push(name);
      wait(seconds);
      return 0.004;
    };
    const race: Race = {
      title: 'turns',
      contestants: [
        { name: 'a', flops: 2000, images: 4, run: () => busy('a', 0.002) },
        { name: 'b', flops: 1000, async: true, run: async () => busy('b', 0.001) },
        { name: 'c', selfTimed: true, run: async () => busy('c', 0) },
      ],
      quotients: [
        { of: 'a', to: 'b', bar: 0.5 },
        { of: 'c', to: 'b' },
      ],
    };
    const { results, ratios } = await hold(race, PLAN);
    expect(order.join('')).toMatch(/^(abc){4}$/);
    const [a, b, c] = results;
    expect(results.map(({ samples }) => samples.length)).toEqual([6, 6, 6]);
    expect(a!.min).toBeGreaterThanOrEqual(0.002);
    expect(b!.min).toBeGreaterThanOrEqual(0.001);
    expect(c).toMatchObject({ min: 0.004, median: 0.004, spread: 0 });
    expect(ratios[0]!.value).toBeCloseTo((2 * b!.median) / a!.median);
    expect(ratios[1]!.value).toBeCloseTo(b!.median / 0.004);
  });

  it('times nothing where a result is wrong', async () => {
    let calls = 0;
    const check = (): void => {
      throw new Error('wrong');
    };
    const contestants = [{ name: 'a', run: () => calls++, check }];
    await expect(hold({ title: '', contestants }, PLAN)).rejects.toThrow('wrong');
    expect(calls).toBe(0);
  });

  it('passes on what a contestant throws', async () => {
    let calls = 0;
    const fail = (): void => {
      if (++calls > 3) throw new Error('late');
    };
    for (const async of [false, true]) {
      calls = 0;
      const run = async ? async () => fail() : fail;
      const contestants = [{ name: 'a', run, async }];
      await expect(hold({ title: '', contestants }, PLAN)).rejects.toThrow('late');
    }
  });

  it('finds medians and quartiles', async () => {
    const times = [9, 9, 5, 1, 4, 2, 3, 6];
    const contestants = [{ name: 'a', selfTimed: true, run: () => times.shift() }];
    const { results } = await hold({ title: '', contestants }, PLAN);
    expect(results[0]).toMatchObject({ min: 1, median: 3.5, spread: 2.5 / 3.5 });
  });
});

it('prints a table with ratios', async () => {
  const contestants = [{ name: 'a', flops: 1e9, selfTimed: true, run: () => 0.5 }];
  const outcome = await hold(
    { title: 'one', contestants, quotients: [{ of: 'a', to: 'a', bar: 1.1 }] },
    PLAN,
  );
  const text = render(outcome, 'markdown');
  expect(text).toContain('| a | 2.0 | 2.0 |');
  expect(text).toMatch(/\| a \| a \| 1\.00 \| .*1\.10 \| missed \|/);
});

it('tells equal results from others', () => {
  const expected = [1, -4, 0];
  const check =
    (...got: number[]) =>
    () =>
      assertClose(got, expected, 1e-3, 'who');
  expect(check(1.003, -4, 0)).not.toThrow();
  expect(check(1.01, -4, 0)).toThrow('who: expected results equal to 0.001');
  expect(check(1, -4, Number.NaN)).toThrow();
  expect(check(1, -4)).toThrow();
  expect(() => assertClose([0], [0], 1e-3, 'who')).toThrow();
});
