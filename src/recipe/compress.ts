/**
 * The recipe (Sehwag et al. 2019): pre-train, prune, fine-tune, evaluate, each with the objective of
 * the network that is wanted in the end; the pruning strategy knows nothing of it.
 * This file opens and ends a run; stages.ts trains its phases.
 */

import { kindOf, writeAtomic } from '../io/files';
import { Journal } from '../io/journal';
import { loadModel } from '../io/model';
import { freeModel, type Model } from '../nn/model';
import { renderReport } from '../report/html';
import type { Summary } from '../report/types';
import type { RunState } from './checkpoint';
import { type Config, evaluationEps } from './config';
import type { RunDir } from './run-dir';
import { phasesOfRun } from './run-phases';
import { type CompressOptions, isEpoch, type Run, trainStages } from './stages';
import { exhibits, histograms, summarise } from './summary';
import { parseSummary } from './summary-file';
import { loadTrainingData } from './training-data';

/**
 * Runs or resumes a whole run; its directory then holds models, journal, summary and report. A report
 * that cannot be made is a fault that is told; the run is finished without it, and makes it next time.
 */
export async function compress(config: Config, options: CompressOptions): Promise<Summary> {
  const { dir, onEvent } = options;
  const finished = await readSummary(dir);
  if (finished && (await kindOf(dir.paths.report)) === 'file') {
    onEvent?.({ type: 'note', text: `${dir.dir} holds this run, finished: showing its result.` });
    return finished;
  }
  const run = await open(config, options);
  try {
    const state = await trainStages(run);
    return await judge(run, state, finished);
  } finally {
    await run.journal.close();
  }
}

/** Pre-trains alone; leaves `dense.safetensors` and a checkpoint from which `compress` goes on. */
export async function pretrain(config: Config, options: CompressOptions): Promise<void> {
  const run = await open(config, options);
  try {
    await trainStages(run, 1);
  } finally {
    await run.journal.close();
  }
}

async function open(config: Config, options: CompressOptions): Promise<Run> {
  const phases = phasesOfRun(config);
  const title = `read ${config.data.name}`;
  options.onEvent?.({ type: 'phase', phase: 'data', title, total: 1, done: 0 });
  const data = await loadTrainingData(config);
  const journal = await Journal.open(options.dir.paths.journal);
  return { ...options, config, phases, data, journal };
}

/** Evaluates the two models of a trained run, unless that is done, and writes summary and report. */
async function judge(run: Run, state: RunState, finished: Summary | undefined): Promise<Summary> {
  const { config, dir, engine, data } = run;
  const models: Model[] = [];
  try {
    const dense = await loadModel(engine, dir.paths.dense);
    models.push(dense);
    const pruned = await loadModel(engine, dir.paths.pruned);
    models.push(pruned);
    const resolved = { ...config.evaluate, eps: evaluationEps(config) };
    const job = { config: { ...config, evaluate: resolved }, data, dense, pruned, state };
    const summary = finished ?? (await summarise(engine, dir, job, run));
    if (!finished) await writeAtomic(dir.paths.summary, `${JSON.stringify(summary, null, 2)}\n`);
    await report(run, summary, dense, pruned, resolved);
    return summary;
  } finally {
    for (const model of models) freeModel(model);
  }
}

async function report(
  { config, dir, data, journal, onEvent }: Run,
  summary: Summary,
  dense: Model,
  pruned: Model,
  evaluation: Config['evaluate'],
): Promise<void> {
  onEvent?.({ type: 'phase', phase: 'report', title: 'report', total: 1, done: 0 });
  try {
    const html = await renderReport({
      summary,
      epochs: journal.records.filter(isEpoch),
      histograms: histograms(dense, pruned),
      exhibits: exhibits(pruned, data.set, evaluation, config.seed),
    });
    await writeAtomic(dir.paths.report, html);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const text = `${dir.paths.report}: expected to make the report, got: ${why} The run is finished: ${dir.paths.summary} holds its result.`;
    onEvent?.({ type: 'fault', text });
  }
}

/** The summary of a finished run; anything else in its place is made again. */
async function readSummary({ paths }: RunDir): Promise<Summary | undefined> {
  const { readFile } = await import('node:fs/promises');
  try {
    return parseSummary(await readFile(paths.summary, 'utf8'));
  } catch {
    return undefined;
  }
}
