/**
 * The config of a sweep: a base config and lists, whose product is its runs. A combination that makes no
 * config is a row all the same, with the sentence that says why.
 */
import * as v from 'valibot';
import { EspalierError, fail } from '../../errors';
import { canonicalJson } from '../../json';
import { parseOptions } from '../../options';
import { applySet, type Config, configHash } from '../config';
import { phasesOfRun } from '../run-phases';

/** Lists of a sweep, and the keys of the config that they fill. */
const LISTS = {
  networks: 'network',
  objectives: 'objective',
  strategies: 'prune.strategy',
  controls: 'prune.control',
  sparsities: 'prune.sparsity',
  seeds: 'seed',
} as const;

const list = v.pipe(v.array(v.unknown()), v.minLength(1, 'at least one value'));
const MOST_RUNS = 10_000;

const schema = v.strictObject({
  name: v.optional(
    v.pipe(v.string(), v.regex(/^[\w.-]+$/, 'letters, digits, ".", "_", "-"')),
    'sweep',
  ),
  /** The config of every run, where lists say nothing else. */
  base: v.optional(v.record(v.string(), v.unknown()), {}),
  ...(Object.fromEntries(Object.keys(LISTS).map((key) => [key, v.optional(list)])) as Record<
    keyof typeof LISTS,
    v.OptionalSchema<typeof list, undefined>
  >),
  /** Further lists, by the key of the config that they fill. */
  grid: v.optional(v.record(v.string(), list), {}),
});

/** What tells runs apart, in words: by the key of the config. */
export type Labels = Readonly<Record<string, string>>;

type Choice = readonly [key: string, value: unknown];

/** One combination. */
export interface Row {
  /** All but the seed: rows that differ in nothing else are one group. */
  readonly labels: Labels;
  readonly seed: number;
  /** Folder of its run, or null where there can be none. */
  readonly id: string | null;
  readonly config: Config | null;
  /** Why there can be none. */
  readonly error: string | null;
}

export interface SweepConfig {
  readonly name: string;
  readonly rows: readonly Row[];
}

/** All runs of a sweep; `sets` change the base config. Raises an error where not one of them can be. */
export async function parseSweep(
  json: unknown,
  who: string,
  sets: readonly string[] = [],
): Promise<SweepConfig> {
  const { name, base, grid, ...lists } = parseOptions(schema, json, who);
  const axes: [key: string, values: readonly unknown[]][] = [
    ...Object.entries(LISTS).flatMap(([list, key]): typeof axes => {
      const values = lists[list as keyof typeof LISTS];
      return values ? [[key, values]] : [];
    }),
    ...Object.entries(grid),
  ];
  const count = axes.reduce((product, [, values]) => product * values.length, 1);
  if (count > MOST_RUNS) fail(who, `at most ${MOST_RUNS} runs`, count);
  const combinations = axes.reduce<readonly Choice[][]>(
    (all, [key, values]) =>
      all.flatMap((so) => values.map((value): Choice[] => [...so, [key, value]])),
    [[]],
  );
  const rows = await Promise.all(combinations.map((chosen) => rowOf(base, sets, chosen)));
  const [first] = rows;
  if (rows.every(({ config }) => !config)) throw new EspalierError(first!.error!);
  // What is the same run is one row: of dense-longer at several sparsities, for example.
  const unique = new Map(rows.map((row) => [row.id ?? canonicalJson([row.labels, row.seed]), row]));
  return { name, rows: [...unique.values()] };
}

async function rowOf(
  base: unknown,
  sets: readonly string[],
  chosen: readonly Choice[],
): Promise<Row> {
  const given = Object.fromEntries(chosen.map(([key, value]) => [key, labelOf(value)]));
  const longer = given['prune.control'] === 'dense-longer' ? ['prune.sparsity=0'] : [];
  const own = chosen.map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  try {
    const config = applySet(base, [...sets, ...own, ...longer], 'sweep');
    phasesOfRun(config);
    const { seed: _, ...labels } = { ...labelsOf(config), ...given, ...sparsityOf(config) };
    return { labels, seed: config.seed, ...(await named(config, labels)), error: null };
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error;
    const { seed = '0', ...labels } = given;
    return { labels, seed: Number(seed), id: null, config: null, error: error.message };
  }
}

const sparsityOf = ({ prune }: Config): Labels => ({ 'prune.sparsity': String(prune.sparsity) });

const labelsOf = ({ network, objective, prune }: Config): Labels => ({
  network: network.name,
  objective: objective.name,
  'prune.strategy': prune.strategy.name,
  'prune.control': labelOf(prune.control),
  'prune.sparsity': '',
});

/** A value in a word: a name, or a name with the options that were given. */
function labelOf(value: unknown): string {
  if (value === null) return 'none';
  if (typeof value !== 'object') return String(value);
  const { name = '', ...options } = value as Record<string, unknown>;
  const given = Object.entries(options).map(([key, one]) => `${key}=${labelOf(one)}`);
  return `${name}${given.length > 0 ? `(${given.join(', ')})` : ''}`;
}

/** The config under a name that tells what it is, and the folder of its run. */
export async function named(
  given: Config,
  labels: Labels,
): Promise<{ readonly config: Config; readonly id: string }> {
  const words = Object.values(labels).filter((word) => word !== 'none');
  const slug = [...words, `s${given.seed}`].join('-').replace(/[^\w.-]+/g, '_');
  const config = { ...given, name: slug.slice(0, 100) };
  return { config, id: `${config.name}-${(await configHash(config)).slice(0, 10)}` };
}
