/** The tape: what it records, what it does not, and how tapes nest. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { add, affine, mul, reshape, sum } from '../../src/tensor/ops/core';
import { sign, square } from '../../src/tensor/ops/elementwise';
import { gradients, record } from '../../src/tensor/tape';
import { filled, input, keep, step, type Tensor } from '../../src/tensor/tensor';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

/** Gradients of a loss at x = [1, 2, 3], as numbers. */
function gradientOf(loss: (x: Tensor) => Tensor): number[] {
  return step(engine, () => {
    const x = input(engine, [1, 2, 3], [3]);
    return [...gradients(engine, [x], () => ({ loss: loss(x) })).gradients[0]!.read()];
  });
}

describe('gradients', () => {
  it('accumulate over every use of a tensor', () => {
    expect(gradientOf((x) => sum(add(add(x, x), mul(x, x))))).toEqual([4, 6, 8]);
    expect(
      gradientOf((x) => {
        const y = affine(x, 2, 0);
        return add(sum(square(y)), sum(mul(y, x)));
      }),
    ).toEqual([12, 24, 36]);
  });

  it('are zeros for what the loss does not use, and one for the loss itself', () => {
    step(engine, () => {
      const [used, unused] = [filled(engine, [2], 3), filled(engine, [2, 2], 3)];
      const { gradients: g } = gradients(engine, [unused, used], () => ({ loss: sum(used) }));
      expect(g.map((t) => [t.shape, [...t.read()]])).toEqual([
        [
          [2, 2],
          [0, 0, 0, 0],
        ],
        [[2], [1, 1]],
      ]);
      const x = filled(engine, [], 5);
      expect([...gradients(engine, [x], () => ({ loss: x })).gradients[0]!.read()]).toEqual([1]);
      const constant = gradients(engine, [used], () => ({ loss: filled(engine, [], 1) }));
      expect([...constant.gradients[0]!.read()]).toEqual([0, 0]);
    });
  });

  it('pass through reshapes and stop where an operation has none', () => {
    expect(gradientOf((x) => sum(mul(reshape(reshape(x, [3, 1]), [1, 3]), x)))).toEqual([2, 4, 6]);
    expect(gradientOf((x) => sum(mul(sign(x), x)))).toEqual([1, 1, 1]);
  });

  it('return what the function returned, beside them', () => {
    step(engine, () => {
      const x = filled(engine, [2], 1);
      const { result } = gradients(engine, [x], () => ({ loss: sum(x), other: 'mine' }));
      expect(result.other).toBe('mine');
      expect([...result.loss.read()]).toEqual([2]);
    });
  });

  it('want a loss of one element', () => {
    step(engine, () => {
      const x = filled(engine, [2], 1);
      expect(() => gradients(engine, [x], () => ({ loss: x }))).toThrow(
        'gradients: expected a loss of one element, got 2',
      );
    });
  });

  it('work on kept tensors', () => {
    const w = keep(engine, [2], [3, 4]);
    const g = step(
      engine,
      () => gradients(engine, [w], () => ({ loss: sum(square(w)) })).gradients,
    );
    expect([...g[0]!.read()]).toEqual([6, 8]);
    g[0]!.free();
    w.free();
  });
});

describe('recording', () => {
  /** An operation that counts how often its pullback runs. */
  const counted = (x: Tensor, count: { runs: number }): Tensor =>
    record(
      affine(x, 1, 0),
      [x],
      [
        (g) => {
          count.runs++;
          return g;
        },
      ],
    );

  it('does not happen outside of gradients()', () => {
    step(engine, () => {
      const count = { runs: 0 };
      const x = filled(engine, [], 1);
      const outside = counted(x, count);
      const { gradients: g } = gradients(engine, [x], () => ({ loss: add(outside, x) }));
      expect(count.runs).toBe(0);
      expect([...g[0]!.read()]).toEqual([1]);
    });
  });

  it('skips what does not depend on a wanted tensor', () => {
    step(engine, () => {
      const count = { runs: 0 };
      const [x, other] = [filled(engine, [], 1), filled(engine, [], 1)];
      gradients(engine, [x], () => ({ loss: add(x, counted(other, count)) }));
      expect(count.runs).toBe(0);
      gradients(engine, [x], () => {
        counted(x, count);
        return { loss: add(x, x) };
      });
      expect(count.runs).toBe(0);
      gradients(engine, [x], () => ({ loss: counted(counted(x, count), count) }));
      expect(count.runs).toBe(2);
    });
  });

  it('ends with the function, also when that throws', () => {
    step(engine, () => {
      const count = { runs: 0 };
      const x = filled(engine, [], 1);
      const attempt = () =>
        gradients(engine, [x], () => {
          throw new Error('mine');
        });
      expect(attempt).toThrow('mine');
      const after = counted(x, count);
      gradients(engine, [x], () => ({ loss: add(after, x) }));
      expect(count.runs).toBe(0);
    });
  });
});

describe('nested tapes', () => {
  it('make the inner gradient a constant of the outer', () => {
    // loss = x * stop(d/dx x^2) = x * stop(2x): its gradient is 2x, not 4x.
    expect(
      gradientOf((x) => {
        const inner = gradients(engine, [x], () => ({ loss: sum(square(x)) })).gradients[0]!;
        return sum(mul(x, inner));
      }),
    ).toEqual([2, 4, 6]);
  });

  it('do not record the inner computation on the outer tape', () => {
    expect(
      gradientOf((x) => {
        const { result } = gradients(engine, [x], () => ({ loss: sum(square(x)) }));
        return add(sum(x), result.loss);
      }),
    ).toEqual([1, 1, 1]);
  });

  it('go on recording on the outer tape after the inner one', () => {
    expect(
      gradientOf((x) => {
        const before = square(x);
        gradients(engine, [x], () => ({ loss: sum(mul(x, x)) }));
        return add(sum(before), sum(square(x)));
      }),
    ).toEqual([4, 8, 12]);
  });

  it('of two engines do not mix', async () => {
    const other = await load({ threads: 1 });
    const inside = gradientOf((x) => {
      step(other, () => {
        const y = filled(other, [2], 2);
        const g = gradients(other, [y], () => ({ loss: sum(square(y)) })).gradients[0]!;
        expect([...g.read()]).toEqual([4, 4]);
      });
      return sum(square(x));
    });
    expect(inside).toEqual([2, 4, 6]);
    other.close();
  });
});
