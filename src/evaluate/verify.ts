/**
 * A model file against a VNN-LIB property: every input box of the property is searched under one
 * budget; one unsafe point answers `sat`, none in all of them `unsat`.
 *
 * The network that is verified is the canonical form of the model (batch norms and normalisation
 * folded), in float32; a witness is unsafe in float32 by both binaries and in float64, and so it is in
 * the model as its file has it.
 */
import { EspalierError, expect, fail } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import { readPlainOrGzip } from '../io/files';
import { type ModelFile, type ReadOptions, readModelFile } from '../io/read';
import { type Answer, type NetworkDeclaration, type Property, parseVnnlib } from '../io/vnnlib';
import { freezeSparsity } from '../nn/freeze';
import { lower } from '../nn/lower';
import { freeModel, type Model } from '../nn/model';
import { sideBySide } from '../nn/side-by-side';
import type { Engine } from '../runtime/engine';
import { sizeOf } from '../tensor/shape';
import { Budget } from '../verify/budget';
import type { Head } from '../verify/head';
import { partsAtOnce } from '../verify/methods';
import type { Outcome, Subject } from '../verify/outcome';
import { verifySpecification } from '../verify/search';
import { sharing } from './slices';

export interface VerifyFileJob {
  readonly model: string;
  /** Of properties over several networks, files of others than the first, by the names that it declares. */
  readonly others?: Readonly<Record<string, string>>;
  readonly as: ReadOptions;
  /** Path of a .vnnlib file. */
  readonly spec: string;
  readonly seconds?: number;
  readonly nodes?: number;
  readonly seed?: number;
  readonly onEvent?: Listener;
  readonly signal?: StopSignal;
}

export interface FileVerdict {
  readonly answer: Answer;
  /** Why there is no answer. */
  readonly reason?: string;
  /** Proven: everywhere in the boxes, outputs are this far from unsafe (above 0: safe). */
  readonly bound: number;
  readonly by: string;
  readonly seconds: number;
  readonly nodes: number;
  readonly counterexample?: {
    readonly x: readonly number[];
    /** As the float32 network computes them, and in float64. */
    readonly y: readonly number[];
    readonly yFloat64: readonly number[];
    /** As the other binary computes them, where this runtime has it. */
    readonly yOther?: { readonly binary: string; readonly y: readonly number[] };
  };
  /** The networks that the property declares, of 2.0. */
  readonly networks?: readonly NetworkDeclaration[];
}

const MAX_SPEC_BYTES = 1 << 28;

/** Raises EspalierError with everything that is wrong with the two files at once. */
export async function verifyFile(engine: Engine, job: VerifyFileJob): Promise<FileVerdict> {
  const { seconds, nodes, seed, onEvent, signal } = job;
  const budget = new Budget(
    { ...(seconds !== undefined && { seconds }), ...(nodes !== undefined && { nodes }) },
    signal ? { signal } : {},
  );
  const { model, property, head } = await readBoth(engine, job);
  try {
    const title = `verify ${job.spec}`;
    const total = Math.ceil(seconds ?? 1);
    onEvent?.({ type: 'phase', phase: 'verify', title, total, done: 0 });
    const { samples, bytes } = partsAtOnce(model.graph);
    const text = `up to ${samples} parts of a region at a time, at most about ${Math.ceil(bytes / 2 ** 20)} MiB`;
    onEvent?.({ type: 'note', text });
    const outcomes: Outcome[] = [];
    const share = sharing();
    let last = 0;
    for (const region of property.cases) {
      await share();
      if (budget.isOver) break;
      const specification = { region, unsafe: region.unsafe, ...(head && { head }) };
      const options = { budget, ...(seed !== undefined && { seed }) };
      const search = verifySpecification(model, specification, options);
      let step = search.next();
      for (; !step.done; step = search.next()) {
        await share();
        const { bound, open, spent } = step.value;
        if (spent.seconds - last < 0.2) continue;
        last = spent.seconds;
        const rate = spent.nodes / Math.max(1e-9, last);
        onEvent?.({
          ...{ type: 'progress', done: Math.min(total, last), total, rate, unit: 'boxes' },
          metrics: { bound, open },
        });
      }
      outcomes.push(step.value);
      if (step.value.verdict === 'falsified') break;
    }
    const isFound = outcomes.at(-1)?.verdict === 'falsified';
    if (!isFound && outcomes.length < property.cases.length) outcomes.push(unsearched(budget));
    const { networks } = property;
    const verdict = { ...verdictOf(outcomes, budget), ...(networks.length > 0 && { networks }) };
    if (signal?.aborted && verdict.answer !== 'sat')
      throw new Interrupted('There is no answer yet: the search starts again.');
    return verdict;
  } finally {
    freeModel(model);
    freeModel(model.original);
  }
}

/** Files of a network and of a property, read. */
interface Question {
  /** The model in canonical form. */
  readonly model: Subject & { readonly original: Model };
  readonly property: Property;
  /** Function that the file computes of the model's outputs. */
  readonly head: Head | undefined;
}

/** The model and the property; what is wrong with either is told together. */
async function readBoth(engine: Engine, job: VerifyFileJob): Promise<Question> {
  const { model: path, spec, onEvent } = job;
  const wrong: string[] = [];
  const tried = async <T>(read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof EspalierError)) throw error;
      wrong.push(error.message);
      return undefined;
    }
  };
  const property = await tried(async () =>
    parseVnnlib(new TextDecoder().decode(await readPlainOrGzip(spec, MAX_SPEC_BYTES)), spec),
  );
  const paths = (property && (await tried(async () => pathsOf(property, job)))) ?? [path];
  const files: ModelFile[] = [];
  for (const [k, one] of paths.entries()) {
    const output = job.as.output ?? property?.networks[k]?.output.onnx;
    const as = output === undefined ? job.as : { ...job.as, output };
    const file = await tried(() => readModelFile(engine, one, as));
    if (file) files.push(file);
  }
  if (!property || wrong.length > 0) throw new EspalierError(wrong.join('\n'));
  const { model, head } = together(files);
  for (const text of files.flatMap(({ notes }) => notes)) onEvent?.({ type: 'note', text });
  if (head)
    onEvent?.({
      type: 'note',
      text: `The property is evaluated by the outputs behind the final ${head}.`,
    });
  const { network } = model.graph;
  const [inputs, outputs] = [sizeOf(network.input), sizeOf(model.graph.output)];
  const fits = property.inputs === inputs && property.outputs === outputs;
  const sizes = `${property.inputs} inputs and ${property.outputs} outputs`;
  const of = paths.join(' and ');
  expect(fits, spec, `the ${inputs} inputs and ${outputs} outputs of ${of}`, sizes);
  return { model: { ...freezeSparsity(lower(model)), original: model }, property, head };
}

/** The file of each network that a property declares; of 1.0, of the only one. */
function pathsOf({ networks }: Property, { model, others = {}, spec }: VerifyFileJob): string[] {
  const names = networks.map(({ name }) => name);
  const unknown = Object.keys(others).find((name) => !names.includes(name));
  const declared = names.length > 0 ? names.join(', ') : 'none, as 1.0 has no names';
  expect(unknown === undefined, spec, `files of the networks it declares (${declared})`, unknown);
  const found = new Map<string, string>();
  for (const [k, { name, relation }] of networks.entries()) {
    const same = relation?.how === 'equal-to' ? found.get(relation.name) : undefined;
    const path = others[name] ?? same ?? (k === 0 ? model : undefined);
    const hint = `Name it by --with ${name}=FILE.`;
    found.set(name, path ?? fail(spec, `a file of the network ${name}`, 'none', hint));
  }
  return names.length > 0 ? [...found.values()] : [model];
}

/** The networks of all files as one model. */
function together(files: readonly ModelFile[]): Pick<Question, 'head'> & { readonly model: Model } {
  const [first, ...others] = files;
  if (others.length === 0) return { model: first!.model, head: first!.leftOut };
  const models = files.map(({ model }) => model);
  try {
    const head = files.find(({ leftOut }) => leftOut)?.leftOut;
    const who = models.map(({ graph }) => graph.network.name).join(' and ');
    expect(!head, who, 'networks without a last softmax, where there are several', head);
    return { model: sideBySide(models), head };
  } finally {
    for (const model of models) freeModel(model);
  }
}

/** The outcome of cases that nobody looked at, for want of budget. */
function unsearched(budget: Budget): Outcome {
  const used = budget.used();
  return {
    ...{ verdict: 'unknown', bound: Number.NEGATIVE_INFINITY, by: 'no case', spent: budget.spent },
    reason: used?.why ?? 'cases are left',
    timeout: used?.what === 'seconds',
  };
}

function verdictOf(outcomes: readonly Outcome[], budget: Budget): FileVerdict {
  const bound = outcomes.reduce(
    (least, one) => Math.min(least, one.bound),
    Number.POSITIVE_INFINITY,
  );
  const decisive =
    outcomes.find(({ verdict }) => verdict === 'falsified') ??
    outcomes.find(({ verdict }) => verdict === 'unknown') ??
    outcomes.at(-1);
  const found = { bound, by: decisive?.by ?? 'no case', ...budget.spent };
  if (decisive?.verdict === 'falsified') {
    const { x, y, exact, other } = decisive.witness;
    const yOther = other && { yOther: { binary: other.binary, y: [...other.y] } };
    const counterexample = { x: [...x], y: [...y], yFloat64: [...exact], ...yOther };
    return { ...found, answer: 'sat', counterexample };
  }
  if (decisive?.verdict !== 'unknown') return { ...found, answer: 'unsat' };
  return { ...found, answer: decisive.timeout ? 'timeout' : 'unknown', reason: decisive.reason };
}
