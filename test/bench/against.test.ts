/** Two builds in one race: who is matched with whom, and what each build's own race hears. */
import { expect, it } from 'vitest';
import { raceOfBoth, racesOfBoth } from '../../bench/against';
import type { Context } from '../../bench/harness';
import { hold, type Outcome, type Race } from '../../bench/harness';
import type { Subject } from '../../bench/subject';

const PLAN = { rounds: 1, samples: 1, warmSeconds: 0, leastSeconds: 1e-5 };

const timed = (name: string, seconds: number) => ({ name, selfTimed: true, run: () => seconds });
const subjectOf = (...races: Race[]): Subject => ({
  about: '',
  *races() {
    yield* races;
  },
});

it('times contestants of one name against each other', async () => {
  const heard: Outcome[] = [];
  const done = (outcome: Outcome): void => void heard.push(outcome);
  const own = { title: 'one', contestants: [timed('a', 2), timed('new', 1)], done };
  const other = { title: 'one', contestants: [timed('old', 9), timed('a', 1)], done };
  const outcome = await hold(raceOfBoth(own, other), PLAN);
  expect(outcome.results.map(({ name, median }) => [name, median])).toEqual([
    ['a', 2],
    ['a, before', 1],
  ]);
  expect(outcome.ratios).toEqual([{ of: 'a', to: 'a, before', bar: 0.97, value: 0.5 }]);
  expect(heard.map(({ results }) => results.map(({ name, median }) => [name, median]))).toEqual([
    [['a', 2]],
    [['a', 1]],
  ]);
});

it('says which races only one build has', async () => {
  const context = {} as Context;
  const race = (title: string, name: string): Race => ({ title, contestants: [timed(name, 1)] });
  const ours = subjectOf(race('both', 'a'), race('renamed', 'a'), race('longer', 'a'));
  const theirs = subjectOf(race('both', 'a'), race('other', 'a'));
  const missed: string[] = [];
  const held: string[] = [];
  const races = racesOfBoth(
    { subject: ours, context },
    { subject: theirs, context },
    (what) => void missed.push(what),
  );
  for await (const { title } of races) held.push(title);
  expect(held).toEqual(['both']);
  expect(missed).toEqual(['renamed: the other build holds other', 'longer: only here']);
});

it('ends the other build where ours ends early, and asks it for races its benches lack', async () => {
  const context = {} as Context;
  const race = (title: string): Race => ({ title, contestants: [timed('a', 1)] });
  const ended: string[] = [];
  const subjectCalled = (name: string, ...races: Race[]): Subject => ({
    about: '',
    *races() {
      try {
        yield* races;
      } finally {
        ended.push(name);
      }
    },
  });
  const portable = { ...race('new'), elsewhere: async () => race('new'), bar: 3 };
  const races = racesOfBoth(
    { subject: subjectCalled('ours', portable, race('old'), race('more')), context },
    { subject: subjectCalled('theirs', race('old'), race('more'), race('rest')), context },
    () => expect.unreachable(),
  );
  for await (const { title, quotients } of races) {
    expect(quotients![0]!.bar).toBe(title === 'new' ? 3 : 0.97);
    if (title === 'old') break;
  }
  expect(ended.toSorted()).toEqual(['ours', 'theirs']);
});
