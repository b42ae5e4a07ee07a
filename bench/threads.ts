/**
 * Two threads over one, beside the machine's own ceiling: two processes of one thread each that make
 * the same step at the same time, so that what the two share (caches, memory, power) is not counted
 * against the threads.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { expect } from '../src/errors';
import { type Binary, type Engine, load } from '../src/runtime/engine';
import type { Contestant } from './harness';
import { CNN_LARGE, CNN_SMALL, type Setting } from './networks';
import type { Subject } from './subject';
import { trainer } from './training';

interface Case {
  readonly setting: Setting;
  readonly batch: number;
  readonly objective: 'benign' | 'ibp';
  readonly bars: readonly [overOne: number, overProcesses: number];
  /** Steps a process makes for one message, so that messages cost next to nothing. */
  readonly repeat: number;
}

const CASES: Readonly<Record<'full' | 'tiny', readonly Case[]>> = {
  full: [
    { setting: CNN_LARGE, batch: 128, objective: 'benign', bars: [1.7, 0.9], repeat: 1 },
    // Steps of small networks must not get slower with more threads.
    { setting: CNN_SMALL, batch: 128, objective: 'ibp', bars: [1, 0], repeat: 10 },
    { setting: CNN_SMALL, batch: 8, objective: 'benign', bars: [1, 0], repeat: 100 },
  ],
  tiny: [{ setting: CNN_SMALL, batch: 4, objective: 'benign', bars: [0, 0], repeat: 2 }],
};

export const threads: Subject = {
  about: 'two threads over one, and over two processes',
  async *races({ engine, size, script }) {
    const { binary } = engine;
    for (const [at, { setting, batch, objective, bars, repeat }] of CASES[size].entries()) {
      const engines = await Promise.all([1, 2].map((count) => load({ threads: count, binary })));
      await engines[1]!.settled();
      const { threads: got, reasons } = engines[1]!.info();
      expect(got === 2, 'bench: threads', '2 threads', got, reasons.join(' '));
      const steps = engines.map((own) => trainer(own, setting, batch, objective));
      const children = await Promise.all(
        [0, 1].map(() => startChild(script, { size, at, binary })),
      );
      const [one, two] = steps.map(({ contestant }, i) => named(contestant, engines[i]!));
      const both: Contestant = {
        name: '2 processes',
        ...(one!.flops === undefined ? {} : { flops: 2 * repeat * one!.flops }),
        images: 2 * repeat * batch,
        async: true,
        run: () => Promise.all(children.map(callChild)),
      };
      yield {
        title: `${setting.network}, ${objective}, batch ${batch}`,
        contestants: [one!, two!, both],
        quotients: [
          { of: two!.name, to: one!.name, bar: bars[0] },
          { of: two!.name, to: both.name, bar: bars[1] },
        ],
      };
      for (const child of children) child.kill();
      for (const own of engines) own.close();
    }
  },
};

const named = (contestant: Contestant, { threads: count }: Engine): Contestant => ({
  ...contestant,
  name: count === 1 ? '1 thread' : `${count} threads`,
});

interface Job {
  readonly size: 'full' | 'tiny';
  /** Place among the cases. */
  readonly at: number;
  readonly binary: Binary;
}

/** The word on the command line by which this bundle is a child of itself. */
export const CHILD = 'threads-child';

async function startChild(script: string, job: Job): Promise<ChildProcess> {
  const child = fork(script, [CHILD, JSON.stringify(job)]);
  await answered(child);
  return child;
}

async function callChild(child: ChildProcess): Promise<void> {
  const answer = answered(child);
  child.send('step');
  await answer;
}

function answered(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const lost = (): void => reject(new Error('a process of the bench ended early'));
    child.once('exit', lost);
    child.once('message', () => {
      child.off('exit', lost);
      resolve();
    });
  });
}

/** What the child does: some steps for every message. */
export async function runChild(text: string): Promise<void> {
  const { size, at, binary } = JSON.parse(text) as Job;
  const { setting, batch, objective, repeat } = CASES[size][at]!;
  const engine = await load({ threads: 1, binary });
  const { run, check } = trainer(engine, setting, batch, objective).contestant;
  await check?.();
  process.on('message', () => {
    for (let i = 0; i < repeat; i++) run();
    process.send?.('done');
  });
  process.send?.('ready');
}
