/**
 * `espalier evaluate --verify` and `--radius`: what the options mean, the other processes, and what is
 * printed. Every process is this command line again with `--shard i/n`; journals in one folder are all
 * that they share.
 */
import type { ArgsDef } from 'citty';
import { EspalierError, fail } from '../errors';
import type { Judgement } from '../evaluate/judge';
import { Interrupted } from '../events';
import type { ReadOptions } from '../io/read';
import type { PlugIn } from '../options';
import { whole } from '../options';
import type { Config } from '../recipe/config';
import { interval, percent, short } from '../report/format';
import { radiusTable, renderRadiusReport } from '../report/radius';
import { renderTable } from '../report/table';
import type { Accuracies } from '../report/types';
import { UsageError, type Values } from './args';
import { type Context, EXIT } from './command';
import { CHILD, print, printJson, tell } from './io';
import { withEngine } from './job';

export const certifyArgs = {
  verify: {
    type: 'string',
    valueHint: 'name,...',
    description: 'verifiers, the cheap ones first: each sees what the others left unknown',
  },
  radius: {
    type: 'boolean',
    description: 'the largest certified radius of each image too, and its curve',
  },
  out: {
    type: 'string',
    alias: 'o',
    valueHint: 'folder',
    description:
      'of --verify and --radius: journals to resume from, evaluation.json, radii.html (default: the run of the model, if it has one)',
  },
  force: {
    type: 'boolean',
    description: 'of --out: replace the evaluation.json of another evaluation there',
  },
  jobs: {
    type: 'string',
    valueHint: 'n',
    description: 'processes that share --verify and --radius (default: one a processor)',
  },
  shard: {
    type: 'string',
    valueHint: 'i/n',
    description: 'only the share of process i of n, as on several machines; needs --out or a run',
  },
} as const satisfies ArgsDef;

export const normArg = {
  norm: {
    type: 'string',
    valueHint: 'norm',
    description: 'linf, l2 or l1: the balls of attack and verifiers (default: as they are set)',
  },
} as const satisfies ArgsDef;

/** The attack of the config and these verifiers, for balls of the norm that --norm names. */
export async function normed(
  values: Values,
  { evaluate: { attack } }: Config,
  verifiers: readonly PlugIn[],
): Promise<{ attack: PlugIn; verifiers: readonly PlugIn[] }> {
  const norm = values.text('norm');
  if (norm === undefined) return { attack, verifiers };
  const { withNorm } = await import('../evaluate/norm');
  const all = [['attack', attack] as const, ...verifiers.map((one) => ['verifier', one] as const)];
  const [first, ...rest] = withNorm(all, norm, '--norm');
  return { attack: first!, verifiers: rest };
}

/** Options that mean nothing without --verify or --radius are a mistake. */
export function refuseLonely(values: Values, certified: boolean): void {
  const lonely = ['out', 'jobs', 'shard'].filter((name) => values.text(name) !== undefined);
  if (!certified && lonely.length > 0)
    throw new UsageError(`--${lonely[0]}: expected --verify or --radius beside it, got neither.`);
}

interface Target {
  readonly model: string;
  readonly as: ReadOptions;
  readonly config: Config;
}

export async function runJudge(context: Context, given: Target): Promise<number> {
  const { values, backend, io } = context;
  const { evaluate } = given.config;
  const names = values.text('verify')?.split(',') ?? [evaluate.verifier.name];
  const parsed = await parseVerifiers(names, evaluate.verifier);
  const { attack, verifiers } = await normed(values, given.config, parsed);
  const target = { ...given, config: { ...given.config, evaluate: { ...evaluate, attack } } };
  const shard = parseShard(values);
  const jobs =
    shard || !io.self ? 1 : (values.number('jobs', whole(1, 256)) ?? (await processors()));
  const { dir, temporary } = await folderFor(context, target.model, shard !== undefined);
  const fs = await import('node:fs/promises');
  const ended = new AbortController();
  const settings = await settingsOf(target, verifiers, values.on('radius'));
  if (!temporary && !shard) await refuseOther(dir, settings, values);
  try {
    const startOthers = jobs > 1 ? () => others(context, dir, jobs, ended.signal) : undefined;
    const judged = await withEngine(
      context,
      (job) =>
        backend.judge(job.engine, {
          ...job,
          ...target,
          verifiers,
          radius: values.on('radius'),
          dir,
          shard: shard ?? { index: 0, count: jobs },
          ...(startOthers && { startOthers }),
        }),
      jobs > 1 ? 1 : undefined,
    );
    if (!judged) {
      if (values.on('json')) printJson(io, { shard: values.text('shard'), out: dir });
      else
        print(
          io,
          `share ${values.text('shard')} is done: the command without --shard counts all in ${dir}`,
        );
      return EXIT.done;
    }
    show(context, target, judged);
    // Last: the answer is told even where the disk is full.
    if (!temporary) await writeFiles(context, dir, target, settings, judged);
    return judged.contradictions > 0 ? EXIT.badNews : EXIT.done;
  } catch (error) {
    if (temporary && error instanceof Interrupted)
      throw new Interrupted('Nothing was kept; --out keeps it.');
    throw error;
  } finally {
    ended.abort();
    if (temporary) await fs.rm(dir, { recursive: true, force: true });
  }
}

async function parseVerifiers(names: readonly string[], own: PlugIn): Promise<PlugIn[]> {
  const { parseSlot } = await import('../recipe/config');
  const trimmed = names.map((name) => name.trim());
  const twice = trimmed.find((name, i) => trimmed.indexOf(name) < i);
  if (twice !== undefined) fail('--verify', 'each verifier once', `${twice} twice`);
  return trimmed.map((name) =>
    parseSlot('evaluate.verifier', name === own.name ? own : name, '--verify'),
  );
}

function parseShard(values: Values): { index: number; count: number } | undefined {
  const text = values.text('shard');
  if (text === undefined) return undefined;
  const [, i, n] = /^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? [];
  const [index, count] = [Number(i), Number(n)];
  if (i === undefined || index >= count) fail('--shard', 'i/n with i in [0, n), such as 0/4', text);
  return { index, count };
}

async function processors(): Promise<number> {
  const os = await import('node:os');
  return Math.min(64, os.availableParallelism());
}

/** Where the journals go: --out, the run that the model belongs to, or a folder that is removed. */
async function folderFor(
  { values }: Context,
  model: string,
  shard: boolean,
): Promise<{ dir: string; temporary: boolean }> {
  const path = await import('node:path');
  const out = values.text('out');
  if (out !== undefined) return { dir: out, temporary: false };
  const { kindOf } = await import('../io/files');
  const run = path.dirname(model);
  const isRun =
    (await kindOf(path.join(run, 'config.json'))) === 'file' &&
    (await kindOf(path.join(run, 'journal.jsonl'))) === 'file';
  if (isRun) return { dir: run, temporary: false };
  if (shard)
    throw new EspalierError('--shard: expected --out, the folder all shards share, got none.');
  const os = await import('node:os');
  const fs = await import('node:fs/promises');
  return { dir: await fs.mkdtemp(path.join(os.tmpdir(), 'espalier-')), temporary: true };
}

/**
 * Starts processes 1 .. jobs - 1; what one does not do this one does. They end at once with `ended`, or
 * with this process, however that ends: their journals hold what they did.
 */
async function others(
  { io, argv }: Context,
  dir: string,
  jobs: number,
  ended: AbortSignal,
): Promise<void> {
  const { spawn } = await import('node:child_process');
  const [program, ...before] = io.self!;
  const start = (index: number): Promise<void> =>
    new Promise((resolve) => {
      const share = ['--threads', '1', '--out', dir, '--shard', `${index}/${jobs}`];
      const child = spawn(program!, [...before, ...argv, ...share], {
        env: { ...io.env, [CHILD]: '1' },
        stdio: ['pipe', 'ignore', 'ignore'],
        signal: ended,
        killSignal: 'SIGKILL',
      });
      child.once('error', () => resolve());
      child.once('close', () => resolve());
    });
  await Promise.all(Array.from({ length: jobs - 1 }, (_, i) => start(i + 1)));
}

/** Hash of what an evaluation depends on: kept in its file, which only the same one replaces. */
async function settingsOf(
  { model, as, config: { data, evaluate } }: Target,
  verifiers: readonly PlugIn[],
  radius: boolean,
): Promise<string> {
  const { readFile } = await import('../io/files');
  const { sha256 } = await import('../data/sha256');
  const { canonicalJson } = await import('../json');
  const hash = await readFile(model, 2 ** 32).then(
    (bytes) => sha256([bytes]),
    () => model,
  );
  const { eps, attack } = evaluate;
  const text = canonicalJson({ model: hash, as, data, eps, attack, verifiers, radius });
  return sha256([new TextEncoder().encode(text)]);
}

const EVALUATION = 'evaluation.json';
const RADII = 'radii.html';

/** Whether the folder has an evaluation of these settings; `other` for files of anything else. */
async function evaluationIn(
  dir: string,
  settings: string,
  radius: boolean,
): Promise<'none' | 'same' | 'other'> {
  const { kindOf, readFile } = await import('../io/files');
  const { join } = await import('node:path');
  const file = join(dir, EVALUATION);
  if ((await kindOf(file)) === undefined)
    return radius && (await kindOf(join(dir, RADII))) !== undefined ? 'other' : 'none';
  try {
    const text = new TextDecoder().decode(await readFile(file, 1 << 30));
    return JSON.parse(text).settings === settings ? 'same' : 'other';
  } catch {
    return 'other';
  }
}

async function refuseOther(dir: string, settings: string, values: Values): Promise<void> {
  if (values.on('force') || (await evaluationIn(dir, settings, values.on('radius'))) !== 'other')
    return;
  fail(
    dir,
    `no ${EVALUATION} or ${RADII} but of the same evaluation`,
    'another',
    'Choose another folder with --out, or --force to replace it.',
  );
}

async function writeFiles(
  { io, values, faults }: Context,
  dir: string,
  { model, config }: Target,
  settings: string,
  judged: Judgement,
): Promise<void> {
  const { writeAtomic, writeNew } = await import('../io/files');
  const path = await import('node:path');
  const radius = judged.radii !== undefined;
  const mine = values.on('force') || (await evaluationIn(dir, settings, radius)) === 'same';
  const put = mine ? writeAtomic : writeNew;
  const { eps, attack } = config.evaluate;
  const json = { model, data: config.data.name, eps, norm: normOf(attack), settings, ...judged };
  await put(path.join(dir, EVALUATION), `${JSON.stringify(json, null, 1)}\n`);
  if (!judged.radii) return;
  const about = { title: path.basename(model), verifiers: judged.verifiers.map((v) => v.name) };
  const file = path.join(dir, RADII);
  try {
    await put(file, renderRadiusReport(judged.radii, about));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    faults.push(`${file}: expected to make the report, got: ${why}`);
    tell(io, faults.at(-1)!, 'error: ');
  }
}

function show({ io, values }: Context, { model, config }: Target, judged: Judgement): void {
  const { accuracies, contradictions, verifiers, radii, samples } = judged;
  const { eps, attack } = config.evaluate;
  if (values.on('json')) {
    const about = { model, data: config.data.name, eps, norm: normOf(attack) };
    printJson(io, { ...about, ...accuracies, contradictions, verifiers, radii, samples });
    return;
  }
  print(io, accuracyTable(model, accuracies));
  const columns = ['verifier', 'certified', 'seconds'].map((title, i) => ({
    title,
    align: i === 0 ? ('left' as const) : ('right' as const),
  }));
  const rows = verifiers.map((v) => [v.name, String(v.certified), v.seconds.toFixed(1)]);
  print(io, renderTable({ columns, rows }));
  if (radii) {
    print(io, `certified radius: median ${short(radii.median)}, mean ${short(radii.mean)}`);
    print(io, radiusTable(radii));
  }
  print(
    io,
    `eps ${eps}${normText(attack)}, attack ${attack.name}, contradictions ${contradictions}`,
  );
}

export const normOf = ({ norm = 'linf' }: PlugIn): string => String(norm);

/** Of an attack on other balls than those of L-infinity. */
export const normText = (attack: PlugIn): string =>
  normOf(attack) === 'linf' ? '' : ` (${normOf(attack)})`;

/** The three accuracies as a table of one row. */
export function accuracyTable(model: string, { benign, era, vra }: Accuracies): string {
  const cells = [benign, era, vra].map((p) =>
    p.total ? `${percent(p.value)} ${interval(p)} n=${p.total}` : 'not measured',
  );
  const columns = ['model', 'benign', 'ERA', 'VRA'].map((title) => ({
    title,
    align: 'left' as const,
  }));
  return renderTable({ columns, rows: [[model, ...cells]] });
}
