/** Every attack of the registry: inside its ball, fair to every sample, and worth its time. */

import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Attack,
  type AttackJob,
  attack,
  pick,
  runAttack,
  wrongSamples,
} from '../../src/attack/attack';
import { attacks } from '../../src/attack/attacks/registry';
import type { DataSet } from '../../src/data/types';
import { NORMS, type Norm } from '../../src/domain/balls';
import { lower } from '../../src/nn/lower';
import type { Model } from '../../src/nn/model';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { bits } from '../helpers/engine';
import { sampler } from '../helpers/random';
import { batchFrom, range, toySet, trainedToy } from '../train/toy';

const SIZE = 16;
const COUNT = 60;
const EPS = 0.25;
let engine: Engine;
let set: DataSet;
let model: Model;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  set = await toySet();
  model = lower(trainedToy(engine, set, { objective: objectives.benign! }));
});
afterAll(() => engine.close());

const jobOf = (given: Partial<AttackJob> = {}): AttackJob => ({
  model,
  ...batchFrom(set, set.test, range(0, COUNT)),
  eps: EPS,
  seed: 7,
  ...given,
});
const count = (broken: Uint8Array): number => broken.reduce((n, b) => n + b, 0);

/** Options of attacks whose defaults take long on images of 16 pixels. */
const QUICK: Readonly<Record<string, object>> = {
  square: { queries: 200 },
  autoattack: { queries: 200 },
  cw: { steps: 100 },
};

/** Norms that an attack's option `norm` takes; one undefined where it has none. */
function normsOf({ options }: Attack): readonly (Norm | undefined)[] {
  const { norm } = options.entries;
  return norm ? NORMS.filter((one) => v.safeParse(norm, one).success) : [undefined];
}

/** Every attack with its defaults, and in every norm it knows. */
const cases = Object.entries(attacks).flatMap(([name, entry]) =>
  normsOf(entry).map((norm) => ({
    title: [name, norm].filter(Boolean).join(' '),
    entry,
    options: parseOptions(entry.options, { ...QUICK[name], ...(norm && { norm }) }, name) as never,
  })),
);

const LENGTHS: Readonly<Record<Norm, (delta: ArrayLike<number>) => number>> = {
  linf: (delta) => Math.max(...Array.from(delta, Math.abs)),
  l2: (delta) => Math.hypot(...Array.from(delta)),
  l1: (delta) => Array.from(delta, Math.abs).reduce((a, b) => a + b, 0),
};

describe.each(cases)('$title', ({ entry, options }) => {
  const norm = entry.norm(options);
  const lengthOf = LENGTHS[norm];
  // Other balls reach less far in every pixel.
  const eps = EPS * { linf: 1, l2: 3, l1: 8 }[norm];

  it('stays in its ball and in [0, 1], and says which norm it is', () => {
    for (const radius of [1e-6, 0.03, eps, 1]) {
      const job = jobOf({ eps: radius });
      const found = entry.run(job, options);
      expect(found).toHaveLength(COUNT * SIZE);
      for (const i of range(0, COUNT)) {
        const [here, clean] = [found, job.images].map((all) =>
          all.subarray(i * SIZE, (i + 1) * SIZE),
        );
        expect(here!.every((v) => v >= 0 && v <= 1)).toBe(true);
        const delta = Array.from(here!, (v, p) => Math.abs(v - clean![p]!));
        expect(lengthOf(delta)).toBeLessThanOrEqual(radius * (1 + 1e-6) + 1e-6);
      }
    }
    expect(entry.describe(options, 0.1)).toContain(
      { linf: 'L-infinity', l2: 'L2', l1: 'L1' }[norm],
    );
    expect(entry.describe(options, 0.1)).toContain('0.1');
  });

  it('breaks nothing without a radius and everything with all of it', () => {
    expect(count(runAttack(entry, options, jobOf({ eps: 1e-9 })).broken)).toBe(
      count(wrongSamples(model, jobOf().images, jobOf().labels)),
    );
    const everywhere = { linf: 1, l2: 4, l1: 16 }[norm];
    const { broken } = runAttack(entry, options, jobOf({ eps: everywhere }));
    expect(count(broken)).toBeGreaterThanOrEqual(0.9 * COUNT);
  });

  it('reports broken what is broken when looked at again, and attacks only what was right', () => {
    const job = jobOf({
      eps,
      labels: jobOf().labels.map((label, i) => (i < 3 ? (label + 1) % 4 : label)),
    });
    const { broken, images } = runAttack(entry, options, job);
    expect([...wrongSamples(model, images, job.labels)]).toEqual([...broken]);
    expect([...broken.subarray(0, 3)]).toEqual([1, 1, 1]);
    expect(images.subarray(0, 3 * SIZE)).toEqual(job.images.subarray(0, 3 * SIZE));
  });

  it('gives the same result again, in any order and in batches of any size', () => {
    const job = jobOf({ eps });
    const { broken, images } = runAttack(entry, options, job);
    expect(count(broken)).toBeGreaterThan(0);
    expect(bits(runAttack(entry, options, job).images)).toEqual(bits(images));
    for (const rows of [range(0, COUNT).reverse(), [17], range(5, 12)]) {
      const part = runAttack(entry, options, pick(job, rows));
      rows.forEach((i, at) => {
        expect(part.broken[at]).toBe(broken[i]);
        expect(bits(part.images.subarray(at * SIZE, (at + 1) * SIZE))).toEqual(
          bits(images.subarray(i * SIZE, (i + 1) * SIZE)),
        );
      });
    }
  });

  it('does better than a hundred random points of its ball', () => {
    const job = jobOf({ eps });
    const random = sampler(3);
    const noisy = new Uint8Array(COUNT);
    for (let draw = 0; draw < 100; draw++) {
      const images = job.images.slice();
      for (const i of range(0, COUNT)) {
        const step = random.array([SIZE], -1, 1).data;
        const length = norm === 'linf' ? 1 : lengthOf(step);
        step.forEach((d, p) => {
          const at = i * SIZE + p;
          images[at] = Math.min(1, Math.max(0, images[at]! + (eps * d) / length));
        });
      }
      wrongSamples(model, images, job.labels).forEach((w, i) => {
        noisy[i]! |= w;
      });
    }
    expect(count(runAttack(entry, options, job).broken)).toBeGreaterThan(count(noisy) + 5);
  });

  it('is not blinded by a network that is very sure', () => {
    const job = jobOf({ eps });
    const sure = { ...model, params: new Map(model.params) };
    const original = ['fc.weight', 'fc.bias'].map((name) => sure.params.get(name)!);
    const values = original.map((t) => t.read());
    const { broken } = runAttack(entry, options, job);
    // The same decisions everywhere, with cross entropies and their gradients of zero.
    for (const [i, t] of original.entries()) t.write(values[i]!.map((v) => 1000 * v));
    const again = runAttack(entry, options, job).broken;
    for (const [i, t] of original.entries()) t.write(values[i]!);
    expect(count(again)).toBeGreaterThanOrEqual(0.8 * count(broken));
  });

  it('says plainly that a network computes no numbers', () => {
    const t = model.params.get('fc.weight')!;
    const values = t.read();
    t.write(values.map((v, i) => (i === 3 ? Number.NaN : v)));
    try {
      expect(count(runAttack(entry, options, jobOf()).broken)).toBe(COUNT);
    } finally {
      t.write(values);
    }
  });
});

describe('pgd', () => {
  const pgd = attacks.pgd!;
  const strength = (options: object, seed = 7): number =>
    count(runAttack(pgd, parseOptions(pgd.options, options, 'pgd'), jobOf({ seed })).broken);

  it('is at least as strong as one step', () => {
    const one = count(runAttack(attacks.fgsm!, {}, jobOf()).broken);
    expect(strength({ steps: 20 })).toBeGreaterThanOrEqual(one);
    expect(strength({ steps: 1, stepSize: 1, randomStart: false })).toBeGreaterThanOrEqual(one);
  });

  it('loses nothing by more restarts', () => {
    const some = [1, 2, 4, 8].map(
      (restarts) =>
        runAttack(pgd, parseOptions(pgd.options, { steps: 2, restarts }, 'pgd'), jobOf()).broken,
    );
    for (const i of range(1, some.length))
      some[i - 1]!.forEach((b, sample) => {
        expect(some[i]![sample]).toBeGreaterThanOrEqual(b);
      });
    expect(count(some.at(-1)!)).toBeGreaterThan(count(some[0]!));
  });

  it('starts elsewhere at another seed, and nowhere without a random start', () => {
    const first = (seed: number, randomStart: boolean): Uint32Array =>
      bits(
        pgd.run(jobOf({ seed, eps: 0.01 }), {
          steps: 1,
          restarts: 1,
          stepSize: 0.01,
          norm: 'linf',
          randomStart,
        } as never),
      );
    expect(first(1, true)).not.toEqual(first(2, true));
    expect(first(1, false)).toEqual(first(2, false));
  });
});

describe('runAttack', () => {
  const cheat = (change: (image: Float32Array) => void) =>
    attack({
      ...attacks.fgsm!,
      run(job) {
        const images = job.images.slice();
        change(images);
        return images;
      },
    });

  it('catches an attack that leaves its ball or the range of pixels, naming the sample', () => {
    const job = jobOf();
    const spoil: [string, (images: Float32Array) => void, RegExp][] = [
      [
        'far',
        (im) => {
          im[20] = (im[20]! + 0.5) % 1;
        },
        /sample 1: .*a pixel of 0\.\d+ for/,
      ],
      [
        'negative',
        (im) => {
          im[40] = -0.125;
        },
        /sample 2: .*a pixel of -0\.125/,
      ],
      [
        'NaN',
        (im) => {
          im[0] = Number.NaN;
        },
        /sample 0: .*a pixel of NaN/,
      ],
    ];
    for (const [, change, message] of spoil)
      expect(() => runAttack(cheat(change), {}, job)).toThrow(message);
    expect(
      count(
        runAttack(
          cheat(() => undefined),
          {},
          job,
        ).broken,
      ),
    ).toBe(count(wrongSamples(model, job.images, job.labels)));
  });

  it('frees what it took', () => {
    runAttack(attacks.pgd!, parseOptions(attacks.pgd!.options, {}, 'pgd'), jobOf());
    engine.arena.trim();
    const used = engine.memory.usedBytes;
    runAttack(attacks.pgd!, parseOptions(attacks.pgd!.options, {}, 'pgd'), jobOf());
    engine.arena.trim();
    expect(engine.memory.usedBytes).toBe(used);
  });
});
