/**
 * The checkpoint of a run: one safetensors file with the parameters in training and the best ones so far,
 * both as parameterisations, the optimiser's moments, the strategy's arrays and the objective's, and as metadata where the
 * run stands. Restoring it and going on gives bit for bit what an uninterrupted run gives.
 */
import * as v from 'valibot';
import { expect } from '../errors';
import { kindOf } from '../io/files';
import { checkNetwork, type LoadedTensors, loadTensors, saveTensors } from '../io/model';
import type { TensorInput } from '../io/safetensors';
import { multiplyAdds } from '../measure/inspect';
import type { ParameterData } from '../nn/parameterisation';
import { parameterisations } from '../nn/parameterisations/registry';
import {
  freeTraining,
  type ParameterMap,
  snapshot,
  type TrainingModel,
  trainingModelFrom,
} from '../nn/training-model';
import { choice, parseOptions, real, whole } from '../options';
import { ownMasks, prunableData } from '../prune/between-batches';
import type { Engine } from '../runtime/engine';
import { equalEpochs } from './controls';
import type { PhaseSpec } from './phase-spec';
import { type Phase, startPhase } from './training';

/** What the whole run remembers beside its phase. */
export interface RunState {
  /** Position of the phase among those of the run. */
  readonly stage: number;
  /** Epochs finished over all phases: the last journal record that counts. */
  overall: number;
  /** Seconds computed so far. */
  seconds: number;
  readonly startedAt: string;
  /** Multiply-adds an image, over all epochs of the phases that the pruned network comes from. */
  operations: number;
  /** Prunable weights of the dense network: what sparsity refers to. */
  readonly weights: number;
}

/** Counts on when files of older versions can no longer be taken up. */
const VERSION = 4;

const PARAMETERS = v.record(
  v.string(),
  v.strictObject({
    kind: choice(Object.keys(parameterisations)),
    settings: v.record(v.string(), real()),
  }),
);

const SCORE = v.nullable(v.strictObject({ benign: real(0, 1), robust: real(0, 1) }));

/** The metadata of a checkpoint, beside the network, the version and the hash. */
const SAVED = v.strictObject({
  run: v.strictObject({
    stage: whole(),
    overall: whole(),
    seconds: real(0),
    startedAt: v.string(),
    operations: real(0),
    weights: whole(),
  }),
  state: v.strictObject({
    epoch: whole(),
    updates: whole(),
    progress: v.strictObject({
      step: whole(),
      images: whole(),
      lossSum: real(),
      metrics: v.record(v.string(), real()),
    }),
    seconds: real(0),
    best: SCORE,
    scores: v.array(SCORE),
  }),
  model: PARAMETERS,
  best: PARAMETERS,
});

export interface Checkpoint {
  readonly run: RunState;
  readonly phase: Phase;
}

/** Multiply-adds an image of a model in training, over the entries that have leaves. */
export const operationsOf = (model: TrainingModel): number =>
  multiplyAdds(model.graph, ownMasks(prunableData(model)));

/** A phase that lasts for as many operations as a run had, with its epochs. */
export function ofEqualOperations(
  spec: PhaseSpec,
  { operations }: Pick<RunState, 'operations'>,
  model: TrainingModel,
): PhaseSpec {
  if (!spec.equalOperations) return spec;
  const epochs = equalEpochs(operations, operationsOf(model));
  return { ...spec, training: { ...spec.training, epochs } };
}

export async function saveCheckpoint(
  path: string,
  hash: string,
  { run, phase }: Checkpoint,
): Promise<void> {
  const { model, best, optimizer, strategyState, kept, state } = phase;
  const tensors = new Map<string, TensorInput>();
  const put = (name: string, data: Float32Array | Uint8Array): void => {
    const dtype = data instanceof Uint8Array ? 'U8' : 'F32';
    tensors.set(name, { dtype, shape: [data.length], data });
  };
  const putAll = (prefix: string, parameters: ParameterMap) => {
    for (const [name, { mask, tensors: own }] of parameters) {
      if (mask) put(`${prefix}/${name}/mask`, mask);
      for (const [local, values] of Object.entries(own)) put(`${prefix}/${name}/${local}`, values);
    }
    const kinds = Array.from(parameters, ([name, { kind, settings }]) => [
      name,
      { kind, settings },
    ]);
    return Object.fromEntries(kinds) as v.InferOutput<typeof PARAMETERS>;
  };
  const saved = { model: putAll('model', snapshot(model)), best: putAll('best', best) };
  for (const [name, t] of optimizer.moments) put(`moment/${name}`, t.read());
  for (const [name, values] of strategyState) put(`strategy/${name}`, values);
  for (const [name, values] of kept) put(`objective/${name}`, values);
  const { network } = model.graph;
  await saveTensors(path, tensors, { version: VERSION, network, hash, run, state, ...saved });
}

/** The checkpoint at `path`, or undefined if there is none; an error if it is another run's. */
export async function loadCheckpoint(
  engine: Engine,
  path: string,
  hash: string,
  phases: readonly PhaseSpec[],
): Promise<Checkpoint | undefined> {
  if ((await kindOf(path)) !== 'file') return undefined;
  const file = await loadTensors(path);
  const { version, network, hash: held, format: _, ...rest } = file.metadata;
  const hint = 'Choose another directory with --out, or move the file away to start again.';
  expect(version === VERSION, path, 'a checkpoint of this version', 'one of another', hint);
  expect(held === hash, path, 'the checkpoint of this run', 'one of another config', hint);
  const { run, state, model: kinds, best } = parseOptions(SAVED, rest, path);
  const spec = phases[run.stage];
  expect(spec, `${path}: stage`, `a phase of ${phases.length}`, run.stage);
  const parameters = parametersIn(file, 'model', kinds);
  const checked = checkNetwork(network, path);
  // The best ones are read now, and needed at the end of the phase.
  const bestParameters = parametersIn(file, 'best', best);
  freeTraining(trainingModelFrom(engine, checked, bestParameters, path));
  const model = trainingModelFrom(engine, checked, parameters, path);
  const phase = startPhase(ofEqualOperations(spec, run, model), model, state);
  phase.best = bestParameters;
  for (const [name, t] of phase.optimizer.moments) t.write(file.tensor(`moment/${name}`).values);
  for (const [prefix, map] of [
    ['strategy/', phase.strategyState],
    ['objective/', phase.kept],
  ] as const)
    for (const full of file.names.filter((name) => name.startsWith(prefix)))
      map.set(full.slice(prefix.length), file.tensor(full).values);
  return { run, phase };
}

function parametersIn(
  file: LoadedTensors,
  prefix: string,
  kinds: v.InferOutput<typeof PARAMETERS>,
): ParameterMap {
  return new Map(
    Object.entries(kinds).map(([name, { kind, settings }]): [string, ParameterData] => {
      const at = `${prefix}/${name}/`;
      const mask = file.has(`${at}mask`) ? new Uint8Array(file.tensor(`${at}mask`).values) : null;
      const own = Object.keys(parameterisations[kind]!.tensors).map(
        (local) => [local, file.tensor(at + local).values] as const,
      );
      return [name, { kind, mask, settings, tensors: Object.fromEntries(own) }];
    }),
  );
}
