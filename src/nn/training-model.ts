/** Models in training: a network whose parameters come from leaves (parameterisation.ts). */
import { expect } from '../errors';
import type { Engine } from '../runtime/engine';
import { readEntries, type Weight } from '../sparse/weight';
import { keep, step, type Tensor } from '../tensor/tensor';
import { compile, type Graph, type Network, paramSpecs } from './graph';
import type { AnyModel, Model } from './model';
import type { Mask, ParameterData } from './parameterisation';
import { parameterisations } from './parameterisations/registry';
import {
  createParameterisation,
  dataOf,
  freeParameterisation,
  maskOf,
  type Parameterisation,
  weightOf,
} from './parameterised';

export interface TrainingModel {
  readonly engine: Engine;
  readonly graph: Graph;
  /** By full name, in the order of the graph. */
  readonly parameters: Map<string, Parameterisation>;
}

/** Parameterisations as data, by parameter. */
export type ParameterMap = ReadonlyMap<string, ParameterData>;

/**
 * A model in training, its parameters by `how`, the others as they are. It takes the model's place, whose
 * tensors become leaves or are freed: free the result alone, by `freeTraining`.
 */
export function parameterise(model: Model, how: ParameterMap = new Map()): TrainingModel {
  const { engine, graph } = model;
  const parameters = new Map<string, Parameterisation>();
  for (const [name, tensor] of model.params) {
    const data = how.get(name);
    const { shape } = tensor;
    const plain = { kind: 'plain', settings: {}, shape, pattern: undefined };
    const who = `${graph.network.name}.${name}`;
    parameters.set(
      name,
      data
        ? createParameterisation(engine, shape, data, who)
        : { ...plain, tensors: { values: tensor } },
    );
    if (data) tensor.free();
  }
  return { engine, graph, parameters };
}

/** A model in training from data for each of its parameters; `who` begins errors. */
export function trainingModelFrom(
  engine: Engine,
  network: Network,
  data: ParameterMap,
  who = network.name,
): TrainingModel {
  const graph = compile(network);
  const parameters = new Map<string, Parameterisation>();
  try {
    for (const [name, { shape }] of paramSpecs(graph)) {
      const own = data.get(name);
      expect(own, who, `the parameter ${name}`, 'none');
      parameters.set(name, createParameterisation(engine, shape, own, `${who}: ${name}`));
    }
  } catch (error) {
    for (const made of parameters.values()) freeParameterisation(made);
    throw error;
  }
  return { engine, graph, parameters };
}

/** The model that the leaves stand for in the current step, differentiable in them. */
export function modelInStep({ engine, graph, parameters }: TrainingModel): AnyModel {
  const params = Array.from(parameters, ([name, p]): [string, Weight] => [name, weightOf(p)]);
  return { engine, graph, params: new Map(params) };
}

/** The same as a model of kept tensors of its own. */
export function denseModel({ engine, graph, parameters }: TrainingModel): Model {
  const params = Array.from(parameters, ([name, p]): [string, Tensor] => [
    name,
    keep(
      engine,
      p.shape,
      step(engine, () => readEntries(weightOf(p))),
    ),
  ]);
  return { engine, graph, params: new Map(params) };
}

/** The model that data for each of its parameters stand for. */
export function modelFromParameters(engine: Engine, network: Network, data: ParameterMap): Model {
  const training = trainingModelFrom(engine, network, data);
  const model = denseModel(training);
  freeTraining(training);
  return model;
}

/** A copy of all parameters as data. */
export const snapshot = ({ parameters }: TrainingModel): ParameterMap =>
  new Map(Array.from(parameters, ([name, p]) => [name, dataOf(p)]));

/** The masks of parameters of which some entries are 0 for good. */
export function masksIn(data: ParameterMap): Map<string, Mask> {
  const all = Array.from(data, ([name, own]) => [name, maskOf(own)] as const);
  return new Map(all.filter((entry): entry is [string, Mask] => entry[1] !== null));
}

export function freeTraining({ parameters }: TrainingModel): void {
  for (const parameter of parameters.values()) freeParameterisation(parameter);
}

/** What a phase trains of layers that have scores; of others always all. */
export type Trained = 'weights' | 'scores' | 'both';

/** One tensor that an optimiser moves. */
export interface Leaf {
  /** `<parameter>/<tensor>`. */
  readonly name: string;
  readonly tensor: Tensor;
  /** Whether weight decay applies: to prunable weights and their scores, not to biases and norms. */
  readonly decays: boolean;
}

/**
 * The leaves that a phase trains, in the order of the graph. With `scores` alone, weights and biases of
 * the layers that have scores rest; norms go on.
 */
export function leavesOf(
  { graph, parameters }: TrainingModel,
  trained: Trained = 'weights',
): Leaf[] {
  return graph.nodes.flatMap((node) => {
    const own = Object.entries(node.params).map(([local, spec]) => {
      const name = `${node.name}.${local}`;
      const { kind, tensors } = parameters.get(name)!;
      return { name, spec, tensors, roles: Object.entries(parameterisations[kind]!.tensors) };
    });
    const isScored = own.some(({ roles }) => roles.some(([, { role }]) => role === 'score'));
    const wanted = {
      constant: false,
      score: trained !== 'weights',
      weight: trained !== 'scores' || !isScored,
    };
    return own
      .filter(({ spec }) => spec.trainable)
      .flatMap(({ name, spec, tensors, roles }) =>
        roles
          .filter(([, { role }]) => wanted[role])
          .map(([local]) => ({
            name: `${name}/${local}`,
            tensor: tensors[local]!,
            decays: spec.prunable,
          })),
      );
  });
}
