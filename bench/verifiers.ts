/**
 * Verifiers on networks that others trained: lower bounds of all margins of a batch of 8 by intervals,
 * CROWN-IBP and CROWN, beside recorded rates of auto_LiRPA (goldens.ts); the same with 90 % of every
 * layer's weights zero; and a table of tightness over time for all verifiers of the registry.
 *
 * Both sides compute the same bounds, with linear bounds of those hidden values that intervals leave
 * open, and both are CPU time, which other work on the machine hardly touches. The recorded rates are of
 * the networks as they are, also where ours is pruned. Our balls are cut to [0, 1], those recorded of the
 * two kw networks were not. `sound` counts roundings, plain does not. Run it on one thread.
 */
import { logits } from '../src/domain/classifier';
import { freezeSparsity } from '../src/nn/freeze';
import { lower } from '../src/nn/lower';
import { freeModel } from '../src/nn/model';
import { parseOptions } from '../src/options';
import { prune } from '../src/prune/prune';
import { strategies } from '../src/prune/strategies/registry';
import type { Engine } from '../src/runtime/engine';
import { whole } from '../src/tensor/parts';
import { sizeOf } from '../src/tensor/shape';
import { input, step, type Tensor } from '../src/tensor/tensor';
import { type BoundMethod, intervalMethod, linearMethod } from '../src/verify/methods';
import { robustness } from '../src/verify/problem';
import { provenBounds } from '../src/verify/prove';
import type { Verifier, VerifyJob } from '../src/verify/verifier';
import { verifiers as registry } from '../src/verify/verifiers/registry';
import {
  FOLDER,
  firstOf,
  type Method,
  openNetwork,
  present,
  type Question,
  RECORDED,
  type Recorded,
} from './goldens';
import { type Contestant, type Quotient, type Race, sink } from './harness';
import type { Subject } from './subject';

const METHODS: Readonly<Record<Method, (sound: boolean) => BoundMethod>> = {
  interval: (sound) => intervalMethod({ sound }),
  'CROWN-IBP': (sound) => linearMethod('crown-ibp', { sound, hidden: 'interval' }),
  CROWN: (sound) => linearMethod('crown', { sound, hidden: 'unstable' }),
};
const methods = Object.keys(METHODS) as Method[];

/** Wanted over the recorded rates, of networks as they are. */
const BARS: Readonly<Record<Method, number>> = { interval: 1, 'CROWN-IBP': 1, CROWN: 2 };
/** Wanted of pruned networks, times that; and printed beside what the networks as they are take. */
const PRUNED = { sparsity: 0.9, bar: 2 };
/** Sound bounds may take 15 % more time. */
const SOUND_BAR = 1 / 1.15;

/** Of the table: eps of the goldens at which the verifiers differ. */
const COMPARED: readonly Question[] = [
  { network: 'lirpa_mnist_cnn_small', data: 'mnist', eps: 0.1 },
  { network: 'eran_mnist_6_100', data: 'mnist', eps: 0.01 },
  { network: 'kw_cifar_small_8px', data: 'cifar', eps: 8 / 255 },
];

/** CPU seconds of the calls that a rate is the mean of. */
const RATE_SECONDS = 0.04;
/** Of the calls that a time in the table is the mean of: many for a quick one, one for a slow one. */
const LEAST_SECONDS = 0.3;

const SIZES = {
  full: { recorded: RECORDED, compared: COMPARED, batch: 8, images: 32 },
  tiny: {
    recorded: RECORDED.filter(({ network }) => network === 'lirpa_mnist_fc_3layer'),
    compared: COMPARED.slice(0, 1),
    ...{ batch: 2, images: 2 },
  },
};

export const verifiers: Subject = {
  about: 'verifiers beside recorded rates of auto_LiRPA, pruned too, and tightness over time',
  async *races({ engine, size }) {
    if (!present()) {
      console.log(`skipped: the networks are not there (${FOLDER})`);
      return;
    }
    const { recorded, compared, batch, images } = SIZES[size];
    const dense: Medians = new Map();
    for (const pruned of [false, true]) {
      const medians: Medians = pruned ? new Map() : dense;
      for (const one of recorded)
        yield* withNetwork(engine, one, { count: batch, pruned }, (job) =>
          rates(job, one, pruned, medians),
        );
      if (medians.size > 0) yield means(medians, pruned, dense);
    }
    for (const one of compared)
      yield* withNetwork(engine, one, { count: images, pruned: false }, (job) =>
        tightness(job, one),
      );
  },
};

/** A race on a network in canonical form and its first images; the network is freed after it. */
async function* withNetwork(
  engine: Engine,
  { network, data, eps }: Question,
  { count, pruned }: { readonly count: number; readonly pruned: boolean },
  race: (job: VerifyJob) => Race,
): AsyncGenerator<Race> {
  const model = await openNetwork(engine, network);
  if (pruned) {
    const goal = { sparsity: PRUNED.sparsity, seed: 1 };
    await prune(model, strategies.magnitude!, { scope: 'layer' }, goal);
  }
  const canonical = freezeSparsity(lower(model));
  yield race({ model: canonical, ...(await firstOf(data, count)), eps });
  freeModel(canonical);
  freeModel(model);
}

/** Median seconds by contestant, one a network. */
type Medians = Map<string, number[]>;

const named = (method: Method, sound: boolean): string => `${method}${sound ? ', sound' : ''}`;
const peer = (method: Method): string => `${method}, auto_LiRPA`;
const titleOf = (pruned: boolean): string => (pruned ? 'pruned 90 %' : 'as they are');

const quotients = (pruned: boolean): Required<Quotient>[] =>
  methods.flatMap((method) => [
    ...[false, true].map((sound) => ({
      ...{ of: named(method, sound), to: peer(method) },
      bar: BARS[method] * (pruned ? PRUNED.bar : 1),
    })),
    { of: named(method, true), to: named(method, false), bar: SOUND_BAR },
  ]);

function rates(job: VerifyJob, { network, ms }: Recorded, pruned: boolean, medians: Medians): Race {
  const images = job.labels.length;
  return {
    title: `${titleOf(pruned)}: ${network}, eps ${job.eps.toFixed(4)}, batch ${images}`,
    contestants: methods.flatMap((method) => [
      { name: peer(method), images, ...known((images * ms[method]) / 1000) },
      ...[false, true].map((sound) => bounded(job, method, sound)),
    ]),
    // Bars are of the means.
    quotients: quotients(pruned).map(({ of, to }) => ({ of, to })),
    done({ results }) {
      for (const { name, median } of results)
        medians.set(name, [...(medians.get(name) ?? []), median]);
    },
  };
}

/** A time that is known beforehand. */
const known = (seconds: number): Pick<Contestant, 'run' | 'selfTimed' | 'once'> => ({
  run: () => seconds,
  selfTimed: true,
  once: true,
});

/** Lower bounds of all margins of a batch, by one method alone. */
function bounded(job: VerifyJob, method: Method, sound: boolean): Contestant {
  const bounds = (own: boolean): Float64Array => marginsOf(job, METHODS[method](own));
  const name = named(method, sound);
  return {
    ...{ name, images: job.labels.length, selfTimed: true },
    run: () => cpuSeconds(() => bounds(sound)),
    check() {
      checkBelow(bounds(sound), clean(job), name);
      if (sound) checkNear(bounds(true), bounds(false), name);
    },
  };
}

/** CPU seconds of a call, as the recorded ones are, of all threads of this process. */
function cpuSeconds(call: () => unknown): number {
  const started = process.cpuUsage();
  for (let calls = 1; ; calls++) {
    sink.last = call();
    const { user, system } = process.cpuUsage(started);
    const seconds = (user + system) / 1e6;
    if (seconds >= RATE_SECONDS) return seconds / calls;
  }
}

const xOf = ({ model, images, labels }: VerifyJob): Tensor =>
  input(model.engine, images, [labels.length, ...model.graph.network.input]);

const marginsOf = ({ model, images, labels, eps }: VerifyJob, method: BoundMethod): Float64Array =>
  whole(method.bound(robustness(model, images, labels, { eps }))).lower;

/** z_y - z_j for j != y at the images themselves. */
function clean(job: VerifyJob): Float64Array {
  const z = step(job.model.engine, () => logits(job.model, xOf(job)).read());
  const k = z.length / job.labels.length;
  const margins = [...z].flatMap((value, at) => {
    const [i, label] = [Math.floor(at / k), job.labels[Math.floor(at / k)]!];
    return at % k === label ? [] : [z[i * k + label]! - value];
  });
  return Float64Array.from(margins);
}

/** Lower bounds hold at the images, but for rounding; NaN fails. */
function checkBelow(bounds: Float64Array, margins: Float64Array, who: string): void {
  const below = margins.every((m, i) => bounds[i]! <= m + 1e-4 * (1 + Math.abs(m)));
  if (!below || bounds.length !== margins.length)
    throw new Error(`${who}: expected lower bounds, got one above its margin`);
}

/** Sound bounds are below the plain ones, but for the noise in those, and not far below. */
function checkNear(sound: Float64Array, plain: Float64Array, who: string): void {
  const near = sound.every((s, i) => {
    const size = 1 + Math.abs(plain[i]!);
    return s <= plain[i]! + 1e-4 * size && s >= plain[i]! - 0.1 * size;
  });
  if (!near) throw new Error(`${who}: expected the plain bounds less what is rounded, got others`);
}

const mean = (numbers: readonly number[]): number =>
  numbers.reduce((a, b) => a + b, 0) / numbers.length;

/** Geometric means over the networks; of pruned ones beside the `dense` times. */
function means(medians: Medians, pruned: boolean, dense: Medians): Race {
  const timed = (name: string, times: readonly number[]): Contestant => ({
    ...{ name, ...known(Math.exp(mean(times.map(Math.log)))) },
  });
  const unpruned = (name: string): string => `${name}, ${titleOf(false)}`;
  const ours = methods.flatMap((method) => [false, true].map((sound) => named(method, sound)));
  const both = ours.filter((name) => pruned && dense.has(name));
  const [count] = [...medians.values()].map((times) => times.length);
  return {
    title: `${titleOf(pruned)}: geometric means over ${count} networks`,
    contestants: [
      ...[...medians].map(([name, times]) => timed(name, times)),
      ...both.map((name) => timed(unpruned(name), dense.get(name)!)),
    ],
    quotients: [...quotients(pruned), ...both.map((name) => ({ of: name, to: unpruned(name) }))],
  };
}

/** What every verifier certifies, how tight it is by itself, and what a verdict costs. */
function tightness(job: VerifyJob, { network }: Question): Race {
  const contestants = Object.entries(registry).map(([name, entry]) => judged(job, name, entry));
  return { title: `table: ${network}, eps ${job.eps.toFixed(4)}`, contestants };
}

function judged(job: VerifyJob, name: string, verifier: Verifier): Contestant {
  const images = job.labels.length;
  const options = parseOptions(verifier.options, {}, name) as never;
  let [certified, refuted, seconds] = [0, 0, 0];
  return {
    ...{ name, images, once: true, selfTimed: true },
    run() {
      const started = performance.now();
      for (let calls = 1; ; calls++) {
        const verdicts = verifier.verify(job, options);
        const spent = (performance.now() - started) / 1000;
        certified = verdicts.filter(({ verdict }) => verdict === 'certified').length;
        refuted = verdicts.filter(({ verdict }) => verdict === 'falsified').length;
        seconds = spent / calls;
        if (spent >= LEAST_SECONDS) return seconds;
      }
    },
    figures: () => ({
      'mean margin bound': meanMargin(job, verifier, options),
      certified: `${certified} of ${images}`,
      refuted: String(refuted),
      'ms a sample': ((1000 * seconds) / images).toFixed(2),
    }),
    // Compiles what the call needs, too.
    check() {
      if (verifier.verify(sampleOf(job, 0), options).length !== 1)
        throw new Error(`${name}: expected one verdict a sample`);
    },
  };
}

function sampleOf(job: VerifyJob, i: number): VerifyJob {
  const size = sizeOf(job.model.graph.network.input);
  const images = job.images.subarray(i * size, (i + 1) * size);
  return { ...job, images, labels: job.labels.subarray(i, i + 1) };
}

/** Of the least margin of each sample, by the method alone; verifiers without bounds have none. */
function meanMargin(job: VerifyJob, { method }: Verifier, options: never): string {
  if (!method) return '';
  const least = Array.from(job.labels, (label, i) => {
    const one = sampleOf(job, i);
    const { margins } = provenBounds(method(options), one);
    return Math.min(...margins.filter((_, j) => j !== label));
  });
  return mean(least).toFixed(3);
}
