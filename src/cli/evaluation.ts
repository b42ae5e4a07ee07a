/**
 * `espalier evaluate --verify` and `--radius`: what the options mean, the runner, and what is printed.
 * Every other process is this command line again with `--shard i/n`; journals in one folder are all that
 * they share.
 */
import type { ArgsDef } from 'citty';
import { EspalierError, fail } from '../errors';
import type { Evaluation } from '../evaluate/records';
import { Interrupted } from '../events';
import { listed, namesOf, type PlugIn, type PlugIns, whole } from '../options';
import type { Config } from '../recipe/config';
import { interval, percent, short } from '../report/format';
import { radiusTable } from '../report/radius';
import { columnsOf, renderTable } from '../report/table';
import type { Accuracies } from '../report/types';
import { UsageError, type Values } from './args';
import type { EvaluateJob } from './backend';
import { type Context, EXIT } from './command';
import { evaluationFile, normOf } from './evaluation-file';
import { CHILD, print, printJson } from './io';
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

/** The config with its attack, and these verifiers, for balls of the norm that --norm names. */
export async function normed(
  values: Values,
  config: Config,
  verifiers: readonly PlugIn[],
): Promise<{ config: Config; verifiers: readonly PlugIn[] }> {
  const norm = values.text('norm');
  if (norm === undefined) return { config, verifiers };
  const { withNorm } = await import('../evaluate/norm');
  const { evaluate } = config;
  const all = [
    ...listed(evaluate.attack).map((one) => ['attack', one] as const),
    ...verifiers.map((one) => ['verifier', one] as const),
  ];
  const found = withNorm(all, norm, '--norm');
  const count = found.length - verifiers.length;
  const attack = Array.isArray(evaluate.attack) ? found.slice(0, count) : found[0]!;
  const rest = found.slice(count);
  return { config: { ...config, evaluate: { ...evaluate, attack } }, verifiers: rest };
}

/** Options that mean nothing without --verify or --radius are a mistake. */
export function refuseLonely(values: Values, certified: boolean): void {
  const lonely = ['out', 'jobs', 'shard'].filter((name) => values.text(name) !== undefined);
  if (!certified && lonely.length > 0)
    throw new UsageError(`--${lonely[0]}: expected --verify or --radius beside it, got neither.`);
}

type Target = Pick<EvaluateJob, 'model' | 'as' | 'config'>;

/** Evaluates with a cascade of verifiers, in a folder of journals, and returns the exit code. */
export async function evaluateInFolder(context: Context, given: Target): Promise<number> {
  const { values, backend, io } = context;
  const { verifier } = given.config.evaluate;
  const names = values.text('verify')?.split(',') ?? listed(verifier).map(({ name }) => name);
  const methods = await normed(values, given.config, await parseVerifiers(names, listed(verifier)));
  const target = { ...given, ...methods, radius: values.on('radius') };
  const shard = parseShard(values);
  const jobs =
    shard || !io.self ? 1 : (values.number('jobs', whole(1, 256)) ?? (await processors()));
  const { dir, temporary } = await folderFor(context, target.model, shard !== undefined);
  const fs = await import('node:fs/promises');
  const file = await evaluationFile(dir, target, values.on('force'));
  if (!temporary && !shard) await file.refuseOther();
  const runner = shard ? { name: 'shard', ...shard } : processes(context, dir, jobs);
  const folder = { dir, writer: shard?.index ?? 0 };
  try {
    const found = await withEngine(
      context,
      (job) => backend.evaluate(job.engine, { ...job, ...target, runner, folder }),
      jobs > 1 ? 1 : undefined,
    );
    if (shard) {
      showShare(context, dir);
      return EXIT.done;
    }
    show(context, target, found);
    // Last: the answer is told even where the disk is full.
    if (!temporary) await file.write(context, found);
    return found.contradictions > 0 ? EXIT.badNews : EXIT.done;
  } catch (error) {
    if (temporary && error instanceof Interrupted)
      throw new Interrupted('Nothing was kept; --out keeps it.');
    throw error;
  } finally {
    if (temporary) await fs.rm(dir, { recursive: true, force: true });
  }
}

/** The runner that starts this command line again. */
function processes({ io, argv }: Context, dir: string, jobs: number): PlugIn {
  const command = [...(io.self ?? []), ...argv, '--threads', '1', '--out', dir];
  return { name: 'processes', jobs, command: io.self ? command : [], env: { [CHILD]: '1' } };
}

async function parseVerifiers(names: readonly string[], own: readonly PlugIn[]): Promise<PlugIn[]> {
  const { parseSlot } = await import('../recipe/config');
  const trimmed = names.map((name) => name.trim());
  const twice = trimmed.find((name, i) => trimmed.indexOf(name) < i);
  if (twice !== undefined) fail('--verify', 'each verifier once', `${twice} twice`);
  return trimmed.map((name) =>
    parseSlot('evaluate.verifier', own.find((one) => one.name === name) ?? name, '--verify'),
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

/** Folder of the journals: --out, the run that the model belongs to, or one that is removed. */
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

function showShare({ io, values }: Context, dir: string): void {
  const share = values.text('shard');
  if (values.on('json')) printJson(io, { shard: share, out: dir });
  else print(io, `share ${share} is done: the command without --shard counts all in ${dir}`);
}

function show({ io, values }: Context, { model, config }: Target, found: Evaluation): void {
  const { accuracies, contradictions, verifiers, radii, samples } = found;
  const { eps, attack } = config.evaluate;
  if (values.on('json')) {
    const about = { model, data: config.data.name, eps, norm: normOf(attack) };
    printJson(io, { ...about, ...accuracies, contradictions, verifiers, radii, samples });
    return;
  }
  print(io, accuracyTable(model, accuracies));
  const columns = columnsOf(['verifier', 'certified', 'seconds'], 'lr');
  const rows = verifiers.map((v) => [v.name, String(v.certified), v.seconds.toFixed(1)]);
  print(io, renderTable({ columns, rows }));
  if (radii) {
    print(io, `certified radius: median ${short(radii.median)}, mean ${short(radii.mean)}`);
    print(io, radiusTable(radii));
  }
  print(
    io,
    `eps ${eps}${normText(attack)}, attack ${namesOf(attack)}, contradictions ${contradictions}`,
  );
}

/** Norm of attacks in brackets, where it is not L-infinity. */
export const normText = (attack: PlugIns): string =>
  normOf(attack) === 'linf' ? '' : ` (${normOf(attack)})`;

/** The three accuracies as a table of one row. */
export function accuracyTable(model: string, { benign, era, vra }: Accuracies): string {
  const cells = [benign, era, vra].map((p) =>
    p.total ? `${percent(p.value)} ${interval(p)} n=${p.total}` : 'not measured',
  );
  return renderTable({
    columns: columnsOf(['model', 'benign', 'ERA', 'VRA']),
    rows: [[model, ...cells]],
  });
}
