/** One norm for the balls of an attack and of verifiers, where all of them know it. */
import * as v from 'valibot';
import { attacks } from '../attack/attacks/registry';
import { NORMS } from '../domain/balls';
import { expect, fail } from '../errors';
import { type PlugIn, parsePlugIn } from '../options';
import { verifiers } from '../verify/verifiers/registry';

const KINDS = { attack: attacks, verifier: verifiers } as const;
type Kind = keyof typeof KINDS;

const knows = (kind: Kind, name: string, norm: string): boolean => {
  const entries = KINDS[kind][name]?.options.entries;
  return entries?.norm !== undefined && v.safeParse(entries.norm, norm).success;
};

/** The plug-ins with their option `norm`; an error names all that do not have it, and those that do. */
export function withNorm(
  plugIns: readonly (readonly [Kind, PlugIn])[],
  norm: string,
  who: string,
): PlugIn[] {
  const names: readonly string[] = NORMS;
  expect(names.includes(norm), who, `one of ${names.join(', ')}`, `"${norm}"`);
  const without = plugIns.filter(([kind, { name }]) => !knows(kind, name, norm));
  if (without.length > 0) {
    const able = (Object.keys(KINDS) as Kind[]).map((kind) => {
      const names = Object.keys(KINDS[kind]).filter((name) => knows(kind, name, norm));
      return `${kind} ${names.join(', ') || 'none'}`;
    });
    const got = without.map(([kind, { name }]) => `${kind} ${name}`).join(', ');
    fail(who, `an attack and verifiers for ${norm} balls`, got, `There are: ${able.join('; ')}.`);
  }
  return plugIns.map(([kind, plugIn]) => parsePlugIn(KINDS[kind], { ...plugIn, norm }, who));
}
