/** What stands around attacks: the searches' batches, defences, transfer, suspicions. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackJob, runAttack } from '../../src/attack/attack';
import { attacks } from '../../src/attack/attacks/registry';
import { bpda, eot } from '../../src/attack/defence';
import { oracleOf } from '../../src/attack/search';
import { probe, signsOf, suspicionText } from '../../src/attack/suspicion';
import { transfer } from '../../src/attack/transfer';
import type { DataSet } from '../../src/data/types';
import { evaluationOf } from '../../src/evaluate/records';
import { sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { createModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { batchFrom, range, toySet, trainedToy } from '../train/toy';

let engine: Engine;
let set: DataSet;
let model: Model;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  set = await toySet();
  model = lower(trainedToy(engine, set, { objective: objectives.benign! }));
});
afterAll(() => engine.close());

const COUNT = 20;
const jobOf = (given: Partial<AttackJob> = {}): AttackJob => ({
  model,
  ...batchFrom(set, set.test, range(0, COUNT)),
  eps: 0.25,
  seed: 7,
  ...given,
});
const count = (marks: Uint8Array): number => marks.reduce((n, b) => n + b, 0);
const broken = (name: string, options: object, job: AttackJob): Uint8Array =>
  runAttack(attacks[name]!, options as never, job).broken;

describe('AutoAttack', () => {
  it('is its four attacks in turn, and says which of them broke an image', () => {
    const options = { queries: 200 };
    const job = jobOf();
    const found = runAttack(attacks.autoattack!, options, job);
    const left = new Set(job.labels.keys());
    for (const name of ['apgd-ce', 'apgd-t', 'fab-t', 'square']) {
      const alone = broken(name, name === 'square' ? options : {}, job);
      for (const i of [...left])
        if (alone[i] === 1) {
          left.delete(i);
          expect(found.broken[i]).toBe(1);
        }
    }
    expect(count(found.broken)).toBe(COUNT - left.size);
  });

  it('asks nothing more of images that have fallen', () => {
    const cost = { forwards: 0, backwards: 0 };
    const onPass: AttackJob['onPass'] = (pass) => {
      cost.forwards += pass.forwards;
      cost.backwards += pass.backwards;
    };
    broken('apgd-ce', {}, jobOf({ eps: 1e-6, onPass }));
    // All hold out to the end: the start and a hundred steps each.
    expect(cost).toEqual({ forwards: 101 * COUNT, backwards: 101 * COUNT });
    Object.assign(cost, { forwards: 0, backwards: 0 });
    broken('apgd-ce', {}, jobOf({ eps: 1, onPass }));
    expect(cost.forwards).toBeLessThan(20 * COUNT);
  });

  it('says so where it is not the standard', () => {
    const { autoattack } = attacks;
    expect(autoattack!.describe({}, 0.1)).toContain('AutoAttack, standard');
    expect(autoattack!.describe({ queries: 10 }, 0.1)).toContain('not standard');
  });
});

describe('around a network', () => {
  /** Images rounded to three values: no gradient of its own. */
  const rounded = (images: Float32Array): Float32Array => images.map((v) => Math.round(2 * v) / 2);

  it('BPDA attacks what rounds its images', () => {
    const job = jobOf({ eps: 0.3 });
    const oracle = bpda(model, { forward: rounded });
    const blind = bpda(model, { forward: rounded, backward: (g) => g.map(() => 0) });
    const [found, nothing] = [oracle, blind].map((one) =>
      count(broken('apgd-ce', {}, { ...job, oracle: one })),
    );
    expect(found).toBeGreaterThan(nothing!);
    // Judged by what stands around the network, not by the network alone.
    const { images, broken: marks } = runAttack(attacks['apgd-ce']!, {}, { ...job, oracle });
    const z = oracle.logits(images, job.index);
    const wrong = Array.from(job.labels, (label, i) => {
      const row = z.subarray(4 * i, 4 * i + 4);
      return row.indexOf(Math.max(...row)) === label ? 0 : 1;
    });
    expect([...marks]).toEqual(wrong);
  });

  it('EOT averages draws', () => {
    const job = jobOf();
    const { images, index } = job;
    const plain = oracleOf(model);
    // The network behind a shift of every pixel, which averages out.
    const shifted = (d: number) => ({
      ...plain,
      logits: (all: Float32Array, at: Int32Array) => plain.logits(all, at).map((z) => z + d),
    });
    const mean = eot((k) => shifted(k === 0 ? -1 : 1), 2);
    const [got, want] = [mean.logits(images, index), plain.logits(images, index)];
    got.forEach((z, i) => {
      expect(z).toBeCloseTo(want[i]!, 5);
    });
    const weights = (z: Float32Array): Float32Array => z.map((_, i) => (i % 4 === 0 ? 1 : -1));
    const gradient = mean.gradient(images, index, weights).gradient;
    expect(gradient).toEqual(plain.gradient(images, index, weights).gradient);
    expect([...broken('bim', {}, { ...job, oracle: mean })]).toEqual([...broken('bim', {}, job)]);
    expect(() => eot(() => plain, 0)).toThrow(/a number of draws >= 1/);
  });

  it('attacks that are no searches refuse it', () => {
    const oracle = oracleOf(model);
    for (const name of ['pgd', 'fgsm'])
      expect(() => broken(name, {}, jobOf({ oracle }))).toThrow(
        new RegExp(`${name}: expected no defence around the network`),
      );
  });
});

describe('transfer', () => {
  it('is the matrix of networks', () => {
    const other = createModel(engine, model.graph.network, { seed: 5 });
    const networks = [
      { name: 'trained', model },
      { name: 'twin', model },
      { name: 'untrained', model: lower(other) },
    ];
    const { model: _, ...job } = jobOf();
    const found = transfer(networks, { name: 'bim' }, job);
    const alone = COUNT - count(broken('bim', {}, jobOf()));
    expect(found.names).toEqual(['trained', 'twin', 'untrained']);
    expect(found.robust[0]!.slice(0, 2)).toEqual([alone, alone]);
    expect(found.robust[2]![0]).toBeGreaterThan(alone);
    expect(found.clean[0]).toBeGreaterThan(found.robust[0]![0]!);
    expect(found.images).toBe(COUNT);
  });
});

describe('suspicions', () => {
  it('are none of a plain network', () => {
    expect(signsOf(jobOf()).flat()).toEqual([]);
    expect(probe(jobOf())).toEqual([]);
  });

  it('show probabilities and gradients of zero', () => {
    const plain = oracleOf(model);
    const softmax = (z: Float32Array): Float32Array =>
      z.map((_, i) => {
        const row = z.subarray(4 * Math.floor(i / 4), 4 * Math.floor(i / 4) + 4);
        const top = Math.max(...row);
        const sum = row.reduce((all, v) => all + Math.exp(v - top), 0);
        return Math.exp(z[i]! - top) / sum;
      });
    const oracle = {
      logits: (images: Float32Array, index: Int32Array) => softmax(plain.logits(images, index)),
      gradient: (images: Float32Array, index: Int32Array) => ({
        z: softmax(plain.logits(images, index)),
        gradient: new Float32Array(images.length),
      }),
    };
    const signs = signsOf({
      ...jobOf(),
      oracle: {
        ...oracle,
        gradient(images, index, weights) {
          const found = oracle.gradient(images, index);
          weights(found.z);
          return found;
        },
      },
    });
    for (const of of signs) expect(of).toEqual(['probabilities', 'zero-gradient']);
  });

  it('show a network that answers at random, and an attack that cannot win', () => {
    const plain = oracleOf(model);
    let calls = 0;
    const noisy = {
      ...plain,
      logits: (images: Float32Array, index: Int32Array) =>
        plain.logits(images, index).map((z) => z + 1e-3 * calls++),
    };
    expect(probe(jobOf({ oracle: noisy })).map(({ kind }) => kind)).toContain('randomised');
    const constant = createModel(
      engine,
      sequential('c', [1, 4, 4], [['flatten'], ['dense', { units: 4 }]]),
    );
    constant.params.get('1.weight')?.write(new Float32Array(64));
    for (const [name, t] of constant.params)
      t.write(t.read().map((_, i) => (name.endsWith('bias') && i === 0 ? 1 : 0)));
    const job = jobOf({ model: lower(constant), labels: new Int32Array(COUNT) });
    const kinds = probe(job).map(({ kind, images }) => [kind, images]);
    expect(kinds).toContainEqual(['large-radius', COUNT]);
    expect(kinds).toContainEqual(['zero-gradient', COUNT]);
  });

  it('of an evaluation name a black box that broke what gradients did not', () => {
    const record = (index: number, attack: object) => ({
      ...{ index, label: 0, predicted: 0, seconds: {} },
      attacks: [{ name: 'autoattack', broken: true, inside: [], ...attack }],
    });
    const task = { eps: 0.1, seed: 0, attacks: [], verifiers: [], radius: false };
    const records = [record(0, { by: 'square' }), record(1, { by: 'apgd-ce' })];
    const { suspicions } = evaluationOf(records as never, task);
    expect(suspicions).toEqual([{ kind: 'black-box', images: 1 }]);
    expect(suspicionText(suspicions![0]!)).toMatch(/^black-box \(1 image\): a black box broke/);
    expect(evaluationOf([records[1]] as never, task).suspicions).toBeUndefined();
  });
});
