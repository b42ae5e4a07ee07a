/**
 * The harness of all benches, over `benchmark`: contestants of one race are checked, warmed up, and
 * then timed in turns, A B C A B C ..., so that whatever else the machine does meets all of them.
 *
 * A sample is the mean of as many calls as fill `leastSeconds`, after one call that is not timed.
 * Nothing is passed as `setup` or `teardown`, with which benchmark.js recompiles functions from their
 * source and loses their closures; its estimate of calls a second is not used either, only samples.
 */
import Benchmark from 'benchmark';
import type { Engine } from '../src/runtime/engine';

/** What a subject is given. */
export interface Context {
  readonly engine: Engine;
  readonly size: 'full' | 'tiny';
  /** This bundle, for subjects that start processes of their own. */
  readonly script: string;
  /** The library as its users import it: a path to an ES module. */
  readonly library: string;
}

export interface Contestant {
  readonly name: string;
  /** Floating-point operations of one call, a multiply-add counting two. */
  readonly flops?: number;
  /** Images of one call. */
  readonly images?: number;
  /** One call. What it returns goes to a sink, so that no engine can leave it out. */
  readonly run: () => unknown;
  /** `run` returns a promise, and a call ends with it. */
  readonly async?: boolean;
  /** `run` returns (a promise of) the seconds of the call, measured by itself. */
  readonly selfTimed?: boolean;
  /** One call is all there is, not even a warm one: for calls of many seconds. */
  readonly once?: boolean;
  /** What else the calls found, by the title of its column. */
  readonly figures?: () => Readonly<Record<string, string>>;
  /** Throws where the result is wrong. Called once, before anything is timed. */
  readonly check?: () => void | Promise<void>;
}

/** How fast one contestant is over how fast another is: operations a second, or calls where one has none. */
export interface Quotient {
  readonly of: string;
  readonly to: string;
  /** The least that is wanted. */
  readonly bar?: number;
}

export interface Race {
  readonly title: string;
  readonly contestants: readonly Contestant[];
  readonly quotients?: readonly Quotient[];
  /** Is told how it went, for races that sum up others. */
  readonly done?: (outcome: Outcome) => void;
  /** The same race of another build, through its library alone: for races that its benches may lack. */
  readonly elsewhere?: (context: Context) => Promise<Race>;
  /** How many times as fast as another build it is to be. Default: no slower. */
  readonly bar?: number;
}

export interface Plan {
  /** Turns of every contestant. */
  readonly rounds: number;
  /** Samples a turn; calls of more than a fifth of a second get one. */
  readonly samples: number;
  readonly warmSeconds: number;
  readonly leastSeconds: number;
}

export const PLAN: Plan = { rounds: 10, samples: 3, warmSeconds: 0.3, leastSeconds: 0.05 };

/** Times in seconds a call. */
export interface Result {
  readonly name: string;
  readonly flops?: number;
  readonly images?: number;
  readonly min: number;
  readonly median: number;
  /** Interquartile range over the median. */
  readonly spread: number;
  /** In the order they were taken. */
  readonly samples: readonly number[];
  readonly figures: Readonly<Record<string, string>>;
}

export interface Ratio extends Quotient {
  readonly value: number;
}

export interface Outcome {
  readonly title: string;
  readonly results: readonly Result[];
  readonly ratios: readonly Ratio[];
}

/** Where results of timed calls go. */
export const sink: { last: unknown } = { last: undefined };

const SLOW_SECONDS = 0.2;

/** Checks, warms up and times the contestants of a race; whatever `check` throws goes through. */
export async function hold(race: Race, plan: Plan): Promise<Outcome> {
  for (const { check } of race.contestants) await check?.();
  const lanes: Lane[] = [];
  for (const contestant of race.contestants)
    lanes.push({ contestant, call: await warm(contestant, plan.warmSeconds), times: [], count: 1 });
  for (let round = 0; round < plan.rounds; round++)
    for (const lane of lanes) if (round === 0 || !lane.contestant.once) await turn(lane, plan);
  const results = lanes.map(({ contestant, times }) => summarise(contestant, times));
  const ratios = ratiosOf(race.quotients ?? [], results);
  const outcome = { title: race.title, results, ratios };
  race.done?.(outcome);
  return outcome;
}

interface Lane {
  readonly contestant: Contestant;
  /** Seconds of a warm call. */
  readonly call: number;
  readonly times: number[];
  /** Calls a sample, as found in the turn before. */
  count: number;
}

/** Calls twice, and until the time is up what does not time itself; seconds of the last call. */
async function warm({ run, selfTimed, once }: Contestant, seconds: number): Promise<number> {
  if (once) return Number.POSITIVE_INFINITY;
  const end = performance.now() + 1000 * seconds;
  let last = 0;
  for (let calls = 0; calls < 2 || (!selfTimed && performance.now() < end); calls++) {
    const started = performance.now();
    sink.last = await run();
    last = (performance.now() - started) / 1000;
  }
  return last;
}

async function turn(lane: Lane, { samples, leastSeconds }: Plan): Promise<void> {
  const { contestant, call, times } = lane;
  const wanted = call > SLOW_SECONDS ? 1 : samples;
  if (contestant.selfTimed) {
    for (let i = 0; i < wanted; i++) times.push(Number(await contestant.run()));
    return;
  }
  const { run } = contestant;
  // The synchronous kind makes a call of its own before each sample.
  if (contestant.async) await run();
  const bench = new Benchmark(contestant.name, {
    ...timed(contestant),
    minSamples: wanted,
    minTime: leastSeconds,
    maxTime: 0,
    initCount: lane.count,
  });
  const sampled = await finished(bench);
  times.push(...sampled);
  lane.count = Math.max(1, Math.floor(leastSeconds / Math.min(...sampled)));
}

function timed({ run, async }: Contestant): Benchmark.Options {
  if (!async)
    return {
      fn: () => {
        sink.last = run();
      },
    };
  return {
    defer: true,
    fn: (deferred: { resolve(): void; benchmark: Benchmark }) => {
      Promise.resolve(run()).then(
        (value) => {
          sink.last = value;
          deferred.resolve();
        },
        (error) => {
          deferred.benchmark.error = error;
          deferred.benchmark.abort();
          deferred.resolve();
        },
      );
    },
  };
}

/** Seconds a call of each sample. */
function finished(bench: Benchmark): Promise<number[]> {
  return new Promise((resolve, reject) => {
    bench.on('complete', () => {
      if (bench.error) reject(bench.error);
      else resolve(bench.stats.sample);
    });
    bench.run({ async: false });
  });
}

function summarise(
  { name, flops, images, figures }: Contestant,
  samples: readonly number[],
): Result {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number): number => {
    const place = share * (sorted.length - 1);
    const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
    return low + (high - low) * (place % 1);
  };
  const median = at(0.5);
  return {
    name,
    ...(flops === undefined ? {} : { flops }),
    ...(images === undefined ? {} : { images }),
    min: sorted[0]!,
    median,
    spread: (at(0.75) - at(0.25)) / median,
    samples,
    figures: figures?.() ?? {},
  };
}

function ratiosOf(quotients: readonly Quotient[], results: readonly Result[]): Ratio[] {
  const find = (name: string): Result => {
    const found = results.find((result) => result.name === name);
    if (!found) throw new Error(`no contestant is called ${name}`);
    return found;
  };
  return quotients.map((quotient) => {
    const [a, b] = [find(quotient.of), find(quotient.to)];
    const work = a.flops && b.flops ? a.flops / b.flops : 1;
    return { ...quotient, value: (work * b.median) / a.median };
  });
}
