/**
 * Strategies that give each weight a score and keep the largest: all of them take the same options, how
 * layers share the zeros (allocate.ts), the pattern that zeros have (patterns.ts) and whether they come
 * gradually, within fine-tuning (gradual.ts).
 */
import * as v from 'valibot';
import { expect } from '../errors';
import { choice } from '../options';
import { SCOPES, type Scope } from './allocate';
import { GRADUAL, pruneOn } from './gradual';
import { checkPattern, groupOf, PATTERNS } from './patterns';
import type { SparsitySchedule } from './schedule';
import { type Score, selectMasks } from './select';
import {
  type Decision,
  type Need,
  type PruneContext,
  type Strategy,
  type StrategyPhase,
  strategy,
} from './strategy';

/** Options that all of them have. */
const SHARED = {
  scope: v.optional(choice(SCOPES), 'layer'),
  pattern: v.optional(choice(PATTERNS), 'single'),
  gradual: v.optional(v.nullable(GRADUAL), null),
};
type Shared = v.InferOutput<v.StrictObjectSchema<typeof SHARED, undefined>>;

type Schema<E extends v.ObjectEntries> = v.StrictObjectSchema<
  Omit<typeof SHARED, keyof E> & E,
  undefined
>;
type Own<E extends v.ObjectEntries> = v.InferOutput<v.StrictObjectSchema<E, undefined>>;

/** What is a strategy's own. */
export interface Scoring<E extends v.ObjectEntries> {
  readonly name: string;
  readonly about: string;
  /** By default. */
  readonly scope: Scope;
  readonly options?: E;
  readonly needs?: readonly Need[];
  readonly sparsitySchedule?: SparsitySchedule;
  /** The one phase of a round; left out: fine-tuning of the best weights, by which the strategy decides. */
  phase?(o: Shared & Own<E>): StrategyPhase;
  /** The larger, the better to keep. */
  scores(context: PruneContext, o: Shared & Own<E>): Score | Promise<Score>;
}

/** Decides by the initial weights and trains what is left of them as pre-training does. */
export const AT_INITIALISATION: StrategyPhase = {
  ...{ name: 'finetune', decides: 'initial', start: 'initial', hyperparameters: 'pretrain' },
};

/** Raises an error for sparsities and scopes that a pattern cannot have. */
function checkShared(sparsity: number, { scope, pattern }: Shared): void {
  const uniform = groupOf(pattern) === undefined || scope === 'layer';
  expect(uniform, 'prune.strategy.scope', `layer for the pattern ${pattern}`, scope);
  checkPattern(pattern, sparsity);
}

/** The strategy that keeps the weights of the largest scores. */
export function scoring<E extends v.ObjectEntries>(given: Scoring<E>): Strategy<Schema<E>> {
  const { name, about, scope, needs, sparsitySchedule, phase } = given;
  const entries = { ...SHARED, scope: v.optional(choice(SCOPES), scope), ...given.options };
  const select = async (context: PruneContext, o: Shared & Own<E>): Promise<Decision> => {
    const score = await given.scores(context, o);
    const masks = selectMasks(context, o.scope, score, o.pattern);
    return score.moved?.(masks) ?? masks;
  };
  const made = strategy({
    name,
    about: `${about}: ${Object.keys(entries).join(', ')}`,
    options: v.strictObject(entries as typeof SHARED),
    structured: false,
    ...(needs && { needs }),
    ...(sparsitySchedule && { sparsitySchedule }),
    check: ({ sparsity }, o) => checkShared(sparsity, o),
    phases(o) {
      const only = phase?.(o as Shared & Own<E>) ?? { name: 'finetune', decides: 'best' };
      return [o.gradual ? { ...only, every: o.gradual.every } : only];
    },
    // Of a gradual run the first zeros come with the updates.
    decide: (context, o) =>
      o.gradual ? (context.previous ?? new Map()) : select(context, o as Shared & Own<E>),
    betweenBatches: (context, o) =>
      o.gradual
        ? pruneOn(context, o.gradual, (now) => select(now, o as Shared & Own<E>))
        : undefined,
  });
  // What it takes beside the shared options is known to the schema alone.
  return made as unknown as Strategy<Schema<E>>;
}
