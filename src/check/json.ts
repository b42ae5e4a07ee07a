/**
 * JSON of certificates, read strictly, so that a text means one thing to everybody: a key twice in an
 * object is refused (JSON.parse keeps the last), and so are numbers in any other form than the shortest
 * that JavaScript writes: 1e400, -0, 1.0, or digits beyond a double's.
 *
 * Cost: linear in the text; at most about 40 times its bytes (a list of empty lists).
 */
import { fail, quote } from '../errors';

/** Certificates nest five deep. */
const MOST_NESTED = 16;
/** Longest number that JavaScript writes: -1.2345678901234567e-300. */
const MOST_DIGITS = 32;
/** Names that validation would pass over. */
const RESERVED = ['__proto__', 'constructor', 'prototype'];
const WORDS = { true: true, false: false, null: null } as const;

const isBlank = (c: number): boolean => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09;
/** Digits, signs, the point and the letters of exponents. */
const isNumeric = (c: number): boolean =>
  (c >= 0x30 && c <= 0x39) || c === 0x2b || c === 0x2d || c === 0x2e || c === 0x45 || c === 0x65;

/** The value of a JSON text; raises an EspalierError, with the place, where it is anything else. */
export function readJson(text: string, who: string): unknown {
  const reader = new Reader(text, who);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  #at = 0;

  constructor(
    private readonly text: string,
    private readonly who: string,
  ) {}

  value(depth: number): unknown {
    if (depth > MOST_NESTED) this.#fail(`brackets at most ${MOST_NESTED} deep`, 'more');
    this.#skip();
    const char = this.text[this.#at];
    if (char === '{') return this.#object(depth);
    if (char === '[') return this.#list(depth);
    if (char === '"') return this.#string();
    if (isNumeric(this.text.charCodeAt(this.#at))) return this.#number();
    for (const [word, value] of Object.entries(WORDS))
      if (this.text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    this.#refuse('a value');
  }

  end(): void {
    this.#skip();
    if (this.#at < this.text.length) this.#refuse('its end');
  }

  #object(depth: number): object {
    const found = new Map<string, unknown>();
    this.#items('}', () => {
      if (this.text[this.#at] !== '"') this.#refuse('a name in quotes');
      const key = this.#string();
      if (found.has(key)) this.#fail('every name once', `${quote(key)} twice`);
      if (RESERVED.includes(key)) this.#fail('names of fields and nodes', quote(key));
      this.#skip();
      if (this.text[this.#at] !== ':') this.#refuse('a colon');
      this.#at++;
      found.set(key, this.value(depth + 1));
    });
    return Object.fromEntries(found);
  }

  #list(depth: number): unknown[] {
    const found: unknown[] = [];
    this.#items(']', () => found.push(this.value(depth + 1)));
    return found;
  }

  /** What stands between an opening bracket here and `close`, separated by commas. */
  #items(close: string, item: () => void): void {
    this.#at++;
    this.#skip();
    if (this.text[this.#at] === close) {
      this.#at++;
      return;
    }
    for (;;) {
      this.#skip();
      item();
      this.#skip();
      const char = this.text[this.#at];
      if (char !== ',' && char !== close) this.#refuse(`a comma or ${close}`);
      this.#at++;
      if (char === close) return;
    }
  }

  #string(): string {
    const start = this.#at++;
    for (; ; this.#at++) {
      const char = this.text[this.#at];
      if (char === undefined) this.#refuse('a closing quote');
      if (char === '"') break;
      if (char === '\\') this.#at++;
    }
    this.#at++;
    try {
      return JSON.parse(this.text.slice(start, this.#at)) as string;
    } catch {
      this.#at = start;
      this.#refuse('a string');
    }
  }

  #number(): number {
    const start = this.#at;
    while (isNumeric(this.text.charCodeAt(this.#at)) && this.#at - start <= MOST_DIGITS) this.#at++;
    const token = this.text.slice(start, this.#at);
    const value = Number(token);
    if (!Number.isFinite(value) || String(value) !== token)
      this.#fail('finite numbers as JavaScript writes them (0.1, 1e-7, -2)', token);
    return value;
  }

  #skip(): void {
    while (isBlank(this.text.charCodeAt(this.#at))) this.#at++;
  }

  #refuse(expected: string): never {
    const end = this.#at >= this.text.length;
    const got = end ? 'the end of the text' : quote(this.text.slice(this.#at, this.#at + 20));
    this.#fail(`${expected} at character ${this.#at}`, got);
  }

  #fail(expected: string, got: string): never {
    fail(this.who, `a certificate as JSON, with ${expected}`, got);
  }
}
