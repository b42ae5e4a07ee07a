/**
 * The real backend: each method loads what it needs and hands over to the recipe.
 */
import type { Config } from '../recipe/config';
import type { Engine } from '../runtime/engine';
import type { Backend, EngineHandle } from './backend';

/** Every handle comes from `load` below. */
const real = (engine: EngineHandle): Engine => engine as Engine;

export const backend: Backend = {
  async load(options) {
    const { load } = await import('../runtime/engine');
    return load(options);
  },
  async compress(config, { engine, ...job }) {
    const { compress } = await import('../recipe/compress');
    return compress(config, { ...job, engine: real(engine) });
  },
  async pretrain(config, { engine, ...job }) {
    const { pretrain } = await import('../recipe/compress');
    return pretrain(config, { ...job, engine: real(engine) });
  },
  async prune(engine, { model: path, out, strategy, sparsity, seed }) {
    const { loadModel, readMetadata, saveModel } = await import('../io/model');
    const { pruneModel } = await import('../recipe/phases');
    const { inspect } = await import('../recipe/inspect');
    const pruned = pruneModel(await loadModel(real(engine), path), { strategy, sparsity, seed });
    await saveModel(out, pruned, await readMetadata(path));
    return inspect(pruned);
  },
  async finetune(engine, { model: path, out, config, onEvent, signal }) {
    const { loadModel, readMetadata, saveModel } = await import('../io/model');
    const { trainModel } = await import('../recipe/phases');
    const { inspect } = await import('../recipe/inspect');
    const model = await loadModel(real(engine), path);
    await trainModel(model, config, { onEvent, signal });
    await saveModel(out, model, { ...(await readMetadata(path)), config });
    return inspect(model);
  },
  async evaluate(engine, { model: path, config, onEvent, signal }) {
    const { loadModel } = await import('../io/model');
    const { evaluate } = await import('../recipe/evaluate');
    const model = await loadModel(real(engine), path);
    const set = await loadData(config.data);
    const hooks = { onEvent, signal, seed: config.seed };
    return evaluate(model, set, set.test, config.evaluate, hooks);
  },
  async bounds(engine, { model: path, data, indices, eps, method }) {
    const { loadModel } = await import('../io/model');
    const { outputBounds } = await import('../recipe/phases');
    const model = await loadModel(real(engine), path);
    return outputBounds(model, await loadData(data), { indices, eps, method });
  },
  async inspect(engine, path) {
    const { loadModel } = await import('../io/model');
    const { inspect } = await import('../recipe/inspect');
    return inspect(await loadModel(real(engine), path));
  },
  async recordedConfig(path) {
    const { readMetadata } = await import('../io/model');
    return (await readMetadata(path)).config;
  },
  async benchmark(engine, options) {
    const { benchmark } = await import('../recipe/bench');
    return benchmark(real(engine), options);
  },
  async productSpeed(engine, seconds) {
    const { filled, step } = await import('../tensor/tensor');
    const { matmul } = await import('../tensor/ops/product');
    const n = 512;
    const product = () =>
      step(real(engine), () => {
        const a = filled(real(engine), [n, n], 0.5);
        matmul(a, a);
      });
    for (let warm = 0; warm < 3; warm++) product();
    let calls = 0;
    const start = performance.now();
    while (performance.now() - start < 1000 * seconds) {
      product();
      calls++;
    }
    return (calls * 2 * n ** 3) / ((performance.now() - start) * 1e6);
  },
  async binaries() {
    const { supports } = await import('../runtime/engine');
    return { simd: supports('simd'), relaxed: supports('relaxed') };
  },
};

async function loadData({ name, path }: Config['data']) {
  const { datasets } = await import('../data/registry');
  const { lookup } = await import('../errors');
  return lookup(datasets, name, 'data').load(path === null ? {} : { path });
}
