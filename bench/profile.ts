/**
 * Where the time of a training step goes: every kernel call is clocked from outside. Each row is one
 * part of a step; the ratio of the whole step over a part is that part's share of the time.
 */
import type { Engine, KernelName } from '../src/runtime/engine';
import type { Contestant } from './harness';
import { CNN_LARGE, CNN_SMALL, type Setting, VGG16, VGG16_TINY } from './networks';
import type { Subject } from './subject';
import { trainer } from './training';

interface Case {
  readonly setting: Setting;
  readonly batch: number;
  readonly objective: 'benign' | 'ibp';
  /** Share of products and convolutions. */
  readonly bar?: number;
}

const CASES: Readonly<Record<'full' | 'tiny', readonly Case[]>> = {
  full: [
    { setting: CNN_LARGE, batch: 128, objective: 'benign', bar: 0.85 },
    { setting: VGG16, batch: 16, objective: 'benign' },
    { setting: CNN_SMALL, batch: 128, objective: 'ibp' },
  ],
  tiny: [{ setting: VGG16_TINY, batch: 2, objective: 'benign' }],
};

const PRODUCTS: readonly KernelName[] = [
  'pack_b',
  'gemm',
  'conv2d',
  'conv2d_direct',
  'conv2d_input_grad',
  'conv2d_weight_grad',
];

const WHOLE = 'whole step';
const HEAVY = 'products and convolutions';

export const profile: Subject = {
  about: 'shares of a training step, kernel by kernel',
  *races({ engine, size }) {
    for (const { setting, batch, objective, bar } of CASES[size]) {
      const { contestant, free } = trainer(engine, setting, batch, objective);
      const clock = clockKernels(engine);
      const step = whole(clock, contestant);
      step.run();
      const kernels = [...clock.seconds].sort((a, b) => b[1] - a[1]).map(([kernel]) => kernel);
      /** Of the last step: the whole step comes first in each round. */
      const part = (name: string, members: readonly KernelName[]): Contestant => ({
        name,
        selfTimed: true,
        run: () => members.reduce((total, kernel) => total + (clock.seconds.get(kernel) ?? 0), 0),
      });
      yield {
        title: `${setting.network}, ${objective}, batch ${batch}: shares of a step`,
        contestants: [
          step,
          part(HEAVY, PRODUCTS),
          ...kernels.map((kernel) => part(kernel, [kernel])),
        ],
        quotients: [
          { of: WHOLE, to: HEAVY, ...(bar === undefined ? {} : { bar }) },
          ...kernels.map((kernel) => ({ of: WHOLE, to: kernel })),
        ],
      };
      clock.stop();
      free();
    }
  },
};

/** The whole step, timed as its parts are. */
function whole({ seconds }: Clock, { run }: Contestant): Contestant {
  return {
    name: WHOLE,
    selfTimed: true,
    run() {
      seconds.clear();
      const started = performance.now();
      run();
      return (performance.now() - started) / 1000;
    },
  };
}

interface Clock {
  readonly seconds: Map<KernelName, number>;
  stop(): void;
}

/** Clocks this engine's kernel calls until `stop()`. */
function clockKernels(engine: Engine): Clock {
  const seconds = new Map<KernelName, number>();
  const plain = engine.run.bind(engine);
  const clocked: Engine['run'] = (name, ...args) => {
    const started = performance.now();
    plain(name, ...args);
    seconds.set(name, (seconds.get(name) ?? 0) + (performance.now() - started) / 1000);
  };
  engine.run = clocked;
  return { seconds, stop: () => void Reflect.deleteProperty(engine, 'run') };
}
