/**
 * The machine under the restricted unpickler: a cursor over hostile bytes, a stack with marks, a
 * memo, and the purse every operation is paid from. pickle.ts gives it its opcodes.
 */
import { expect, fail } from '../../errors';
import type { Value } from './values';

/** Operations and copied items of one pickle: some thirty for a tensor of a state dict. */
const PURSE = 1_000_000;
const MAX_INTEGER_BYTES = 1024;

const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** What a pickle may refer to. */
export interface Host {
  /** The value of a global by its full name, `module.name`. */
  global(name: string): Value;
  /** The value of a persistent id. */
  persistent(id: Value): Value;
  /** What calling `callee` gives; `charge(n)` before copying n items. */
  call(callee: Value, args: readonly Value[], charge: (items: number) => void): Value;
}

export class Machine {
  readonly host: Host;
  readonly who: string;
  at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #stack: Value[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Value>();
  #purse = PURSE;

  constructor(bytes: Uint8Array, host: Host, who: string, at: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.host = host;
    this.who = who;
    this.at = at;
  }

  bad(expected: string, got: unknown): never {
    fail(this.who, expected, got, 'The file is damaged, or no PyTorch file.');
  }

  readonly charge = (items: number): void => {
    this.#purse -= items;
    expect(this.#purse >= 0, this.who, `a pickle of at most ${PURSE} operations`, 'more');
  };

  // Reading.

  take(size: number): Uint8Array {
    const left = this.#bytes.length - this.at;
    if (!(size <= left)) this.bad(`${size} more bytes of pickle`, `${left}`);
    this.at += size;
    return this.#bytes.subarray(this.at - size, this.at);
  }

  u8(): number {
    return this.take(1)[0]!;
  }

  u16(): number {
    this.take(2);
    return this.#view.getUint16(this.at - 2, true);
  }

  i32(): number {
    this.take(4);
    return this.#view.getInt32(this.at - 4, true);
  }

  u32(): number {
    return this.i32() >>> 0;
  }

  u64(): number {
    return this.u32() + this.u32() * 2 ** 32;
  }

  f64(): number {
    this.take(8);
    return this.#view.getFloat64(this.at - 8);
  }

  utf8(size: number): string {
    return UTF8.decode(this.take(size));
  }

  /** Up to the next line feed, which is consumed. */
  line(): string {
    const end = this.#bytes.indexOf(10, this.at);
    if (end < 0) this.bad('a line of pickle', 'no line end');
    const text = this.utf8(end - this.at);
    this.at++;
    return text;
  }

  /** Two's complement, little-endian. */
  long(size: number): number | bigint {
    if (size > MAX_INTEGER_BYTES) this.bad('integers of at most 1024 bytes', `${size} bytes`);
    this.charge(size);
    const raw = this.take(size);
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(raw[i]!);
    return narrow(BigInt.asIntN(8 * size, value));
  }

  // The stack.

  push(value: Value): void {
    this.#stack.push(value);
  }

  pop(): Value {
    this.#need(1);
    return this.#stack.pop()!;
  }

  /** The last `count` values, removed. */
  popMany(count: number): Value[] {
    this.#need(count);
    return this.#stack.splice(this.#stack.length - count);
  }

  top(): Value {
    this.#need(1);
    return this.#stack.at(-1)!;
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  /** What was pushed since the last mark; the mark goes too. */
  popMark(): Value[] {
    const mark = this.#marks.pop();
    if (mark === undefined) this.bad('a mark on the stack', 'none');
    return this.#stack.splice(mark);
  }

  /** Drops the top value, or the mark if that is what is on top. */
  drop(): void {
    if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
    else this.pop();
  }

  put(index: number): void {
    if (!Number.isSafeInteger(index) || index < 0) this.bad('a memo index', 'something else');
    this.#memo.set(index, this.top());
  }

  get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.bad(`memo ${index} to be set`, 'unset');
    this.push(value);
  }

  memoize(): void {
    this.put(this.#memo.size);
  }

  #need(count: number): void {
    const left = this.#stack.length - (this.#marks.at(-1) ?? 0);
    if (left < count) this.bad(`${count} values on the stack`, `${left}`);
  }
}

/** A number where it is exact. */
export function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
