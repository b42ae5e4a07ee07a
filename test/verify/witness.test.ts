/** What witnesses are run again with: rows under a limit of bytes, and running out of memory. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isOutOfMemory } from '../../src/errors';
import { compile, sequential } from '../../src/nn/graph';
import { createModel, freeModel, type Model } from '../../src/nn/model';
import { type Engine, load, otherBinary } from '../../src/runtime/engine';
import { keep, type Tensor } from '../../src/tensor/tensor';
import { Budget } from '../../src/verify/budget';
import { confirm } from '../../src/verify/outcome';
import { inOtherBinary, newRows, replay } from '../../src/verify/replay';
import { finish, verifySpecification } from '../../src/verify/search';
import { binaries } from '../helpers/engine';
import { modelOf, randomWeights } from '../helpers/networks';
import { sampler } from '../helpers/random';

const NETWORK = sequential(
  'n',
  [30],
  [['dense', { units: 2000 }], ['relu'], ['dense', { units: 40 }]],
);
const REGION = { lo: new Float64Array(30), hi: new Float64Array(30).fill(1) };
/** Safe and unsafe everywhere. */
const about = (rhs: number) => ({
  region: REGION,
  unsafe: [{ rows: [Float64Array.from({ length: 40 }, (_, j) => Number(j === 0))], rhs: [rhs] }],
});

describe.each(binaries())('%s', (binary) => {
  let engine: Engine;
  let model: Model;
  beforeAll(async () => {
    engine = await load({ threads: 1, binary });
    model = modelOf(engine, NETWORK, randomWeights(compile(NETWORK), sampler(3)));
  });
  afterAll(() => engine.close());

  it('keeps rows as far as there is room, and computes the same with none', () => {
    const x = Float64Array.from(sampler(1).array([30], 0, 1).data);
    const wanted = replay(model, x);
    const [first, second] = [8 * 30 * 2000, 8 * 2000 * 40];
    for (const [room, left, nodes] of [
      [0, 0, 0],
      [first - 1, first - 1, 0],
      [first, 0, 1],
      [first + second - 1, second - 1, 1],
      [first + second, 0, 2],
    ] as const) {
      const rows = newRows(room);
      for (let again = 0; again < 2; again++) {
        expect(replay(model, x, rows)).toEqual(wanted);
        expect(rows.of.size).toBe(nodes);
        expect(rows.room).toBe(left);
      }
    }
  });

  it('goes on where memory does not do for float64, and says so', () => {
    const rows = newRows();
    rows.of.get = () => {
      throw new RangeError('Array buffer allocation failed');
    };
    const disagreements: string[] = [];
    const subject = {
      ...model,
      rows,
      onDisagreement: (what: string) => void disagreements.push(what),
    };
    expect(confirm(subject, about(1e9), new Float32Array(30))).toBeUndefined();
    expect(disagreements).toEqual([
      `unsafe in float32 (${binary}), but not run again: out of memory: Array buffer allocation failed`,
    ]);
    const search = verifySpecification(subject, about(1e9), { budget: new Budget({ nodes: 9 }) });
    expect(finish(search)).toMatchObject({
      verdict: 'unknown',
      // Not an error that ended it: bounds were computed after that.
      bound: expect.toSatisfy(Number.isFinite),
      reason: expect.stringMatching(/; an input is unsafe in .* not run again: out of memory/),
    });
    rows.of.get = () => {
      throw new Error('a bug');
    };
    expect(() => confirm(subject, about(1e9), new Float32Array(30))).toThrow('a bug');
  });

  it.skipIf(binaries().length < 2)('leaves no half of a copy in the other binary', async () => {
    const own = await load({ threads: 1, binary, maxMemory: 4 * 2 ** 20 });
    const small = createModel(own, NETWORK, { seed: 1 });
    const other = otherBinary(own)!;
    const piece = () => keep(other, [2 ** 16]);
    const pieces: Tensor[] = [];
    const full = (): void => {
      for (;;) pieces.push(piece());
    };
    expect(full).toThrow(/memory/);
    // Room for the first layer's weights and not for the second's.
    pieces.pop()!.free();
    const used = other.memory.usedBytes;
    const x = new Float32Array(30);
    expect(() => inOtherBinary(small, x)).toThrow(/memory/);
    expect(other.memory.usedBytes).toBe(used);
    const disagreements: string[] = [];
    const rows = newRows();
    rows.of.get = () => {
      throw new Error('float64 before a cheaper run');
    };
    const subject = {
      ...small,
      rows,
      onDisagreement: (what: string) => void disagreements.push(what),
    };
    expect(confirm(subject, about(1e9), x)).toBeUndefined();
    expect(disagreements.join()).toMatch(/not run again: out of memory: memory:/);
    for (const one of pieces) one.free();
    expect(inOtherBinary(small, x)).toMatchObject({ binary: other.binary });
    freeModel(small);
    own.close();
  });
});

it('tells what no memory does for from lengths that are mistakes', () => {
  const raised = (make: () => unknown): unknown => {
    try {
      return make();
    } catch (error) {
      return error;
    }
  };
  for (const length of [2 ** 33, 2 ** 50, 2 ** 70])
    expect(isOutOfMemory(raised(() => new Float64Array(length)))).toBe(true);
  expect(isOutOfMemory(raised(() => new ArrayBuffer(2 ** 42)))).toBe(true);
  for (const length of [-1, -(2 ** 40)]) {
    expect(raised(() => new Float64Array(length))).toBeInstanceOf(RangeError);
    expect(isOutOfMemory(raised(() => new Float64Array(length)))).toBe(false);
  }
  expect(isOutOfMemory(new RangeError('Invalid typed array length: NaN'))).toBe(false);
});
