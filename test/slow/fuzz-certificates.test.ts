/** Certificates: 10 000 mutations of every kind, none of which may be accepted. */
import { expect, it } from 'vitest';
import { check } from '../../src/check/check';
import { load } from '../../src/runtime/engine';
import { KINDS, mutant } from '../helpers/certificate-mutations';
import { subjects } from '../helpers/certificate-subjects';

const COUNT = 10_000;

it('10 000 mutated certificates are rejected, each in a sentence', async () => {
  const engine = await load({ threads: 1 });
  const all = await subjects(engine);
  const counts = new Map<string, number>();
  for (let seed = 1_000_000; seed < 1_000_000 + COUNT; seed++) {
    const { kind, text, model } = await mutant(all, seed);
    const judged = await check(text, model);
    expect(judged.accepted, `${seed}, ${kind}: ${text.slice(0, 2000)}`).toBe(false);
    if (!judged.accepted) expect(judged.reason).toMatch(/: expected .*(, got |, proven is only )/s);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  expect(counts.size).toBe(Object.keys(KINDS).length);
  expect(Math.min(...counts.values())).toBeGreaterThanOrEqual(Math.floor(COUNT / counts.size));
  engine.close();
});
