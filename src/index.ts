/**
 * The public surface of espalier.
 *
 * An engine computes, a model is a network with its parameters in an engine, `compress` is the whole
 * recipe. Everything here runs from JavaScript alone; files and the command line stand on it.
 *
 * The registries (`layers`, `objectives`, `strategies`, `attacks`, `verifiers`, `runners`, `datasets`,
 * `zoo`) are plain objects: put an entry of your own in, and configs and files can name it. Its `options`
 * are a schema of valibot 1. An entry, called, gives its plug-in with all its options, as configs and
 * `evaluate` take it: `pgd({ steps: 20 })`, `ibp({ eps: 0.1 })`, `interval()`.
 */
export {
  type Attack,
  type AttackJob,
  type AttackOutcome,
  attack,
  runAttack,
} from './attack/attack';
export { apgdCe } from './attack/attacks/apgd-ce';
export { apgdDlr } from './attack/attacks/apgd-dlr';
export { apgdT } from './attack/attacks/apgd-t';
export { autoattack } from './attack/attacks/autoattack';
export { bim } from './attack/attacks/bim';
export { cw } from './attack/attacks/cw';
export { deepfool } from './attack/attacks/deepfool';
export { fab } from './attack/attacks/fab';
export { fabT } from './attack/attacks/fab-t';
export { fgsm } from './attack/attacks/fgsm';
export { lbfgs } from './attack/attacks/lbfgs';
export { mim } from './attack/attacks/mim';
export { pgd } from './attack/attacks/pgd';
export { attacks } from './attack/attacks/registry';
export { square as squareAttack } from './attack/attacks/square';
export { type Bpda, bpda, eot } from './attack/defence';
export type { Oracle } from './attack/job';
export {
  type Answer,
  type Found,
  oracleOf as attackOracle,
  type Query,
  type Search,
  type Subject,
} from './attack/search';
export { probe, SUSPICIONS, type Suspicion, suspicionText } from './attack/suspicion';
export { type NamedNetwork, type Transfer, transfer } from './attack/transfer';
export { type AlphaOptions, optimisedBounds } from './bounds/alpha';
export {
  type BoundedNetwork,
  type HiddenMethod,
  hiddenBounds,
  type LinearOptions,
  lowerBounds,
} from './bounds/linear';
export { linearMargins } from './bounds/margins';
export { type Certificate, type Claim, seal as sealCertificate } from './check/certificate';
export {
  type CheckOptions,
  type CheckResult,
  check as checkCertificate,
  fingerprint,
} from './check/check';
export { type ArraysInput, fromArrays } from './data/arrays';
export { datasets } from './data/registry';
export type { DataSet, DataSource, Split } from './data/types';
export { type InputSet, inputSet, type Norm } from './domain/balls';
export { logits, predict } from './domain/classifier';
export { type Domain, type Pass, type PropagateOptions, propagate } from './domain/domain';
export {
  type BallOptions,
  type Box,
  ball,
  type IntervalOptions,
  interval as intervalDomain,
} from './domain/interval';
export { intervalMargins, type MarginOptions } from './domain/rows';
export { value as valueDomain } from './domain/value';
export { EspalierError } from './errors';
export {
  type AttackRecord,
  type Block,
  evaluateBlock,
  type SampleRecord,
  type Task,
  type VerdictRecord,
} from './evaluate/block';
export {
  type Certified,
  type CertifyOptions,
  type Checked,
  type CheckFilesOptions,
  certify,
  checkFiles,
} from './evaluate/certificates';
export { type EvaluateHooks, type EvaluateSettings, evaluate } from './evaluate/evaluate';
export { type Evaluation, evaluationOf, type MethodShare } from './evaluate/records';
export { type Runner, runner, type Span, type Work } from './evaluate/runner';
export { runners } from './evaluate/runners/registry';
export {
  type SmoothImage,
  type SmoothOptions,
  type SmoothResult,
  smoothSet,
} from './evaluate/smooth';
export { Interrupted, type Listener, type RunEvent, type StopSignal } from './events';
export { loadModel, saveModel } from './io/model';
export { type Format, type ModelFile, type ReadOptions, readModelFile } from './io/read';
export { formatResult, type Property, parseVnnlib } from './io/vnnlib';
export { costsText, readCosts } from './measure/costs';
export { type Fit, fitCosts } from './measure/fit';
export { type Inspection, inspect } from './measure/inspect';
export { type PlanView, viewPlans } from './measure/plan-view';
export { type FrozenModel, freezeSparsity } from './nn/freeze';
export {
  compile,
  type Graph,
  type GraphNode,
  type Network,
  type NodeSpec,
  sequential,
} from './nn/graph';
export type { Initialiser } from './nn/init';
export {
  type AffineLayer,
  affineLayer,
  type ChannelDependency,
  type JoinLayer,
  joinLayer,
  type Layer,
  type ParamSpec,
  type PointwiseLayer,
  pointwiseLayer,
} from './nn/layer';
export { layers } from './nn/layers/registry';
export { lower } from './nn/lower';
export { type AnyModel, createModel, freeModel, type Model, modelFrom } from './nn/model';
export type { LinearOperator, LinearStructure, Params } from './nn/operator';
export { type Gather, gather } from './nn/operators/gather';
export {
  type Mask,
  type ParameterData,
  type ParameterisationKind,
  plainData,
} from './nn/parameterisation';
export { parameterisations } from './nn/parameterisations/registry';
export { scoredData } from './nn/parameterisations/scored';
export { remasked } from './nn/parameterised';
export { summary } from './nn/summary';
export {
  freeTraining,
  leavesOf,
  type ParameterMap,
  parameterise,
  type TrainingModel,
} from './nn/training-model';
export { buildNetwork, type ZooEntry, zoo } from './nn/zoo';
export type { OptionsSchema, PlugIn } from './options';
export { ballMargins, leastMargins } from './plan/margins';
export { compilePlan, type Plan, type PlanOptions } from './plan/plan';
export { type Predictor, predictorOf } from './plan/predictor';
export { compileSparsePlan, fastestPlan } from './plan/sparse-plan';
export type { PlanStep } from './plan/steps';
export { removeDead, type WithoutDead } from './prune/dead';
export { type Sparsity, sparsityOf } from './prune/mask';
export { type LossAnswer, type LossOracle, type LossQuestion, oracleOf } from './prune/oracle';
export { type Pruned, prune } from './prune/prune';
export { type Scoring, scoring } from './prune/scoring';
export type { Score } from './prune/select';
export { admm } from './prune/strategies/admm';
export { block } from './prune/strategies/block';
export { filter } from './prune/strategies/filter';
export { fisher } from './prune/strategies/fisher';
export { flyingbird } from './prune/strategies/flyingbird';
export { grasp } from './prune/strategies/grasp';
export { harp } from './prune/strategies/harp';
export { hydra } from './prune/strategies/hydra';
export { lottery } from './prune/strategies/lottery';
export { magnitude } from './prune/strategies/magnitude';
export { movement } from './prune/strategies/movement';
export { nM } from './prune/strategies/n-m';
export { obd } from './prune/strategies/obd';
export { random } from './prune/strategies/random';
export { strategies } from './prune/strategies/registry';
export { rigl } from './prune/strategies/rigl';
export { snip } from './prune/strategies/snip';
export { surgery } from './prune/strategies/surgery';
export { synflow } from './prune/strategies/synflow';
export {
  type BetweenBatchesContext,
  type Decision,
  type Masks,
  type PruneContext,
  type Start,
  type Strategy,
  type StrategyPhase,
  strategy,
} from './prune/strategy';
export { type Compacted, type CompactJob, compact } from './recipe/compact';
export { compress, pretrain } from './recipe/compress';
export {
  type Config,
  defaultConfig,
  type EvaluateConfig,
  loadConfig,
  parseConfig,
} from './recipe/config';
export { type Conversion, convert } from './recipe/convert';
export { openRun, type RunDir, type RunPaths } from './recipe/run-dir';
export type { CompressOptions } from './recipe/stages';
export { parseSweep, type SweepConfig } from './recipe/sweep/config';
export type { Executor, SweepOptions } from './recipe/sweep/execute';
export { inThisProcess } from './recipe/sweep/in-process';
export { type Job, type Plan as SweepPlan, planSweep } from './recipe/sweep/plan';
export { sweep } from './recipe/sweep/sweep';
export { renderReport } from './report/html';
export { sweepText } from './report/sweep';
export type { GroupResult, PairResult, RunResult, SweepResult } from './report/sweep-types';
export { renderTable, summaryText } from './report/table';
export type { Accuracies, LayerSummary, Proportion, ReportData, Summary } from './report/types';
export type { Costs } from './runtime/costs';
export {
  type Binary,
  type Engine,
  type EngineInfo,
  type LoadOptions,
  load,
} from './runtime/engine';
export { clopperPearson, type Interval } from './statistics';
export type { ConvOptions, ConvShape } from './tensor/convolution';
export { convShape, convSize } from './tensor/convolution';
export {
  add,
  affine,
  div,
  equal,
  expand,
  greater,
  greaterEqual,
  lincomb,
  maximum,
  mean,
  minimum,
  mul,
  neg,
  reshape,
  sub,
  sum,
  sumAxes,
  sumTo,
} from './tensor/ops/core';
export * from './tensor/ops/elementwise';
export * from './tensor/ops/interval';
export * from './tensor/ops/loss';
export * from './tensor/ops/pool';
export * from './tensor/ops/product';
export * from './tensor/ops/random';
export * from './tensor/ops/shape';
export type { Shape } from './tensor/shape';
export { gradients } from './tensor/tape';
export { input, item, keep, step, type Tensor } from './tensor/tensor';
export {
  type HeldOutBatch,
  type LossContext,
  type LossResult,
  type Objective,
  objective,
} from './train/objective';
export { adversarial } from './train/objectives/adversarial';
export { benign } from './train/objectives/benign';
export { ccIbp } from './train/objectives/cc-ibp';
export { crownIbp as crownIbpObjective } from './train/objectives/crown-ibp';
export { domainAdaptation } from './train/objectives/domain-adaptation';
export { dual } from './train/objectives/dual';
export { ensemble } from './train/objectives/ensemble';
export { expIbp } from './train/objectives/exp-ibp';
export { free } from './train/objectives/free';
export { ibp } from './train/objectives/ibp';
export { mixtrain } from './train/objectives/mixtrain';
export { mtlIbp } from './train/objectives/mtl-ibp';
export { objectives } from './train/objectives/registry';
export { smallBox } from './train/objectives/small-box';
export { smoothing } from './train/objectives/smoothing';
export { trades } from './train/objectives/trades';
export { zonotope } from './train/objectives/zonotope';
export { branchingRules } from './verify/branching/registry';
export {
  type BranchingRule,
  branchingRule,
  type NodeSplit,
  type OpenNodes,
} from './verify/branching/rule';
export { Budget, type BudgetLimits } from './verify/budget';
export {
  alphaMethod,
  type BoundMethod,
  type Bounds,
  intervalMethod,
  linearMethod,
} from './verify/methods';
export type { Outcome, Witness } from './verify/outcome';
export { type Problem, property, robustness } from './verify/problem';
export {
  finish,
  type SearchMethods,
  type SearchOptions,
  verifySpecification,
} from './verify/search';
export { type Smoothed, type SmoothingOptions, smooth } from './verify/smoothing';
export {
  ballRegion,
  marginProperty,
  type Region,
  type Specification,
} from './verify/specification';
export { type Verdict, type Verifier, type VerifyJob, verifier } from './verify/verifier';
export { alphaCrown } from './verify/verifiers/alpha-crown';
export { inputSplitting } from './verify/verifiers/input-splitting';
export { interval } from './verify/verifiers/interval';
export { crown, crownIbp, fastLin } from './verify/verifiers/linear';
export { verifiers } from './verify/verifiers/registry';
export { VERSION } from './version';
