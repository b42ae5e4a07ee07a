/** Entries of the registries complete their own options, refuse what they do not know, and can be called. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newPass } from '../src/domain/domain';
import { runners } from '../src/evaluate/runners/registry';
import {
  attacks,
  createModel,
  defaultConfig,
  type Engine,
  ibp,
  input,
  interval,
  load,
  lower,
  type Model,
  magnitude,
  objectives,
  parseConfig,
  pgd,
  runAttack,
  step,
  strategies,
  verifiers,
} from '../src/index';
import { type Chosen, type Entry, type OptionsSchema, parsePlugIn } from '../src/options';
import type { LossOracle } from '../src/prune/oracle';
import { lossOracle } from '../src/recipe/oracle';
import { TOY_NETWORK, toySet } from './train/toy';

const REGISTRIES = { attacks, objectives, runners, strategies, verifiers };
const ENTRIES = Object.entries(REGISTRIES).flatMap(([kind, registry]) =>
  Object.entries(registry).map(([name, entry]) => ({ kind, name, entry, registry })),
);
type Called = Entry & ((options?: object) => Chosen<OptionsSchema>);

describe.each(ENTRIES)('$kind: $name', ({ name, entry, registry }) => {
  const called = entry as Called;

  it('is named as its key', () => expect(entry.name).toBe(name));

  it('gives its plug-in, as configs have it, which stays as it is', () => {
    const plugIn = called();
    expect(plugIn).toEqual(parsePlugIn(registry, name, name));
    expect(called(plugIn)).toEqual(plugIn);
    expect(Object.keys(plugIn)).toEqual(['name', ...Object.keys(entry.options.entries)]);
  });

  it('refuses options that it does not know, and a plug-in of another name', () => {
    expect(() => called({ setps: 1 })).toThrow(/expected a known option, got "setps"/);
    expect(() => called({ name: 'another' })).toThrow(/name: expected/);
  });
});

let engine: Engine;
let model: Model;
let oracle: LossOracle;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  model = lower(createModel(engine, TOY_NETWORK, { seed: 5 }));
  const set = await toySet();
  const data = { set, train: set.train, held: set.test };
  oracle = lossOracle({ objective: { name: 'benign' }, data, seed: 1, batch: 8 });
});
afterAll(() => engine.close());

const SIZE = TOY_NETWORK.input.reduce((a, b) => a * b);
const job = () => ({
  model,
  images: Float32Array.from({ length: 3 * SIZE }, (_, i) => (i % 7) / 7),
  labels: Int32Array.of(0, 1, 2),
  index: Int32Array.of(0, 1, 2),
  ...{ eps: 0.01, seed: 1 },
});

describe('options that are left out', () => {
  it.each(Object.entries(verifiers))('verifier %s has its defaults', (name, verifier) => {
    const bare = verifier.verify(job(), {});
    expect(bare).toEqual(verifier.verify(job(), verifier()));
    if ('sound' in verifier())
      for (const { verdict } of verifier.verify(job(), { sound: false }))
        expect(verdict).toBe('unknown');
    expect(() => verifier.verify(job(), { sond: true })).toThrow(
      new RegExp(`^${name}: sond: expected a known option`),
    );
    expect(verifier.describe({}, 0.1)).toBe(verifier.describe(verifier(), 0.1));
    expect(() => verifier.describe({ sond: 1 }, 0.1)).toThrow(/known option/);
  });

  it.each(Object.entries(attacks))('attack %s has its defaults', (_, attack) => {
    expect(runAttack(attack, {}, job())).toEqual(runAttack(attack, attack(), job()));
    expect(() => runAttack(attack, { setps: 1 }, job())).toThrow(/known option, got "setps"/);
    expect(() => attack.norm({ nrom: 'l2' })).toThrow(/known option/);
  });

  it.each(Object.entries(objectives))('objective %s has its defaults', (_, objective) => {
    const { images, labels, index } = job();
    const loss = (o: Record<string, unknown>) =>
      step(engine, () => {
        const x = input(engine, images, [3, ...TOY_NETWORK.input]);
        const context = { model, x, labels, index, seed: 1, epoch: 5, epochs: 9, ramp: true };
        return objective.loss({ ...context, pass: newPass() }, o).loss.read();
      });
    expect(loss({})).toEqual(loss(objective()));
    expect(() => loss({ esp: 0.1 })).toThrow(/known option/);
    expect(objective.robust(job(), {})).toEqual(objective.robust(job(), objective()));
    expect(objective.atFullDifficulty(9, 9, {})).toBe(true);
  });

  it.each(Object.entries(strategies))('strategy %s has its defaults', async (_, strategy) => {
    const decided = async (o: Record<string, unknown>) =>
      strategy.decide({ model, sparsity: 0.5, seed: 1, oracle }, o);
    expect(await decided({})).toEqual(await decided(strategy()));
    await expect(decided({ scop: 'layer' })).rejects.toThrow(/known option/);
    expect(strategy.phases?.({})).toEqual(strategy.phases?.(strategy()));
  });
});

it('factories are typed, and fit where plug-ins are named', () => {
  const { steps, norm }: { steps: number; norm: 'linf' | 'l2' | 'l1' } = pgd({ steps: 20 });
  expect([steps, norm]).toEqual([20, 'linf']);
  const { eps }: { eps: number } = ibp({ eps: '8/255' });
  expect(eps).toBe(8 / 255);
  const config = parseConfig(
    {
      data: 'digits',
      objective: ibp({ eps: 0.05 }),
      prune: { strategy: magnitude({ scope: 'global' }) },
      evaluate: { attack: pgd({ steps: 20 }), verifier: interval() },
    },
    'test',
  );
  expect(config.evaluate.attack).toEqual(defaultConfig().evaluate.attack);
  expect(config.objective).toEqual(defaultConfig().objective);
  // @ts-expect-error A misspelt option is an error of types too.
  expect(() => pgd({ setps: 20 })).toThrow(/Did you mean "steps"/);
});
