/**
 * The one config of a run: plain JSON, every key optional, checked and completed here.
 *
 * A plug-in slot (data, network, objective, strategy, attack, verifier) holds a registry name or
 * `{ "name": ..., ...options }`. The names are resolved first; then one strict schema is put together
 * from the options of exactly those entries, so every issue of a file is found in one pass, with its
 * path, and what comes out is complete: parsing it again changes nothing.
 */
import * as v from 'valibot';
import { attacks } from '../attack/attacks/registry';
import { datasets } from '../data/registry';
import { sha256 } from '../data/sha256';
import { EspalierError, fail, lookup, quote } from '../errors';
import { readJson } from '../io/files';
import { canonicalJson } from '../json';
import { zoo } from '../nn/zoo';
import {
  choice,
  eps,
  type PlugIn,
  parseOptions,
  parsePlugIn,
  type Registry,
  real,
  type SlotSchema,
  slotSchema,
  sparsity,
  whole,
} from '../options';
import { strategies } from '../prune/strategies/registry';
import { AVERAGES } from '../train/averages';
import { objectives } from '../train/objectives/registry';
import { OPTIMIZERS } from '../train/optimizers';
import { SCHEDULES } from '../train/schedules';
import { verifiers } from '../verify/verifiers/registry';

type Json = Readonly<Record<string, unknown>>;

/** Every slot: where it stands in the config, what fills it, and the name it defaults to. */
const SLOTS = {
  network: { registry: zoo, fallback: 'mlp' },
  objective: { registry: objectives, fallback: 'ibp' },
  'prune.strategy': { registry: strategies, fallback: 'magnitude' },
  'evaluate.attack': { registry: attacks, fallback: 'pgd' },
  'evaluate.verifier': { registry: verifiers, fallback: 'interval' },
} as const satisfies Record<string, { registry: Registry; fallback: string }>;

/** Keys that hold `{ "name": ... }` with options of their own, and so may be a bare name too. */
const NAMED = [
  ...[...Object.keys(SLOTS), 'data'],
  ...['pretrain', 'finetune'].flatMap((phase) => [`${phase}.schedule`, `${phase}.average`]),
];

type SlotPath = keyof typeof SLOTS;

const schedule = v.strictObject({
  name: v.optional(choice(SCHEDULES), 'step'),
  /** Fractions of the epochs after which the rate is multiplied by `factor`. */
  milestones: v.optional(v.array(real(0, 1)), [0.6, 0.85]),
  factor: v.optional(real(0, 1), 0.2),
  /** Epochs over which the rate rises from zero. */
  warmup: v.optional(real(0), 0),
  /** Of one-cycle: the share of the epochs after which the rate is highest. */
  peak: v.optional(real(0, 1), 0.3),
  /** Of plateau: epochs without a better held-out score after which the rate falls by `factor`. */
  patience: v.optional(whole(1), 5),
});

/** What is judged and kept in the place of the weights themselves (train/averages.ts). */
const average = v.strictObject({
  name: v.optional(choice(AVERAGES), 'none'),
  decay: v.optional(real(0, 1), 0.999),
  start: v.optional(real(0, 1), 0.75),
});

/** A network whose predictions are part of the labels (train/targets.ts). */
const teacher = v.strictObject({
  /** A model file. */
  file: v.string('a model file'),
  weight: v.optional(real(0, 1), 0.5),
  temperature: v.optional(real(1e-3), 1),
});

/** What says how a phase is trained; the defaults of its length and rate differ. */
const training = (epochs: number, learningRate: number) =>
  v.strictObject({
    epochs: v.optional(whole(0), epochs),
    batch: v.optional(whole(1), 128),
    optimizer: v.optional(choice(OPTIMIZERS), 'adam'),
    learningRate: v.optional(real(0), learningRate),
    weightDecay: v.optional(real(0), 0),
    /** Of SGD; the first decay of Adam. */
    momentum: v.optional(real(0, 0.9999), 0.9),
    schedule: v.optional(schedule, {}),
    /** Largest L2 norm of the gradient, or null. */
    gradientClip: v.optional(v.nullable(real(1e-6)), 10),
    /** Gradients are taken that share of the weights' norm uphill (train/sharpness.ts), or null. */
    sharpness: v.optional(v.nullable(real(0, 1)), null),
    /** Of batch norm outside of training: running averages, or after every epoch those of the whole set. */
    statistics: v.optional(choice(['running', 'population']), 'running'),
    /** Share of the label that goes to all classes alike. */
    labelSmoothing: v.optional(real(0, 1), 0),
    teacher: v.optional(v.nullable(teacher), null),
    average: v.optional(average, {}),
    /** Epochs without a better held-out score after which the phase ends, or null. */
    earlyStop: v.optional(v.nullable(whole(1)), null),
  });

/** One phase's share of a config. */
export const TRAINING = training(3, 5e-4);

/** What a run compares with, see controls.ts. */
const CONTROL_NAMES = ['none', 'scratch-e', 'scratch-b', 'random-mask', 'dense-longer'] as const;

const START = 'best, last, initial or epochs of pre-training';

const schemaOf = (slots: Readonly<Record<SlotPath, SlotSchema>>, name: string) =>
  v.strictObject({
    name: v.optional(
      v.pipe(v.string(), v.regex(/^[\w.-]+$/, 'letters, digits, ".", "_", "-"')),
      name,
    ),
    /** Phases and epochs count on from it, so it ends well below 2^53. */
    seed: v.optional(whole(0, 2 ** 48), 1),
    data: v.optional(
      v.strictObject({
        name: v.optional(choice(Object.keys(datasets)), 'digits'),
        /** Folder or file, or null for the place where the data set is looked for. */
        path: v.optional(v.nullable(v.string()), null),
        /** Images of the training set that only pick checkpoints; null is a twelfth. */
        heldOut: v.optional(v.nullable(whole(1)), null),
        augment: v.optional(
          v.strictObject({
            crop: v.optional(whole(), 0),
            flip: v.optional(v.boolean(), false),
            cutout: v.optional(whole(), 0),
          }),
          {},
        ),
      }),
      {},
    ),
    network: slots.network,
    objective: slots.objective,
    pretrain: v.optional(training(6, 1e-3), {}),
    prune: v.optional(
      v.strictObject({
        strategy: slots['prune.strategy'],
        sparsity: v.optional(sparsity(), 0.9),
        /** 1 is one shot; more prune gradually, each round followed by fine-tuning. */
        rounds: v.optional(whole(1), 1),
        /** What is done instead, to compare with (controls.ts). */
        control: v.optional(choice(CONTROL_NAMES), 'none'),
      }),
      {},
    ),
    finetune: v.optional(
      v.strictObject({
        ...TRAINING.entries,
        /** The weights it begins with. From initial or early ones difficulty grows once more. */
        start: v.optional(
          v.union([v.picklist(['best', 'last', 'initial']), whole()], START),
          'best',
        ),
      }),
      {},
    ),
    evaluate: v.optional(
      v.strictObject({
        /** null is the objective's radius, or 0.1 where it has none. */
        eps: v.optional(v.nullable(eps()), null),
        attack: slots['evaluate.attack'],
        /** Test images attacked (verified), the first ones; null is all. */
        attackLimit: v.optional(v.nullable(whole(1)), null),
        verifier: slots['evaluate.verifier'],
        verifyLimit: v.optional(v.nullable(whole(1)), null),
        batch: v.optional(whole(1), 500),
      }),
      {},
    ),
  });

export type Config = v.InferOutput<ReturnType<typeof schemaOf>>;
export type TrainingConfig = Config['pretrain'];
export type EvaluateConfig = Config['evaluate'];

/** What `espalier compress` does without a config: the embedded digits, in under a minute. */
export const DEFAULT_CONFIG: Json = {
  name: 'digits',
  data: 'digits',
  network: 'cnn-small',
  objective: { name: 'ibp', eps: 0.05 },
  pretrain: { epochs: 80, batch: 32, learningRate: 0.002 },
  finetune: { epochs: 40, batch: 32, learningRate: 0.001 },
  evaluate: { attack: { name: 'pgd', steps: 20 } },
};

export function defaultConfig(): Config {
  return parseConfig(DEFAULT_CONFIG, 'the default config');
}

/** The complete config `json` stands for; `who` names its file in errors. */
export function parseConfig(json: unknown, who: string): Config {
  const wrong: string[] = [];
  const collect = <T>(check: () => T): T | undefined => {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof EspalierError)) throw error;
      wrong.push(error.message);
      return undefined;
    }
  };
  if (!isObject(json)) fail(who, 'an object', json);
  const named = withNames(json);
  // For valibot an array is an object.
  for (const path of [...NAMED, 'pretrain', 'prune', 'finetune', 'evaluate', 'data.augment'])
    if (Array.isArray(at(named, path)))
      collect(() => fail(`${who}: ${path}`, 'an object', 'a list'));
  const slot = (path: SlotPath): SlotSchema => {
    const { registry, fallback }: { registry: Registry; fallback: string } = SLOTS[path];
    const name = at(named, `${path}.name`) ?? fallback;
    const entry = collect(() => lookup(registry, String(name), `${who}: ${path}`));
    return entry ? slotSchema(String(name), entry.options) : ANYTHING;
  };
  const slots = Object.fromEntries(
    Object.keys(SLOTS).map((path) => [path, slot(path as SlotPath)]),
  );
  const data = collect(() =>
    lookup(datasets, String(at(named, 'data.name') ?? 'digits'), `${who}: data`),
  );
  const checked = data ? named : setAt(named, 'data.name', 'digits');
  const name = [at(checked, 'data.name') ?? 'digits', at(named, 'objective.name') ?? 'ibp'].join(
    '-',
  );
  const schema = schemaOf(slots as Record<SlotPath, SlotSchema>, name);
  const config = collect(() => parseOptions(schema, checked, who));
  if (!config || wrong.length > 0) throw new EspalierError(wrong.join('\n'));
  return config;
}

/** Reads, changes by `sets` (see `applySet`) and checks a config file. */
export async function loadConfig(path: string, sets: readonly string[] = []): Promise<Config> {
  return applySet(await readJson(path), sets, path);
}

/**
 * `json` with `key.path=value` applied in turn, checked and completed.
 *
 * A value is read as JSON where it is JSON, else as a string. Naming another plug-in
 * (`objective=benign`) drops options of the old one that the new one does not know, except where
 * the value is an object and replaces all. `json` should be the file's own, without defaults.
 */
export function applySet(json: unknown, sets: readonly string[], who = 'config'): Config {
  const changed = sets.reduce((at, set) => applyOne(at, set), json);
  const source = sets.length > 0 ? `${who} with --set` : who;
  return parseConfig(changed, source);
}

/** Longer than any key with its sections. */
const MOST_OF_A_KEY = 200;

function applyOne(json: unknown, set: string): unknown {
  const equals = set.indexOf('=');
  if (equals < 1) fail('--set', 'key=value, for example prune.sparsity=0.95', quote(set));
  const key = set.slice(0, equals).trim();
  if (key.length > MOST_OF_A_KEY) fail('--set', 'a key of the config', quote(key));
  const text = set.slice(equals + 1);
  let value: unknown = text;
  try {
    value = JSON.parse(text);
  } catch {
    // A bare word, such as a plug-in's name or "8/255".
  }
  const base = withNames(json);
  const slot = Object.keys(SLOTS).find((path) => key === path || key === `${path}.name`);
  if (slot && typeof value === 'string')
    return setAt(base, slot, renamed(at(base, slot), value, SLOTS[slot as SlotPath].registry));
  if (NAMED.includes(key) && typeof value === 'string') return setAt(base, `${key}.name`, value);
  return setAt(base, key, value);
}

/** The slot under a new name, with those options the new entry knows. */
function renamed(slot: unknown, name: string, registry: Registry): Json {
  const known = Object.hasOwn(registry, name) ? registry[name]?.options?.entries : undefined;
  const kept = Object.entries(isObject(slot) ? slot : {}).filter(
    ([option]) => known !== undefined && Object.hasOwn(known, option),
  );
  return { name, ...Object.fromEntries(kept) };
}

/** One slot on its own, as a command's option names it. */
export function parseSlot(path: SlotPath, value: unknown, who: string): PlugIn {
  const { registry, fallback } = SLOTS[path];
  return parsePlugIn(registry, value ?? fallback, who, fallback);
}

/** The radius that is attacked and certified: `evaluate.eps`, else the objective's, else 0.1. */
export function evaluationEps(config: Config): number {
  const own = config.objective.eps;
  return config.evaluate.eps ?? (typeof own === 'number' ? own : 0.1);
}

/** SHA-256 of the config's canonical JSON: the identity of a run. */
export async function configHash(config: Config): Promise<string> {
  return sha256([new TextEncoder().encode(canonicalJson(config))]);
}

/** The paths at which two configs differ, as `prune.sparsity: 0.9, 0.95`. */
export function configDifferences(a: unknown, b: unknown, path = ''): string[] {
  if (canonicalJson(a) === canonicalJson(b)) return [];
  if (!isObject(a) || !isObject(b)) return [`${path}: ${JSON.stringify(a)}, ${JSON.stringify(b)}`];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) =>
    configDifferences(a[key] ?? null, b[key] ?? null, path ? `${path}.${key}` : key),
  );
}

const ANYTHING = v.optional(v.unknown()) as unknown as SlotSchema;

/** Every slot as an object; "wrn-16-4" is short for the options of `wrn`. */
function withNames(json: unknown): unknown {
  const named = NAMED.reduce(withName, json);
  const [, depth, width] = /^wrn-(\d+)-(\d+)$/.exec(String(at(named, 'network.name'))) ?? [];
  if (depth === undefined) return named;
  const short = { name: 'wrn', depth: Number(depth), width: Number(width) };
  return setAt(named, 'network', { ...(at(named, 'network') as Json), ...short });
}

/** `"ibp"` at `path` becomes `{ "name": "ibp" }`, an object without a name stays so until defaulted. */
function withName(json: unknown, path: string): unknown {
  const value = at(json, path);
  if (typeof value === 'string') return setAt(json, path, { name: value });
  if (Object.hasOwn(SLOTS, path) && isObject(value) && value.name === undefined)
    return setAt(json, path, { name: SLOTS[path as SlotPath].fallback, ...value });
  return json;
}

function at(json: unknown, path: string): unknown {
  let value = json;
  for (const key of path.split('.')) {
    if (!isObject(value) || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

/** A copy of `json` with `value` at `path`; sections on the way are made where there are none. */
function setAt(json: unknown, path: string, value: unknown): unknown {
  const [key, ...rest] = path.split('.') as [string, ...string[]];
  const section = json ?? {};
  if (!isObject(section)) fail(`--set ${path}`, 'a section to set a key in', section);
  const inner = rest.length > 0 ? setAt(at(section, key), rest.join('.'), value) : value;
  return { ...section, [key]: inner };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
