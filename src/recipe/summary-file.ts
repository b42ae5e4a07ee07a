/** `summary.json` of a finished run, as far as what shows it needs; other fields pass as they are. */
import * as v from 'valibot';
import { parseJson } from '../json';
import type { Summary } from '../report/types';

/** A number, or null where JSON has none (a share of nothing). */
const number = v.nullable(v.number());
const count = v.number();

const proportion = v.looseObject({
  value: number,
  correct: count,
  total: count,
  lo: number,
  hi: number,
});
const accuracies = v.looseObject({ benign: proportion, era: proportion, vra: proportion });
const method = v.looseObject({ name: v.string(), description: v.string() });
const counted = v.looseObject({ ...method.entries, dense: count, pruned: count });

const schema = v.looseObject({
  schema: v.literal('espalier-summary/1'),
  name: v.string(),
  dense: accuracies,
  pruned: accuracies,
  retained: v.looseObject({ benign: number, era: number, vra: number }),
  sparsity: v.number(),
  contradictions: count,
  layers: v.array(
    v.looseObject({
      name: v.string(),
      shape: v.array(count),
      weights: count,
      nonzero: count,
      density: number,
      macs: count,
      macsNonzero: count,
    }),
  ),
  bytes: v.looseObject({ dense: count, pruned: count, deflated: count }),
  imagesPerSecond: v.looseObject({ dense: number, pruned: number }),
  attack: method,
  verifier: method,
  suspicions: v.optional(
    v.array(v.looseObject({ kind: v.string(), images: count, text: v.string() })),
  ),
  attacks: v.optional(v.array(counted)),
  verifiers: v.optional(v.array(counted)),
  provenance: v.looseObject({
    espalier: v.string(),
    node: v.string(),
    binary: v.string(),
    threads: count,
    seed: count,
    seconds: number,
    data: v.looseObject({ name: v.string(), source: v.string(), sha256: v.string() }),
  }),
});

/** The summary in a text; undefined for anything else, which is made again. */
export function parseSummary(text: string): Summary | undefined {
  try {
    const { success, output } = v.safeParse(schema, parseJson(text, 'summary'));
    return success ? (output as unknown as Summary) : undefined;
  } catch {
    return undefined;
  }
}
