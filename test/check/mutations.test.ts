/** Mutated certificates: none is accepted. Ten thousand of them: test/slow/fuzz-certificates.test.ts. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encode } from '../../src/check/certificate';
import { check } from '../../src/check/check';
import { type Engine, load } from '../../src/runtime/engine';
import { KINDS, mutant } from '../helpers/certificate-mutations';
import { type Subject, subjects } from '../helpers/certificate-subjects';

let engine: Engine;
let all: Subject[];
beforeAll(async () => {
  engine = await load({ threads: 1 });
  all = await subjects(engine);
});
afterAll(() => engine.close());

const ROUNDS = 10;
const kinds = Object.keys(KINDS);

describe('certificates', () => {
  it('are accepted as they are, in any order of their fields and with blanks between them', async () => {
    for (const { certificate, model } of all) {
      expect(await check(encode(certificate), model)).toMatchObject({ accepted: true });
      const turned = Object.fromEntries(Object.entries(certificate).toReversed());
      expect(await check(JSON.stringify(turned, null, 2), model)).toMatchObject({ accepted: true });
    }
  });

  it.each(kinds.map((kind, k) => [kind, k] as const))('are rejected with %s', async (_, k) => {
    for (let round = 0; round < ROUNDS; round++) {
      const { text, model } = await mutant(all, k + round * kinds.length);
      const judged = await check(text, model);
      expect(judged, text.slice(0, 2000)).toMatchObject({
        accepted: false,
        reason: expect.stringMatching(/: expected .*(, got |, proven is only )/s),
      });
    }
  });
});
