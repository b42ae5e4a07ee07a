/** The config: defaults, plug-in slots, --set, and what is said about mistakes. */
import { describe, expect, it } from 'vitest';
import { EspalierError } from '../../src/errors';
import { canonicalJson } from '../../src/json';
import { strategies } from '../../src/prune/strategies/registry';
import {
  applySet,
  configDifferences,
  configHash,
  DEFAULT_CONFIG,
  defaultConfig,
  evaluationEps,
  loadConfig,
  parseConfig,
} from '../../src/recipe/config';
import { objectives } from '../../src/train/objectives/registry';
import { inTemporaryFolder } from './temporary';

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof EspalierError) return error.message;
    throw error;
  }
  return 'nothing was raised';
}

describe('parseConfig', () => {
  it('completes an empty config, and is idempotent', () => {
    const config = parseConfig({}, 'test');
    expect(config.seed).toBe(1);
    expect(config.pretrain.schedule).toEqual({
      name: 'step',
      milestones: [0.6, 0.85],
      factor: 0.2,
      warmup: 0,
    });
    expect(config.finetune).toMatchObject({ epochs: 3, learningRate: 5e-4 });
    expect(config.prune).toMatchObject({ sparsity: 0.9, rounds: 1 });
    expect(parseConfig(JSON.parse(JSON.stringify(config)), 'again')).toEqual(config);
    expect(parseConfig(defaultConfig(), 'again')).toEqual(defaultConfig());
  });

  it('takes a name or an object in every slot', () => {
    const short = parseConfig(
      { data: 'digits', objective: 'ibp', prune: { strategy: 'random' } },
      'test',
    );
    const long = parseConfig(
      {
        data: { name: 'digits' },
        objective: { name: 'ibp' },
        prune: { strategy: { name: 'random' } },
      },
      'test',
    );
    expect(short).toEqual(long);
    expect(parseConfig({ pretrain: { schedule: 'cosine' } }, 'x').pretrain.schedule.name).toBe(
      'cosine',
    );
    expect(parseConfig({ evaluate: { attack: { steps: 3 } } }, 'x').evaluate.attack).toMatchObject({
      name: 'pgd',
      steps: 3,
    });
  });

  it('takes every objective and every strategy with its defaults', () => {
    for (const objective of Object.keys(objectives))
      expect(parseConfig({ objective }, 'test').objective.name).toBe(objective);
    for (const strategy of Object.keys(strategies))
      expect(parseConfig({ prune: { strategy } }, 'test').prune.strategy.name).toBe(strategy);
  });

  it('takes wide residual networks by their usual names', () => {
    const network = { name: 'wrn', depth: 16, width: 2 };
    expect(parseConfig({ network: 'wrn-16-2' }, 'test').network).toEqual(network);
    expect(applySet({ network: 'cnn-small' }, ['network=wrn-16-2']).network).toEqual(network);
  });

  it('reads a radius as a quotient, and resolves the one to evaluate', () => {
    const config = parseConfig({ objective: { name: 'ibp', eps: '8/255' } }, 'test');
    expect(config.objective.eps).toBeCloseTo(8 / 255, 12);
    expect(evaluationEps(config)).toBeCloseTo(8 / 255, 12);
    expect(evaluationEps(parseConfig({ objective: 'benign' }, 'test'))).toBe(0.1);
    expect(evaluationEps(parseConfig({ evaluate: { eps: 0.2 } }, 'test'))).toBe(0.2);
  });

  it('names the nearest right name and key, all at once, with file and path', () => {
    const message = messageOf(() =>
      parseConfig(
        {
          sede: 3,
          data: 'mnits',
          objective: 'ipb',
          prune: { strategy: { name: 'magnitude', scoop: 'layer' }, sparsity: 1 },
          evaluate: { eps: -1, attack: { name: 'pgd', stpes: 3 } },
          finetune: { optimizer: 'adma' },
        },
        'runs/x.json',
      ),
    );
    expect(message.split('\n')).toHaveLength(8);
    expect(message).toMatch(/runs\/x\.json: sede: .*"seed"/);
    expect(message).toMatch(/runs\/x\.json: data: .*"mnist"/);
    expect(message).toMatch(/runs\/x\.json: objective: .*"ibp"/);
    expect(message).toMatch(/prune\.strategy\.scoop: .*"scope"/);
    expect(message).toMatch(/prune\.sparsity: expected a fraction in \[0, 1\).*got 1/);
    expect(message).toMatch(/evaluate\.eps: expected a radius/);
    expect(message).toMatch(/evaluate\.attack\.stpes: .*"steps"/);
    expect(message).toMatch(
      /finetune\.optimizer: expected one of adam, sgd, nesterov, adamw, rmsprop/,
    );
  });

  it.each([['8/255x'], [0], [-0.1], ['0/1'], [2], ['1/0']])('refuses eps %j', (eps) => {
    expect(messageOf(() => parseConfig({ objective: { name: 'ibp', eps } }, 'x'))).toMatch(
      /objective\.eps: expected a radius in \(0, 1\]/,
    );
  });

  it('refuses what is no object, and names that are no file names', () => {
    for (const json of [null, 3, 'ibp', [], { data: 3 }, { objective: [] }, { prune: 7 }])
      expect(() => parseConfig(json, 'x')).toThrow(EspalierError);
    expect(messageOf(() => parseConfig({ name: '../x' }, 'f'))).toContain(
      'f: name: expected letters',
    );
  });
});

describe('applySet', () => {
  it('sets numbers, words, lists and radii', () => {
    const config = applySet(DEFAULT_CONFIG, [
      'prune.sparsity=0.95',
      'objective.eps=8/255',
      'pretrain.schedule.milestones=[0.5]',
      'data.path=some/folder',
      'evaluate.eps=null',
    ]);
    expect(config.prune.sparsity).toBe(0.95);
    expect(config.objective.eps).toBeCloseTo(8 / 255, 12);
    expect(config.pretrain.schedule.milestones).toEqual([0.5]);
    expect(config.data.path).toBe('some/folder');
  });

  it('changes a plug-in, keeping the options both know', () => {
    const json = { objective: { name: 'ibp', eps: 0.2 }, prune: { strategy: 'magnitude' } };
    expect(applySet(json, ['objective=adversarial']).objective).toMatchObject({
      name: 'adversarial',
      eps: 0.2,
    });
    expect(applySet(json, ['objective.name=benign']).objective.name).toBe('benign');
    expect(applySet(json, ['prune.strategy.scope=global']).prune.strategy.scope).toBe('global');
    expect(applySet(json, ['objective={"name":"ibp","eps":0.3}']).objective.eps).toBe(0.3);
  });

  it('does not change what it was given', () => {
    const before = JSON.stringify(DEFAULT_CONFIG);
    applySet(DEFAULT_CONFIG, ['seed=9', 'prune.sparsity=0.5']);
    expect(JSON.stringify(DEFAULT_CONFIG)).toBe(before);
  });

  it('suggests keys and says what --set looks like', () => {
    expect(messageOf(() => applySet({}, ['prune.sparsty=0.5'], 'f.json'))).toMatch(
      /f\.json with --set: prune\.sparsty: .*"sparsity"/,
    );
    expect(messageOf(() => applySet({}, ['prun.sparsity=0.5']))).toContain('"prune"');
    expect(messageOf(() => applySet({}, ['sparsity']))).toContain('--set: expected key=value');
    expect(messageOf(() => applySet({ seed: 1 }, ['seed.x=1']))).toContain('a section');
  });

  it('touches no prototype', () => {
    expect(() => applySet({}, ['__proto__.polluted=1'])).toThrow(EspalierError);
    expect(() => applySet({}, ['constructor.prototype.polluted=1'])).toThrow(EspalierError);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});

describe('identity', () => {
  it('is the same for the same config in any order of keys, and differs otherwise', async () => {
    const a = parseConfig({ seed: 2, data: 'digits', prune: { sparsity: 0.5, rounds: 2 } }, 'a');
    const b = parseConfig({ prune: { rounds: 2, sparsity: 0.5 }, data: 'digits', seed: 2 }, 'b');
    expect(await configHash(a)).toBe(await configHash(b));
    expect(await configHash(a)).toMatch(/^[0-9a-f]{64}$/);
    expect(await configHash(a)).not.toBe(await configHash({ ...a, seed: 3 }));
    expect(configDifferences(a, { ...a, seed: 3 })).toEqual(['seed: 2, 3']);
  });

  it('writes canonical JSON', () => {
    expect(canonicalJson({ b: [1, { d: 1, c: 2 }], a: null })).toBe(
      '{"a":null,"b":[1,{"c":2,"d":1}]}',
    );
  });
});

describe('loadConfig', () => {
  it('reads a file, and names it when it is missing or no JSON', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('a.json', '{"seed": 7}');
      await write('b.json', '{"seed": 7,}');
      expect((await loadConfig(file('a.json'), ['prune.rounds=3'])).prune.rounds).toBe(3);
      await expect(loadConfig(file('b.json'))).rejects.toThrow(/b\.json: expected JSON/);
      await expect(loadConfig(file('c.json'))).rejects.toThrow(/c\.json: expected a readable file/);
    });
  });
});
