/**
 * The public surface of espalier.
 *
 * An engine computes, a model is a network with its parameters in an engine, `compress` is the whole
 * recipe. Everything here runs from JavaScript alone; files and the command line stand on it.
 */
export { type Attack, type AttackJob, attack, runAttack } from './attack/attack';
export { attacks } from './attack/attacks/registry';
export { fromArrays } from './data/arrays';
export { datasets } from './data/registry';
export type { DataSet, DataSource, Split } from './data/types';
export { logits, predict } from './domain/classifier';
export { type Domain, type Pass, propagate } from './domain/domain';
export { type Box, ball, interval, intervalMargins, leastMargins } from './domain/interval';
export { value } from './domain/value';
export { EspalierError } from './errors';
export { loadModel, saveModel } from './io/model';
export { readModelFile } from './io/read';
export {
  compile,
  type Graph,
  type GraphNode,
  type Network,
  type NodeSpec,
  sequential,
} from './nn/graph';
export {
  type AffineLayer,
  affineLayer,
  type JoinLayer,
  joinLayer,
  type Layer,
  type PointwiseLayer,
  pointwiseLayer,
} from './nn/layer';
export { layers } from './nn/layers/registry';
export { lower } from './nn/lower';
export { createModel, freeModel, type Model, modelFrom } from './nn/model';
export { summary } from './nn/summary';
export { buildNetwork, zoo } from './nn/zoo';
export { type Pruned, prune } from './prune/prune';
export { strategies } from './prune/strategies/registry';
export { type Masks, type Strategy, strategy } from './prune/strategy';
export { type CompressOptions, compress, pretrain } from './recipe/compress';
export { type Config, defaultConfig, loadConfig, parseConfig } from './recipe/config';
export { convert } from './recipe/convert';
export { type Evaluation, evaluate } from './recipe/evaluate';
export { Interrupted, type RunEvent } from './recipe/events';
export { inspect } from './recipe/inspect';
export { openRun, type RunDir } from './recipe/run-dir';
export { clopperPearson } from './report/binomial';
export { renderReport } from './report/html';
export { renderTable, summaryText } from './report/table';
export type { Accuracies, Proportion, Summary } from './report/types';
export { type Engine, type EngineInfo, type LoadOptions, load } from './runtime/engine';
export * from './tensor/ops/core';
export * from './tensor/ops/elementwise';
export * from './tensor/ops/interval';
export * from './tensor/ops/loss';
export * from './tensor/ops/pool';
export * from './tensor/ops/product';
export * from './tensor/ops/random';
export * from './tensor/ops/shape';
export { gradients } from './tensor/tape';
export { input, item, keep, step, type Tensor } from './tensor/tensor';
export { type Objective, objective } from './train/objective';
export { objectives } from './train/objectives/registry';
export { type Verdict, type Verifier, verifier } from './verify/verifier';
export { verifiers } from './verify/verifiers/registry';
export { VERSION } from './version';
