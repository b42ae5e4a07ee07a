/** The queue against sorting, the budget against a clock of its own. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Budget } from '../../src/verify/budget';
import { BestFirst } from '../../src/verify/queue';

describe('BestFirst', () => {
  it('gives what sorting would, equal keys in the order they came', () => {
    const command = fc.oneof(
      fc.record({ key: fc.constantFrom(-Infinity, -2, -1, -0, 0, 1, Number.NaN) }),
      fc.record({ take: fc.nat(4) }),
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const queue = new BestFirst<number>();
        let sorted: { key: number; item: number }[] = [];
        commands.forEach((one, item) => {
          if ('key' in one) {
            queue.push(one.key, item);
            sorted.push({ key: Number.isNaN(one.key) ? -Infinity : one.key, item });
            sorted = sorted.sort((a, b) => (a.key === b.key ? a.item - b.item : a.key - b.key));
          } else {
            const taken = sorted.splice(0, one.take).map(({ item: i }) => i);
            expect(queue.take(one.take)).toEqual(taken);
          }
          expect(queue.size).toBe(sorted.length);
          expect(queue.bound + 0).toBe((sorted[0]?.key ?? Infinity) + 0);
        });
      }),
    );
  });
});

describe('Budget', () => {
  it('counts seconds by its clock and nodes as they are spent', () => {
    let now = 5000;
    const budget = new Budget({ seconds: 2, nodes: 10 }, { now: () => now });
    expect(budget.used()).toBeUndefined();
    expect(budget.spent).toEqual({ seconds: 0, nodes: 0 });
    now += 1500;
    budget.spend(4);
    expect(budget.spent).toEqual({ seconds: 1.5, nodes: 4 });
    expect([budget.secondsLeft, budget.nodesLeft]).toEqual([0.5, 6]);
    expect(budget.used()).toBeUndefined();
    budget.spend(7);
    expect(budget.nodesLeft).toBe(0);
    expect(budget.used()).toEqual({ what: 'nodes', why: '10 nodes are used up' });
    now += 600;
    expect(budget.secondsLeft).toBe(0);
    expect(budget.used()).toEqual({ what: 'seconds', why: '2 seconds are used up' });
  });

  it('without limits ends by its signal only, which comes first', () => {
    const signal = { aborted: false };
    const budget = new Budget({}, { signal });
    budget.spend(1e9);
    expect(budget.used()).toBeUndefined();
    expect([budget.secondsLeft, budget.nodesLeft]).toEqual([Infinity, Infinity]);
    signal.aborted = true;
    expect(budget.used()).toEqual({ what: 'signal', why: 'it was interrupted' });
    expect(new Budget({ seconds: 0 }, { signal }).used()?.what).toBe('signal');
    expect(new Budget({ seconds: 0 }).used()?.what).toBe('seconds');
  });
});
