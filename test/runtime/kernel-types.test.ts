/** Kernel calls as the compiler sees them: `tsc` fails where one of these lines has no error. */
import { expect, it } from 'vitest';
import { type Engine, load } from '../../src/runtime/engine';
import { element, type Ptr } from '../../src/runtime/kernels';

/** Never called: what is wrong with these calls is their types. */
const mistaken = (engine: Engine, at: Ptr): void => {
  // @ts-expect-error A count is no address.
  engine.run('relu', 4, 8, at);
  // @ts-expect-error An address is no count.
  engine.run('relu', at, at, at);
  // @ts-expect-error A sum of an address and a number is a number: `element` gives addresses.
  engine.run('relu', 4, at + 16, at);
  // @ts-expect-error Only what may be absent may be 0.
  engine.run('relu', 4, at, 0);
  // @ts-expect-error Nor is an address a number that is rounded to float32.
  engine.run('fill', 4, at, at);
};

it('counts and addresses are plain numbers at run time', async () => {
  const engine = await load({ threads: 1 });
  const at = engine.memory.alloc(32);
  engine.run('fill', 8, 1, at);
  engine.run('fill', 4, 2, element(at, 2));
  expect([...engine.memory.f32(at, 8)]).toEqual([1, 1, 2, 2, 2, 2, 1, 1]);
  expect(mistaken).toBeTypeOf('function');
  engine.close();
});
