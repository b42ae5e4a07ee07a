/**
 * The work of a sweep's jobs in multiply-adds, counted before anything runs: the scale of its bar, and what
 * `--dry-run` prints. A forward and backward pass counts three forward passes over what is not masked;
 * objectives that pass more often take a multiple of that, as measured times tell.
 */
import { attacks } from '../../attack/attacks/registry';
import { datasets } from '../../data/registry';
import type { DataSet } from '../../data/types';
import { lookup } from '../../errors';
import { canonicalJson } from '../../json';
import { multiplyAdds } from '../../measure/inspect';
import { compile, type Graph } from '../../nn/graph';
import { buildNetwork } from '../../nn/zoo';
import { listed, type PlugIn } from '../../options';
import type { Config } from '../config';
import { equalEpochs, lineage } from '../controls';
import type { PhaseSpec } from '../phase-spec';
import { phasesOfRun } from '../run-phases';
import { sharedPhases } from '../take-over';
import { replaysOf, TITLES } from '../training';
import type { Job } from './plan';

/** A part of a job with the title that its events have. */
export interface Part {
  readonly title: string;
  readonly kind: 'train' | 'evaluate';
  readonly config: Config;
  /** Phase of a training part. */
  readonly spec: PhaseSpec | null;
  /** Share of the prunable weights that is gone. */
  readonly sparsity: number;
  /** Images trained on over all epochs, or evaluated. */
  readonly images: number;
  readonly operations: number;
}

/** What is known of a job before it runs: its network, its data, and its parts. */
export interface Work {
  readonly graph: Graph;
  readonly set: DataSet;
  readonly parts: readonly Part[];
  readonly operations: number;
}

/** A counter of work that reads each data set once. */
export function workCounter(): (job: Job) => Promise<Work> {
  const sets = new Map<string, Promise<DataSet>>();
  const load = ({ name, path }: Config['data']): Promise<DataSet> => {
    const key = canonicalJson([name, path]);
    const found =
      sets.get(key) ?? lookup(datasets, name, 'data').load(path === null ? {} : { path });
    sets.set(key, found);
    return found;
  };
  return async (job) => workOf(job, await load(job.config.data));
}

function workOf({ kind, config, after }: Job, set: DataSet): Work {
  const { name, ...options } = config.network;
  const graph = compile(buildNetwork(name, options, set.shape, set.classes.length));
  const macs = multiplyAdds(graph);
  const held = config.data.heldOut ?? Math.round(set.train.count / 12);
  const images = Math.max(0, set.train.count - held);
  const all = phasesOfRun(config);
  const training = densities(all).map(({ spec, sparsity, epochs }): Part => {
    const seen = images * epochs * replaysOf(spec.objective);
    const operations = 3 * macs * (1 - sparsity) * seen;
    const title = TITLES[spec.name](spec);
    return { title, kind: 'train', config, spec, sparsity, images: seen, operations };
  });
  const first = after ? sharedPhases(config, after.config) : 0;
  const own =
    kind === 'pretrain'
      ? training.slice(0, 1)
      : [...training.slice(first), ...evaluations(config, set, macs)];
  return {
    graph,
    set,
    parts: own,
    operations: own.reduce((sum, part) => sum + part.operations, 0),
  };
}

/** Phases with the sparsity they train at. */
function densities(phases: readonly PhaseSpec[]) {
  let gone = 0;
  const found = phases.map((spec) => {
    gone = spec.decides && spec.trained === 'weights' ? spec.decides.sparsity : gone;
    const { epochs } = spec.training;
    if (spec.masks === 'none') gone = 0;
    // Scores are trained over all weights.
    const sparsity = spec.trained === 'weights' ? gone : 0;
    if (spec.decides) gone = spec.decides.sparsity;
    return { spec, sparsity, epochs };
  });
  const own = lineage(phases.filter(({ name }) => name !== 'control'));
  const operations = found
    .filter(({ spec }) => own.includes(spec))
    .reduce((sum, { epochs, sparsity }) => sum + epochs * (1 - sparsity), 0);
  return found.map((one) =>
    one.spec.equalOperations ? { ...one, epochs: equalEpochs(operations, 1 - one.sparsity) } : one,
  );
}

function evaluations(config: Config, set: DataSet, macs: number): Part[] {
  const { attack, attackLimit, verifyLimit } = config.evaluate;
  const most = (limit: number | null): number => Math.min(set.test.count, limit ?? set.test.count);
  const passesOf = ({ name, ...options }: PlugIn): number => attacks[name]?.passes?.(options) ?? 3;
  const attacked = listed(attack).reduce((sum, one) => sum + passesOf(one), 0);
  const passes = set.test.count + attacked * most(attackLimit) + 3 * most(verifyLimit);
  const part = (title: string, sparsity: number): Part => ({
    ...{ title, kind: 'evaluate', config, spec: null, sparsity },
    images: set.test.count,
    operations: passes * macs * (1 - sparsity),
  });
  return [part('evaluate dense', 0), part('evaluate pruned', config.prune.sparsity)];
}
