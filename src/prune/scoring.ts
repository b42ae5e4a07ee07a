/**
 * Strategies that give each weight a score and keep the largest: all of them take the same options, how
 * layers share the zeros (allocate.ts), the pattern that zeros have (patterns.ts) and whether they come
 * gradually, within fine-tuning (gradual.ts).
 */
import * as v from 'valibot';
import { expect } from '../errors';
import { choice } from '../options';
import { SCOPES, type Scope } from './allocate';
import { GRADUAL, type Gradual, pruneOn } from './gradual';
import { checkPattern, groupOf, PATTERNS, type Pattern } from './patterns';
import type { Rise } from './schedule';
import { type Score, selectMasks } from './select';
import {
  type Decision,
  type Need,
  type PruneContext,
  type Strategy,
  type StrategyPhase,
  strategy,
} from './strategy';

/** What is a strategy's own. */
export interface Scoring<E extends v.ObjectEntries> {
  readonly about: string;
  /** By default. */
  readonly scope: Scope;
  readonly options?: E;
  readonly needs?: readonly Need[];
  readonly rise?: Rise;
  /** The one phase of a round; left out: fine-tuning of the best weights, by which the strategy decides. */
  phase?(o: Shared & Own<E>): StrategyPhase;
  /** The larger, the better to keep. */
  scores(context: PruneContext, o: Shared & Own<E>): Score | Promise<Score>;
}

type Own<E extends v.ObjectEntries> = v.InferOutput<v.StrictObjectSchema<E, undefined>>;

/** What all of them have. */
interface Shared {
  readonly scope: Scope;
  readonly pattern: Pattern;
  readonly gradual: Gradual | null;
}

/** Decides by the initial weights and trains what is left of them as pre-training does. */
export const AT_INITIALISATION: StrategyPhase = {
  ...{ name: 'finetune', decides: 'initial', start: 'initial', like: 'pretrain' },
};

/** Says that n:m is a pattern of layers that all keep the same share. */
export function checkShared(sparsity: number, { scope, pattern }: Omit<Shared, 'gradual'>): void {
  const uniform = groupOf(pattern) === undefined || scope === 'layer';
  expect(uniform, 'prune.strategy.scope', `layer for the pattern ${pattern}`, scope);
  checkPattern(pattern, sparsity);
}

export function scoring<E extends v.ObjectEntries>(given: Scoring<E>): Strategy {
  const { about, scope, needs, rise, phase } = given;
  const select = async (context: PruneContext, o: Shared & Own<E>): Promise<Decision> => {
    const score = await given.scores(context, o);
    const masks = selectMasks(context, o.scope, score, o.pattern);
    return score.moved?.(masks) ?? masks;
  };
  const entries = {
    scope: v.optional(choice(SCOPES), scope),
    pattern: v.optional(choice(PATTERNS), 'single'),
    gradual: v.optional(v.nullable(GRADUAL), null),
    ...given.options,
  };
  const own = strategy({
    about: `${about}: ${Object.keys(entries).join(', ')}`,
    options: v.strictObject(entries),
    structured: false,
    check: ({ sparsity }, o) => checkShared(sparsity, o as unknown as Shared),
    phases(o) {
      const all = o as unknown as Shared & Own<E>;
      const only = phase?.(all) ?? { name: 'finetune', decides: 'best' };
      return [all.gradual ? { ...only, every: all.gradual.every } : only];
    },
    decide(context, o) {
      const all = o as unknown as Shared & Own<E>;
      // Of a gradual run the first zeros come with the updates.
      return all.gradual ? (context.previous ?? new Map()) : select(context, all);
    },
    between(context, o) {
      const all = o as unknown as Shared & Own<E>;
      return all.gradual
        ? pruneOn(context, all.gradual, (now) => select(now, all))
        : Promise.resolve(undefined);
    },
  });
  return { ...own, ...(needs && { needs }), ...(rise && { rise }) };
}
