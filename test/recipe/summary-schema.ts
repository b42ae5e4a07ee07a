/** Every field of `summary.json` of a toy run, and no other, with its range. */
import * as v from 'valibot';
import type { Summary } from '../../src/report/types';

const proportion = v.strictObject({
  value: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
  correct: v.pipe(v.number(), v.integer()),
  total: v.pipe(v.number(), v.integer(), v.minValue(1)),
  lo: v.number(),
  hi: v.number(),
});
const accuracies = v.strictObject({ benign: proportion, era: proportion, vra: proportion });
const share = v.nullable(v.pipe(v.number(), v.minValue(0)));
const positive = v.pipe(v.number(), v.minValue(1e-9));
const method = v.strictObject({
  name: v.string(),
  description: v.pipe(v.string(), v.minLength(5)),
});
export const SUMMARY = v.strictObject({
  schema: v.literal('espalier-summary/1'),
  name: v.string(),
  dense: accuracies,
  pruned: accuracies,
  retained: v.strictObject({ benign: share, era: share, vra: share }),
  sparsity: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
  contradictions: v.literal(0),
  layers: v.array(
    v.strictObject({
      name: v.string(),
      shape: v.array(v.number()),
      weights: positive,
      nonzero: v.number(),
      density: v.number(),
      macs: positive,
      macsNonzero: v.number(),
    }),
  ),
  bytes: v.strictObject({ dense: positive, pruned: positive, deflated: positive }),
  imagesPerSecond: v.strictObject({ dense: positive, pruned: positive }),
  attack: method,
  verifier: method,
  suspicions: v.exactOptional(
    v.array(v.strictObject({ kind: v.string(), images: positive, text: v.string() })),
  ),
  provenance: v.strictObject({
    espalier: v.pipe(v.string(), v.regex(/^\d+\.\d+\.\d+/)),
    node: v.literal(process.version),
    binary: v.picklist(['simd', 'relaxed']),
    threads: v.literal(1),
    seed: v.literal(1),
    data: v.strictObject({
      name: v.literal('toy'),
      source: v.string(),
      sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
      train: v.literal(220),
      heldOut: v.literal(20),
      test: v.literal(60),
    }),
    extraData: v.literal(false),
    config: v.record(v.string(), v.unknown()),
    startedAt: v.pipe(v.string(), v.isoTimestamp()),
    finishedAt: v.pipe(v.string(), v.isoTimestamp()),
    seconds: positive,
  }),
}) satisfies v.GenericSchema<unknown, Summary>;
