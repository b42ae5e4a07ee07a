/**
 * Two builds in one interleaved run (`--against DIR`): every race is held by the contestants of both,
 * those of the other build named "NAME, before", in turns in this process. Races and contestants are
 * matched by their names; what only one build has is said and left out.
 */
import type { Engine } from '../src/runtime/engine';
import type { Contestant, Context, Outcome, Race } from './harness';
import type { Subject } from './subject';

/** What the bundle of another build exports (scripts/bench.mjs). */
export interface OtherBuild {
  /** The checkout. */
  readonly root: string;
  readonly subjects: Readonly<Record<string, Subject>>;
  load(options: { readonly binary: Engine['binary']; readonly threads: number }): Promise<Engine>;
}

/** How much slower a contestant may be than it was: 3 %. */
export const NO_SLOWER = 0.97;

const before = (name: string): string => `${name}, before`;

/** The races of a subject that both builds hold. `miss` hears of what is left out. */
export async function* racesOfBoth(
  ours: { readonly subject: Subject; readonly context: Context },
  theirs: { readonly subject: Subject; readonly context: Context },
  miss: (what: string) => void,
): AsyncGenerator<Race> {
  const others = theirs.subject.races(theirs.context);
  try {
    for await (const race of ours.subject.races(ours.context)) {
      // Both go through their races in one order, so that a race's memory is there while it is held.
      const other = race.elsewhere
        ? await race.elsewhere(theirs.context)
        : (await others.next()).value;
      const both = other && other.title === race.title ? raceOfBoth(race, other) : undefined;
      if (both && both.contestants.length > 0) yield both;
      else miss(`${race.title}: ${other ? `the other build holds ${other.title}` : 'only here'}`);
    }
  } finally {
    // What the other's race made is freed behind its `yield`, also where ours ended early.
    await others.return?.(undefined as never);
  }
}

/** One race of the contestants that have the same name in both. */
export function raceOfBoth(race: Race, other: Race): Race {
  const pairs = race.contestants.flatMap((own): [Contestant, Contestant][] => {
    const twin = other.contestants.find(({ name }) => name === own.name);
    return twin ? [[own, { ...twin, name: before(own.name) }]] : [];
  });
  return {
    title: race.title,
    contestants: pairs.flat(),
    quotients: pairs.map(([{ name }]) => ({
      of: name,
      to: before(name),
      bar: race.bar ?? NO_SLOWER,
    })),
    done(outcome) {
      race.done?.(partOf(outcome, race, (name) => name));
      other.done?.(partOf(outcome, other, before));
    },
  };
}

/** What one build's own race would have given. */
function partOf(outcome: Outcome, { contestants }: Race, named: (name: string) => string): Outcome {
  const results = contestants.flatMap(({ name }) => {
    const found = outcome.results.find((result) => result.name === named(name));
    return found ? [{ ...found, name }] : [];
  });
  return { title: outcome.title, results, ratios: [] };
}
