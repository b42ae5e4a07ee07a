/**
 * A tensor is a shape and a place in the engine's linear memory. It belongs to the step it was made
 * in, or to the kept region; using it after its step has ended is an error, not garbage.
 *
 *     const loss = step(engine, () => item(sum(relu(input(engine, data, [2, 3])))));
 */
import { EspalierError, expect, fail } from '../errors';
import { KEPT } from '../runtime/arena';
import type { Engine } from '../runtime/engine';
import type { Ptr } from '../runtime/kernels';
import { type Shape, sizeOf } from './shape';

export class Tensor {
  readonly engine: Engine;
  readonly shape: Shape;
  readonly size: number;
  /** Scope the tensor lives in; 0 is the kept region. */
  readonly epoch: number;
  readonly #ptr: Ptr;
  #freed = false;
  #holders = 0;

  /** @internal Use `input`, `keep` or an operation. */
  constructor(engine: Engine, shape: Shape, ptr: Ptr, epoch: number) {
    this.engine = engine;
    this.shape = shape;
    this.size = sizeOf(shape);
    this.epoch = epoch;
    this.#ptr = ptr;
  }

  get kept(): boolean {
    return this.epoch === KEPT;
  }

  /** Byte offset of the first element (float32, row-major). Throws when the memory is gone. */
  get ptr(): Ptr {
    if (this.#freed || !this.engine.arena.isLive(this.epoch))
      throw new EspalierError(
        `tensor [${this.shape.join(', ')}]: expected a live tensor, got one ${
          this.#freed ? 'that was freed' : `of step ${this.epoch}, which has ended`
        }. Return it from step() or keep() it.`,
      );
    return this.#ptr;
  }

  /** A copy of the elements. */
  read(): Float32Array {
    return this.engine.memory.f32(this.ptr, this.size).slice();
  }

  /** Refuses writes, as others rely on the elements as they are, until what it returns is called, once. */
  freeze(): () => void {
    this.#holders++;
    return () => void this.#holders--;
  }

  /** Throws where the tensor is frozen. */
  checkWritable(who: string): void {
    expect(this.#holders === 0, who, 'a tensor that may change', 'one of a frozen model');
  }

  /** Overwrites the elements in place (kept tensors and fresh inputs). */
  write(values: ArrayLike<number>): void {
    this.checkWritable('tensor.write');
    expect(values.length === this.size, 'tensor.write', `${this.size} values`, values.length);
    this.engine.memory.f32(this.ptr, this.size).set(values);
  }

  /** Frees a kept tensor. */
  free(): void {
    expect(this.kept && !this.#freed, 'tensor.free', 'a kept tensor', 'another');
    this.engine.memory.free(this.#ptr);
    this.#freed = true;
  }
}

/** An uninitialised tensor of the current step. */
export function empty(engine: Engine, shape: Shape): Tensor {
  const ptr = engine.arena.alloc(4 * sizeOf(shape));
  return new Tensor(engine, shape, ptr, engine.arena.epoch!);
}

/** A tensor of the current step with the given elements, row-major. */
export function input(engine: Engine, values: ArrayLike<number>, shape: Shape): Tensor {
  const tensor = empty(engine, shape);
  tensor.write(values);
  return tensor;
}

/** A tensor of the current step filled with one number. */
export function filled(engine: Engine, shape: Shape, value: number): Tensor {
  const tensor = empty(engine, shape);
  engine.run('fill', tensor.size, value, tensor.ptr);
  return tensor;
}

/**
 * Whole numbers in [0, below) for kernels that take indices or labels: a byte offset valid in this
 * step. Raises an error that begins with `who` for others, as kernels do not look.
 */
export function indices(
  engine: Engine,
  values: ArrayLike<number>,
  below: number,
  who: string,
): Ptr {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isInteger(value) || value < 0 || value >= below)
      fail(who, `whole numbers in [0, ${below})`, value);
  }
  const ptr = engine.arena.alloc(4 * values.length);
  engine.memory.i32(ptr, values.length).set(values);
  return ptr;
}

/** A kept tensor: it survives steps until `free()` or the engine's `close()`. */
export function keep(engine: Engine, shape: Shape, values?: ArrayLike<number>): Tensor {
  const tensor = new Tensor(engine, shape, engine.memory.alloc(4 * sizeOf(shape)), KEPT);
  if (values) tensor.write(values);
  else engine.memory.f32(tensor.ptr, tensor.size).fill(0);
  return tensor;
}

/** Copies elements between two tensors of one size. */
export function assign(target: Tensor, source: Tensor): void {
  target.checkWritable('assign');
  expect(target.size === source.size, 'assign', `${target.size} elements`, source.size);
  if (target.ptr !== source.ptr) target.engine.run('copy', source.size, source.ptr, target.ptr);
}

/** The number in a tensor of one element. */
export function item(tensor: Tensor): number {
  expect(tensor.size === 1, 'item', 'one element', tensor.size);
  return tensor.engine.memory.f32(tensor.ptr, 1)[0]!;
}

/**
 * Runs `fn` in a scope of its own: all scratch memory it took is free afterwards. Tensors that it
 * returns (alone, in an array or in a plain object) survive: they move to the enclosing step, or
 * become kept tensors outside of all.
 */
export function step<T>(engine: Engine, fn: () => T): T {
  engine.arena.enter();
  let left = false;
  try {
    const result = fn();
    const inner = engine.arena.epoch!;
    const saved = new Map<Tensor, Float32Array>();
    visit(result, (t) => t.epoch === inner && saved.set(t, t.read()));
    engine.arena.leave();
    left = true;
    if (saved.size === 0) return result;
    const moved = new Map<Tensor, Tensor>();
    for (const [tensor, values] of saved)
      moved.set(
        tensor,
        engine.arena.epoch === undefined
          ? keep(engine, tensor.shape, values)
          : input(engine, values, tensor.shape),
      );
    return replace(result, moved) as T;
  } finally {
    if (!left) engine.arena.leave();
  }
}

function visit(value: unknown, use: (tensor: Tensor) => void): void {
  if (value instanceof Tensor) use(value);
  else if (isContainer(value)) for (const inner of Object.values(value)) visit(inner, use);
}

function replace(value: unknown, moved: ReadonlyMap<Tensor, Tensor>): unknown {
  if (value instanceof Tensor) return moved.get(value) ?? value;
  if (Array.isArray(value)) return value.map((inner) => replace(inner, moved));
  if (!isContainer(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([k, inner]) => [k, replace(inner, moved)]));
}

function isContainer(value: unknown): value is object {
  if (Array.isArray(value)) return true;
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  );
}
