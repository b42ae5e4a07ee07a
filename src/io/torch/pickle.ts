/**
 * A restricted unpickler for protocols 0 to 5: a stack machine over bytes that builds the inert
 * records of values.ts and calls nothing but the host it is given. The opcodes are those of
 * Python's `pickletools`; out-of-band buffers and the extension registry are refused.
 *
 * Hostile input: a file pays for every operation and every item it has copied, from a fixed purse,
 * so neither memo references nor deep nesting buy more than the purse holds; integers are at most
 * 1024 bytes, nothing recurses, and every read is inside the file.
 */
import { type Host, Machine, narrow } from './machine';
import { asKind, EMPTY, type List, type Tuple, type Value } from './values';

/** The first pickle at or after `at`, and where it ends. Errors begin with `who`. */
export function unpickle(
  bytes: Uint8Array,
  host: Host,
  who: string,
  at = 0,
): { readonly value: Value; readonly end: number } {
  const machine: Machine = new Machine(bytes, host, who, at);
  for (;;) {
    const from = machine.at;
    const code = machine.u8();
    if (code === STOP) return { value: machine.pop(), end: machine.at };
    machine.charge(1);
    const op = TABLE[code];
    if (!op)
      return machine.bad(`an opcode at byte ${from}`, `0x${code.toString(16).padStart(2, '0')}`);
    op(machine);
  }
}

type Op = (m: Machine) => void;

const STOP = 0x2e;

const constant =
  (value: Value): Op =>
  (m) =>
    m.push(value);
const list = (items: Value[]): List => ({ kind: 'list', items });
const tuple = (items: Value[]): Tuple => (items.length === 0 ? EMPTY : { kind: 'tuple', items });
const tupleOf =
  (count: number): Op =>
  (m) =>
    m.push(tuple(m.popMany(count)));
const text =
  (size: (m: Machine) => number): Op =>
  (m) =>
    m.push(m.utf8(size(m)));
const raw =
  (size: (m: Machine) => number): Op =>
  (m) =>
    m.push(m.take(size(m)));

/** Every opcode but STOP by its character. */
const OPS: Readonly<Record<string, Op>> = {
  // Stack and memo.
  '(': (m) => m.mark(),
  '0': (m) => m.drop(),
  '1': (m) => void m.popMark(),
  '2': (m) => m.push(m.top()),
  p: (m) => m.put(decimal(m)),
  q: (m) => m.put(m.u8()),
  r: (m) => m.put(m.u32()),
  g: (m) => m.get(decimal(m)),
  h: (m) => m.get(m.u8()),
  j: (m) => m.get(m.u32()),
  '\x94': (m) => m.memoize(),
  '\x80': (m) => {
    const version = m.u8();
    if (version > 5) m.bad('a pickle protocol up to 5', version);
  },
  '\x95': (m) => void m.u64(),

  // Numbers and constants.
  N: constant(null),
  '\x88': constant(true),
  '\x89': constant(false),
  I: (m) => m.push(textInteger(m)),
  L: (m) => m.push(textInteger(m)),
  J: (m) => m.push(m.i32()),
  K: (m) => m.push(m.u8()),
  M: (m) => m.push(m.u16()),
  '\x8a': (m) => m.push(m.long(m.u8())),
  '\x8b': (m) => m.push(m.long(m.u32())),
  F: (m) => m.push(Number(m.line())),
  G: (m) => m.push(m.f64()),

  // Text and bytes; Python 2 wrote names as byte strings.
  S: (m) => m.push(quoted(m)),
  T: text((m) => m.u32()),
  U: text((m) => m.u8()),
  V: (m) => m.push(m.line().replace(UNICODE_ESCAPE, (_, a, b) => character(a ?? b))),
  X: text((m) => m.u32()),
  '\x8c': text((m) => m.u8()),
  '\x8d': text((m) => m.u64()),
  B: raw((m) => m.u32()),
  C: raw((m) => m.u8()),
  '\x8e': raw((m) => m.u64()),
  '\x96': raw((m) => m.u64()),

  // Containers.
  ')': constant(EMPTY),
  '\x85': tupleOf(1),
  '\x86': tupleOf(2),
  '\x87': tupleOf(3),
  t: (m) => m.push(tuple(m.popMark())),
  ']': (m) => m.push(list([])),
  l: (m) => m.push(list(m.popMark())),
  a: (m) => append(m, [m.pop()]),
  e: (m) => append(m, m.popMark()),
  '}': (m) => m.push({ kind: 'dict', entries: new Map() }),
  d: (m) => {
    const items = m.popMark();
    m.push({ kind: 'dict', entries: new Map() });
    setItems(m, items);
  },
  s: (m) => setItems(m, m.popMany(2)),
  u: (m) => setItems(m, m.popMark()),
  '\x8f': (m) => m.push(list([])),
  '\x90': (m) => append(m, m.popMark()),
  '\x91': (m) => m.push(list(m.popMark())),

  // Globals, calls and objects.
  c: (m) => m.push(global(m, m.line(), m.line())),
  '\x93': stackGlobal,
  P: (m) => m.push(m.host.persistent(m.line())),
  Q: (m) => m.push(m.host.persistent(m.pop())),
  R: call,
  '\x81': call,
  '\x92': (m) => {
    m.pop(); // keyword arguments mean nothing to a record
    call(m);
  },
  o: callMarked,
  i: (m) => {
    const callee = global(m, m.line(), m.line());
    m.push(m.host.call(callee, m.popMark(), m.charge));
  },
  b: build,
};

const TABLE: readonly (Op | undefined)[] = Array.from(
  { length: 256 },
  (_, code) => OPS[String.fromCharCode(code)],
);

const UNICODE_ESCAPE = /\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g;
const STRING_ESCAPE = /\\(?:x([0-9a-fA-F]{2})|([\\'"nrt]))/g;
const ESCAPED: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

function character(hex: string): string {
  const code = Number.parseInt(hex, 16);
  return code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
}

function quoted(m: Machine): string {
  const line = m.line();
  const quote = line.at(0);
  if (line.length < 2 || (quote !== "'" && quote !== '"') || line.at(-1) !== quote)
    m.bad('a quoted string', 'another line');
  return line
    .slice(1, -1)
    .replace(STRING_ESCAPE, (_, hex, char) => (hex ? character(hex) : (ESCAPED[char] ?? char)));
}

/** `I01` and `I00` are how protocols 0 and 1 spell true and false. */
function textInteger(m: Machine): Value {
  const line = m.line();
  if (line === '01' || line === '00') return line === '01';
  if (!/^-?\d{1,1024}L?$/.test(line)) m.bad('an integer of at most 1024 digits', 'another line');
  return narrow(BigInt(line.replace('L', '')));
}

function decimal(m: Machine): number {
  const line = m.line();
  if (!/^\d{1,10}$/.test(line)) m.bad('a memo index', 'another line');
  return Number(line);
}

function global(m: Machine, module: string, name: string): Value {
  if (module.length + name.length > 200)
    m.bad('a global of at most 200 characters', 'a longer one');
  return m.host.global(`${module}.${name}`);
}

function stackGlobal(m: Machine): void {
  const [module, name] = m.popMany(2);
  if (typeof module !== 'string' || typeof name !== 'string')
    m.bad('a global by two strings', 'something else');
  m.push(global(m, module, name));
}

function callMarked(m: Machine): void {
  const [callee, ...args] = m.popMark();
  if (callee === undefined) m.bad('a class after the mark', 'nothing');
  m.push(m.host.call(callee, args, m.charge));
}

function call(m: Machine): void {
  const [callee, args] = m.popMany(2);
  const items = asKind(args, 'tuple')?.items;
  if (callee === undefined || !items) m.bad('a tuple of arguments', 'something else');
  m.push(m.host.call(callee, items, m.charge));
}

function append(m: Machine, items: readonly Value[]): void {
  const target = m.top();
  const into = asKind(target, 'list')?.items;
  if (into) for (const item of items) into.push(item);
  else if (!isRecord(target)) m.bad('a list to append to', 'something else');
}

function setItems(m: Machine, items: readonly Value[]): void {
  const target = m.top();
  const into = asKind(target, 'dict')?.entries;
  if (items.length % 2 !== 0) m.bad('keys with values', 'a key alone');
  if (into) for (let i = 0; i < items.length; i += 2) into.set(items[i]!, items[i + 1]!);
  else if (!isRecord(target)) m.bad('a dict to fill', 'something else');
}

/** Records of classes that are lists or dicts, too, hold nothing. */
const isRecord = (value: Value): boolean =>
  asKind(value, 'refused') !== undefined || asKind(value, 'object') !== undefined;

/** The state of an object. What else has attributes (dicts, tensors) does not need them here. */
function build(m: Machine): void {
  const state = m.pop();
  const target = m.top();
  const object = asKind(target, 'object');
  if (object) object.state = state;
}
