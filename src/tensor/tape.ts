/**
 * Reverse-mode differentiation. While a tape is open every operation whose inputs depend on a
 * watched tensor leaves an entry: its output, and for each input a pullback that turns the output's
 * gradient into the input's. Pullbacks are written in operations. Tapes nest: the innermost records,
 * so an attack inside a loss is a constant of that loss.
 */
import { expect } from '../errors';
import type { Engine } from '../runtime/engine';
import { empty, filled, scattered, type Tensor } from './tensor';

/** Gradient with respect to one input, given the gradient `g` of the output. */
export type Pullback = (g: Tensor) => Tensor;

interface Entry {
  readonly output: Tensor;
  readonly inputs: readonly Tensor[];
  /** null where the derivative is 0 wherever there is one, as of comparisons. */
  readonly pullbacks: readonly (Pullback | null)[];
}

interface Tape {
  readonly entries: Entry[];
  readonly tracked: Set<Tensor>;
}

const tapes = new WeakMap<Engine, Tape[]>();

/**
 * Notes how `output` came about, where a tape is open and an input is tracked; returns `output`.
 * Raises an error where the inputs are of several engines, as offsets mean nothing in another memory.
 */
export function record(
  output: Tensor,
  inputs: readonly Tensor[],
  pullbacks: readonly (Pullback | null)[],
): Tensor {
  const { engine } = output;
  for (const input of inputs)
    expect(input.engine === engine, 'operation', 'tensors of one engine', 'those of several');
  const tape = tapes.get(engine)?.at(-1);
  if (tape && inputs.some((input, i) => pullbacks[i] && tape.tracked.has(input))) {
    tape.entries.push({ output, inputs, pullbacks });
    tape.tracked.add(output);
  }
  return output;
}

/** Whether operations are noted now. */
export const isRecording = (engine: Engine): boolean => (tapes.get(engine)?.length ?? 0) > 0;

/**
 * The value of `fn` and the gradients of its (one-element) loss with respect to `wanted`, in that
 * order; zeros where the loss does not depend on one. Runs inside `step()`.
 */
export function gradients<T extends { readonly loss: Tensor }>(
  engine: Engine,
  wanted: readonly Tensor[],
  fn: () => T,
): { readonly result: T; readonly gradients: Tensor[] } {
  const tape: Tape = { entries: [], tracked: new Set(wanted) };
  const stack = tapes.get(engine) ?? [];
  tapes.set(engine, stack);
  stack.push(tape);
  let result: T;
  try {
    result = fn();
  } finally {
    stack.pop();
  }
  expect(result.loss.size === 1, 'gradients', 'a loss of one element', `${result.loss.size}`);
  return { result, gradients: withoutTape(stack, () => pull(engine, tape, result.loss, wanted)) };
}

/** Walks the entries backwards and adds up gradients. */
function pull(engine: Engine, tape: Tape, loss: Tensor, wanted: readonly Tensor[]): Tensor[] {
  const found = new Map<Tensor, Tensor>([[loss, filled(engine, loss.shape, 1)]]);
  for (const { output, inputs, pullbacks } of tape.entries.reverse()) {
    const g = found.get(output);
    if (!g) continue;
    inputs.forEach((input, i) => {
      const pullback = pullbacks[i];
      if (!pullback || !tape.tracked.has(input)) return;
      const mine = pullback(g);
      const other = found.get(input);
      found.set(input, other ? total(other, mine) : mine);
    });
  }
  return wanted.map((tensor) => found.get(tensor) ?? filled(engine, tensor.shape, 0));
}

/** a + b of one shape; operations are above this file, so it calls the kernel itself. */
function total(a: Tensor, b: Tensor): Tensor {
  const [few, other] = [a.few, b.few];
  if (few && few.mask === other?.mask)
    return scattered(a.engine, a.shape, { ...few, values: total(few.values, other.values) });
  const y = empty(a.engine, a.shape);
  a.engine.run('lincomb', a.size, 1, a.ptr, 1, b.ptr, y.ptr);
  return y;
}

/** Pullbacks run operations too; an outer tape must not record them. */
function withoutTape<T>(stack: Tape[], fn: () => T): T {
  const outer = stack.splice(0);
  try {
    return fn();
  } finally {
    stack.push(...outer);
  }
}
