/**
 * The result of `espalier evaluate --verify` and `--radius` as files of a folder: evaluation.json and
 * radii.html. Only an evaluation of the same settings, and of at least as many images, replaces them.
 */
import { fail } from '../errors';
import type { Evaluation } from '../evaluate/records';
import { listed, type PlugIn, type PlugIns } from '../options';
import { renderRadiusReport } from '../report/radius';
import type { EvaluateJob } from './backend';
import type { Context } from './command';
import { tell } from './io';

export const EVALUATION = 'evaluation.json';
export const RADII = 'radii.html';

type Job = Pick<EvaluateJob, 'model' | 'as' | 'config'> & {
  readonly verifiers: readonly PlugIn[];
  readonly radius: boolean;
};

/** Norm of the balls of attacks; of several norms all, as `linf, l2`. */
export const normOf = (attack: PlugIns): string =>
  [...new Set(listed(attack).map(attackNorm))].join(', ');

/** Norm of one, by what it says of its options. */
const attackNorm = ({ norm = 'linf' }: PlugIn): string => String(norm);

/** What a folder holds, in words, where this evaluation must not replace it. */
export type Held = 'nothing' | 'less' | { readonly other: string };

export interface EvaluationFile {
  /** Raises EspalierError, before the work, where the folder holds another evaluation. */
  refuseOther(): Promise<void>;
  /** Writes the files; a page that cannot be made is a fault that is told. */
  write(context: Context, found: Evaluation): Promise<void>;
}

/** The files of a job in a folder; with `force` they replace any other. */
export async function evaluationFile(
  dir: string,
  job: Job,
  force: boolean,
): Promise<EvaluationFile> {
  const path = await import('node:path');
  const [json, page] = [path.join(dir, EVALUATION), path.join(dir, RADII)];
  const settings = await settingsOf(job);
  const held = () => heldBy(json, job.radius ? page : undefined, settings, job);
  return {
    async refuseOther() {
      const found = force ? 'nothing' : await held();
      if (typeof found === 'string') return;
      const wanted = `no ${EVALUATION} or ${RADII} but of the same evaluation`;
      fail(dir, wanted, found.other, 'Choose another folder with --out, or --force to replace it.');
    },
    async write({ io, faults }, found) {
      const { writeAtomic, writeNew } = await import('../io/files');
      const put = force || (await held()) === 'less' ? writeAtomic : writeNew;
      const { model, config } = job;
      const { eps, attack } = config.evaluate;
      const about = { model, data: config.data.name, eps, norm: normOf(attack), settings };
      const { outcomes: _, ...kept } = found;
      await put(json, `${JSON.stringify({ ...about, ...kept }, null, 1)}\n`);
      if (!found.radii) return;
      const verifiers = found.verifiers.map(({ name }) => name);
      try {
        await put(
          page,
          renderRadiusReport(found.radii, { title: path.basename(model), verifiers }),
        );
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        faults.push(`${page}: expected to make the report, got: ${why}`);
        tell(io, faults.at(-1)!, 'error: ');
      }
    },
  };
}

/** Hash of what an evaluation depends on, but for how many images it looks at. */
async function settingsOf({ model, as, config, verifiers, radius }: Job): Promise<string> {
  const { readFile } = await import('../io/files');
  const { sha256 } = await import('../data/sha256');
  const { canonicalJson } = await import('../json');
  const hash = await readFile(model, 2 ** 32).then(
    (bytes) => sha256([bytes]),
    () => model,
  );
  const { data, seed, evaluate } = config;
  const { eps, attack } = evaluate;
  const text = canonicalJson({ model: hash, as, data, eps, seed, attack, verifiers, radius });
  return sha256([new TextEncoder().encode(text)]);
}

/** Finds what stands there: of the same settings and no more images, it may be replaced. */
async function heldBy(
  json: string,
  page: string | undefined,
  settings: string,
  { config: { evaluate } }: Job,
): Promise<Held> {
  const { kindOf, readFile } = await import('../io/files');
  if ((await kindOf(json)) === undefined)
    return page !== undefined && (await kindOf(page)) !== undefined
      ? { other: 'another' }
      : 'nothing';
  try {
    const { settings: theirs, accuracies } = JSON.parse(
      new TextDecoder().decode(await readFile(json, 1 << 30)),
    );
    if (theirs !== settings) return { other: 'another' };
    const covers = (limit: number | null, { total }: { total: number }): boolean =>
      limit === null || limit >= total;
    return covers(evaluate.attackLimit, accuracies.era) &&
      covers(evaluate.verifyLimit, accuracies.vra)
      ? 'less'
      : { other: `one of more images (${accuracies.era.total}, ${accuracies.vra.total})` };
  } catch {
    return { other: 'another' };
  }
}
