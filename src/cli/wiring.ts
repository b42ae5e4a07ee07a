/**
 * The real backend: each method loads what it needs and hands over to the recipe.
 */
import type { Put } from '../io/files';
import type { ModelFile } from '../io/read';
import type { Config } from '../recipe/config';
import type { Engine } from '../runtime/engine';
import type { Backend, EngineHandle, Hooks, ModelJob, OutFile } from './backend';

/** Every handle comes from `load` below. */
const real = (engine: EngineHandle): Engine => engine as Engine;

export const backend: Backend = {
  async load(options) {
    const { load } = await import('../runtime/engine');
    const engine = await load(options);
    await engine.settled();
    return engine;
  },
  async compress(config, { engine, ...job }) {
    const { compress } = await import('../recipe/compress');
    return compress(config, { ...job, engine: real(engine) });
  },
  async pretrain(config, { engine, ...job }) {
    const { pretrain } = await import('../recipe/compress');
    return pretrain(config, { ...job, engine: real(engine) });
  },
  async sweep(plan, options) {
    const { sweep } = await import('../recipe/sweep/sweep');
    return sweep(plan, options);
  },
  async estimate(engine, plan, hooks) {
    const { estimateSweep } = await import('../recipe/sweep/estimate');
    return estimateSweep(real(engine), plan, hooks);
  },
  async prune(engine, job) {
    const { pruneModel } = await import('../recipe/phases');
    const { inspect } = await import('../measure/inspect');
    const { writerFor } = await import('../recipe/convert');
    const writer = writerFor(job.out);
    const { model, metadata } = await open(engine, job);
    const pruned = await pruneModel(model, job);
    await writer.write(job.out, pruned, metadata, await putOf(job));
    return inspect(pruned);
  },
  async finetune(engine, job) {
    const { trainModel } = await import('../recipe/phases');
    const { inspect } = await import('../measure/inspect');
    const { writerFor } = await import('../recipe/convert');
    const { out, config, onEvent, signal } = job;
    const writer = writerFor(out);
    const { model, metadata } = await open(engine, job);
    await trainModel(model, config, { onEvent, signal });
    await writer.write(out, model, { ...metadata, config }, await putOf(job));
    return inspect(model);
  },
  async evaluate(engine, { model: path, as, config, verifiers, radius, runner, ...job }) {
    const { evaluate } = await import('../evaluate/evaluate');
    const { onEvent, signal, folder } = job;
    const identity = folder && { file: await hashOf(path), as };
    const { model } = await open(engine, { model: path, as, onEvent });
    const set = await loadData(config.data);
    const settings = {
      ...config.evaluate,
      ...(verifiers && { verifier: verifiers }),
      ...(radius && { radius }),
    };
    return evaluate(model, set, set.test, settings, {
      ...{ onEvent, signal, seed: config.seed },
      ...(runner && { runner }),
      ...(folder && { folder: { ...folder, identity }, phase: 'verify', title: 'certify' }),
    });
  },
  async bounds(engine, job) {
    const { outputBounds } = await import('../evaluate/bounds');
    const { model } = await open(engine, job);
    return outputBounds(model, await loadData(job.data), job);
  },
  async smooth(engine, { model: path, as, data, ...options }) {
    const { smoothSet } = await import('../evaluate/smooth');
    const { model } = await open(engine, { ...options, model: path, as });
    return smoothSet(model, await loadData(data), options);
  },
  async certify(engine, job) {
    const { certify } = await import('../evaluate/certificates');
    const { model } = await open(engine, job);
    return certify(model, await loadData(job.data), job);
  },
  async check(engine, job) {
    const { checkFiles } = await import('../evaluate/certificates');
    const { model } = await open(engine, job);
    return checkFiles(model, job);
  },
  async verify(engine, job) {
    const { verifyFile } = await import('../evaluate/verify');
    return verifyFile(real(engine), job);
  },
  async vnncomp(engine, job) {
    const { vnncomp } = await import('../evaluate/vnncomp');
    return vnncomp(real(engine), job);
  },
  async inspect(engine, path, as, job) {
    const { readModelFile } = await import('../io/read');
    const { inspect } = await import('../measure/inspect');
    const { viewPlans } = await import('../measure/plan-view');
    const costs = job?.costs && (await (await import('../measure/costs')).readCosts(job.costs));
    const { model, format, notes } = await readModelFile(real(engine), path, as);
    const plan = job && viewPlans(model, { ...job, costs: costs || undefined });
    return { ...inspect(model), format, notes, ...(plan && { plan }) };
  },
  async sensitivity(engine, job) {
    const { sensitivity } = await import('../recipe/sensitivity');
    const { renderSensitivity } = await import('../report/sensitivity');
    const { basename } = await import('node:path');
    const { model } = await open(engine, job);
    const found = await sensitivity(model, job);
    const { out, replace } = job;
    if (out === undefined) return found;
    const put = await putOf({ out, ...(replace && { replace }) });
    await put(out, await renderSensitivity(found, basename(job.model)));
    return found;
  },
  async convert(engine, from, to, as) {
    const { convert } = await import('../recipe/convert');
    return convert(real(engine), from, to.out, as, await putOf(to));
  },
  async compact(engine, job) {
    const { compact } = await import('../recipe/compact');
    return compact(real(engine), job);
  },
  async recordedConfig(path) {
    const { readRecord } = await import('../io/read');
    return (await readRecord(path)).config;
  },
  async benchmark(engine, options) {
    const { benchmark } = await import('../measure/bench');
    return benchmark(real(engine), options);
  },
  async fit(engine, { seconds, out, replace }) {
    const { fitCosts } = await import('../measure/fit');
    const fit = fitCosts(real(engine), { seconds });
    if (out !== undefined) {
      const { costsText } = await import('../measure/costs');
      const put = await putOf({ out, ...(replace && { replace }) });
      await put(out, costsText(fit.costs));
    }
    return fit;
  },
  async productSpeed(engine, seconds) {
    const { productSpeed } = await import('../measure/bench');
    return productSpeed(real(engine), seconds);
  },
  async binaries() {
    const { supports } = await import('../runtime/engine');
    return { simd: supports('simd'), relaxed: supports('relaxed') };
  },
};

async function hashOf(path: string): Promise<string> {
  const { sha256 } = await import('../data/sha256');
  const { readFile } = await import('../io/files');
  return sha256([await readFile(path, 2 ** 32)]);
}

/** Writer of a job's file: it replaces, or takes a free name. */
async function putOf({ replace }: OutFile): Promise<Put> {
  const { writeAtomic, writeNew } = await import('../io/files');
  return replace ? writeAtomic : writeNew;
}

/** The model of a job; what reading it took is told as notes. */
async function open(
  engine: EngineHandle,
  { model: path, as, onEvent }: ModelJob & Pick<Hooks, 'onEvent'>,
): Promise<ModelFile> {
  const { readModelFile } = await import('../io/read');
  const file = await readModelFile(real(engine), path, as);
  for (const text of file.notes) onEvent({ type: 'note', text });
  return file;
}

async function loadData({ name, path }: Config['data']) {
  const { datasets } = await import('../data/registry');
  const { lookup } = await import('../errors');
  return lookup(datasets, name, 'data').load(path === null ? {} : { path });
}
