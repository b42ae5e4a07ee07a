/** Tensors and the steps they live in. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { add, affine, reshape, sum } from '../../src/tensor/ops/core';
import { assign, empty, filled, indices, input, item, keep, step } from '../../src/tensor/tensor';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  // The arena takes its first segment now, so that used bytes can be compared afterwards.
  step(engine, () => filled(engine, [1000], 0).size);
});
afterAll(() => engine.close());

describe('step', () => {
  it('returns plain values as they are', () => {
    expect(step(engine, () => 7)).toBe(7);
    const result = { a: [1, 'x', null, undefined], b: new Map() };
    expect(step(engine, () => result)).toBe(result);
  });

  it('makes tensors throw by name once it has ended', () => {
    const escaped = step(engine, () => ({ hidden: new Map([['t', filled(engine, [2, 3], 1)]]) }));
    const tensor = escaped.hidden.get('t')!;
    const sentence =
      /tensor \[2, 3\]: expected a live tensor, got one of step \d+, which has ended\. Return it/;
    expect(() => tensor.ptr).toThrow(sentence);
    expect(() => tensor.read()).toThrow(sentence);
    step(engine, () => {
      expect(() => sum(tensor)).toThrow(sentence);
      expect(() => add(filled(engine, [3], 1), tensor)).toThrow(sentence);
    });
  });

  it('keeps what the outermost step returns, in any plain container, once a tensor', () => {
    const used = engine.memory.usedBytes;
    const out = step(engine, () => {
      const t = input(engine, [1, 2, 3], [3]);
      return { t, list: [t, affine(t, 2, 0)], deep: { scalar: sum(t) }, n: 5 };
    });
    expect(out.t.kept).toBe(true);
    expect(out.list[0]).toBe(out.t);
    expect([...out.t.read()]).toEqual([1, 2, 3]);
    expect([...out.list[1]!.read()]).toEqual([2, 4, 6]);
    expect(item(out.deep.scalar)).toBe(6);
    expect(out.n).toBe(5);
    for (const t of [out.t, out.list[1]!, out.deep.scalar]) t.free();
    expect(engine.memory.usedBytes).toBe(used);
  });

  it('moves what a nested step returns to the step around it', () => {
    const outer = step(engine, () => {
      const before = filled(engine, [2], 9);
      const inner = step(engine, () => [before, input(engine, [1, 2], [2])] as const);
      expect(inner[0]).toBe(before);
      expect(inner[1].epoch).toBe(before.epoch);
      filled(engine, [64], 0);
      expect([...inner[1].read()]).toEqual([1, 2]);
      return [...add(before, inner[1]).read()];
    });
    expect(outer).toEqual([10, 11]);
  });

  it('frees its memory when it throws', () => {
    const used = engine.memory.usedBytes;
    expect(() =>
      step(engine, () => {
        filled(engine, [100], 1);
        throw new Error('mine');
      }),
    ).toThrow('mine');
    expect(engine.arena.epoch).toBeUndefined();
    expect(engine.memory.usedBytes).toBe(used);
  });

  it('is needed for every operation', () => {
    expect(() => filled(engine, [2], 1)).toThrow('inside step()');
    const kept = keep(engine, [2]);
    expect(() => affine(kept, 1, 1)).toThrow('Wrap the computation in step(engine, () => ...)');
    kept.free();
  });
});

describe('kept tensors', () => {
  it('begin as zeros or as given, survive steps and are freed once', () => {
    const used = engine.memory.usedBytes;
    const [zeros, given] = [keep(engine, [3]), keep(engine, [2, 2], [1, 2, 3, 4])];
    step(engine, () => filled(engine, [1000], 7).size);
    expect([...zeros.read()]).toEqual([0, 0, 0]);
    expect([...given.read()]).toEqual([1, 2, 3, 4]);
    zeros.free();
    given.free();
    expect(() => zeros.read()).toThrow(
      'tensor [3]: expected a live tensor, got one that was freed',
    );
    expect(() => zeros.free()).toThrow('tensor.free');
    step(engine, () => expect(() => filled(engine, [1], 1).free()).toThrow('a kept tensor'));
    expect(engine.memory.usedBytes).toBe(used);
  });

  it('are written in place', () => {
    const t = keep(engine, [3]);
    t.write([1, 2, 3]);
    step(engine, () => assign(t, affine(t, 10, 0)));
    expect([...t.read()]).toEqual([10, 20, 30]);
    expect(() => t.write([1])).toThrow('tensor.write: expected 3 values, got 1');
    step(engine, () => {
      expect(() => assign(t, filled(engine, [2], 0))).toThrow('assign: expected 3 elements, got 2');
      expect(() => item(t)).toThrow('item: expected one element, got 3');
    });
    t.free();
  });

  it('share their place with their reshaped forms', () => {
    const t = keep(engine, [2, 3], [1, 2, 3, 4, 5, 6]);
    const view = step(engine, () => reshape(t, [3, 2]));
    expect(view.kept).toBe(true);
    expect([...view.read()]).toEqual([1, 2, 3, 4, 5, 6]);
    t.free();
  });
});

describe('the small ones', () => {
  it('hold 0, 1 and odd numbers of elements', () => {
    step(engine, () => {
      expect([...input(engine, [], [0]).read()]).toEqual([]);
      expect([...filled(engine, [0, 3], 1).read()]).toEqual([]);
      expect(item(filled(engine, [], 2.5))).toBe(2.5);
      expect([...filled(engine, [17], -1).read()]).toEqual(new Array(17).fill(-1));
      expect(empty(engine, [3]).size).toBe(3);
      expect([...engine.memory.i32(indices(engine, [3, 0], 4, 'who'), 2)]).toEqual([3, 0]);
      for (const bad of [-1, 4, 0.5, Number.NaN])
        expect(() => indices(engine, [0, bad], 4, 'who')).toThrow(
          `who: expected whole numbers in [0, 4), got ${bad}`,
        );
      expect(() => input(engine, [1, 2], [3])).toThrow('3 values');
    });
  });
});
