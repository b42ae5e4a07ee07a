/**
 * The benches' command line; scripts/bench.mjs bundles and starts it.
 *
 *     npm run bench -- [SUBJECT ...] [--binary auto] [--threads 1] [--only TEXT] [--rounds 10] [--markdown]
 *     npm run bench -- [SUBJECT ...] --against DIR    this build and that of another checkout, in turns
 */
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { EspalierError, expect, lookup } from '../src/errors';
import { type Binary, load } from '../src/runtime/engine';
import { type OtherBuild, racesOfBoth } from './against';
import type { Context } from './harness';
import { hold, type Outcome, PLAN, type Plan } from './harness';
import { machineLine, machineOf, render, save } from './report';
import { subjects } from './subjects';
import { CHILD, runChild } from './threads';

/** Need packages of their own: only by name. */
const BY_NAME = ['peers', 'pruned'];

const RESULTS = 'bench/results';

interface Choice {
  readonly only: string;
  readonly plan: Plan;
  readonly other: OtherBuild | undefined;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      binary: { type: 'string', default: 'auto' },
      threads: { type: 'string', default: '1' },
      only: { type: 'string', default: '' },
      rounds: { type: 'string', default: String(PLAN.rounds) },
      markdown: { type: 'boolean', default: false },
      against: { type: 'string' },
    },
  });
  const all = Object.keys(subjects).filter((name) => !BY_NAME.includes(name));
  const plan = { ...PLAN, rounds: whole('rounds', values.rounds) };
  const threads = whole('threads', values.threads);
  const other = values.against
    ? ((await import(pathToFileURL(values.against).href)) as OtherBuild)
    : undefined;
  for (const name of positionals.length > 0 ? positionals : all) {
    const subject = lookup(subjects, name, 'bench');
    const binary = values.binary as Binary | 'auto';
    const engine = await load({ binary, threads });
    await engine.settled();
    const machine = machineOf(engine.info());
    console.log(
      `${name}: ${subject.about}\n${[machineLine(machine), ...machine.reasons].join('\n')}`,
    );
    const outcomes: Outcome[] = [];
    const script = fileURLToPath(import.meta.url);
    const context: Context = { engine, size: 'full', script, library: libraryOf('.') };
    for await (const outcome of outcomesOf(name, context, { only: values.only, plan, other })) {
      outcomes.push(outcome);
      console.log(`\n${render(outcome, values.markdown ? 'markdown' : 'text')}`);
    }
    const saved = outcomes.length > 0 && (await save(RESULTS, name, machine, outcomes));
    console.log(`\n${saved || `no race has "${values.only}" in its title`}\n`);
    engine.close();
  }
}

const libraryOf = (root: string): string => join(root, 'dist/index.js');

function whole(option: string, text: string): number {
  const value = Number(text);
  expect(Number.isInteger(value) && value >= 1, `--${option}`, 'a whole number >= 1', text);
  return value;
}

async function* outcomesOf(
  name: string,
  context: Context,
  { only, plan, other }: Choice,
): AsyncGenerator<Outcome> {
  const ours = { subject: subjects[name]!, context };
  const engine = await other?.load({ ...context.engine.info() });
  const theirs = other?.subjects[name];
  if (other && !theirs) console.error(`${name}: the other build has no such subject`);
  const races =
    engine && theirs
      ? racesOfBoth(
          ours,
          { subject: theirs, context: { ...context, engine, library: libraryOf(other!.root) } },
          console.error,
        )
      : ours.subject.races(context);
  for await (const race of races) {
    if (!race.title.includes(only)) continue;
    const outcome = await hold(race, plan).catch((error: unknown) => lost(race.title, error));
    if (outcome) yield outcome;
  }
  engine?.close();
}

/** A race that fails is told of, and does not take the others with it. */
function lost(title: string, error: unknown): undefined {
  console.error(`\n${title}: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

if (process.argv[2] === CHILD) await runChild(process.argv[3]!);
else
  await main().catch((error) => {
    if (!(error instanceof EspalierError || error instanceof TypeError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  });
