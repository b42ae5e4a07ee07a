/**
 * Li et al.'s sensitivity scan (2016, section 3.2): each layer by itself loses tenths of its filters, those of
 * the smallest scores, physically and without training, and the held-out images say what that costs.
 *
 * Cost: nine evaluations of the held-out images for every layer.
 */
import { fitted } from '../data/layout';
import { expect } from '../errors';
import { Interrupted, type Listener, type StopSignal } from '../events';
import { type Model, prunableNames } from '../nn/model';
import { freeTraining, parameterise } from '../nn/training-model';
import { type ChannelScore, channelScores } from '../prune/channel-scores';
import { type Channels, channelsOf, type Group } from '../prune/channels';
import { removableOf } from '../prune/select-channels';
import { shrink } from '../prune/shrink';
import type { LayerSensitivity, Sensitivity, SensitivityPoint } from '../report/types';
import type { Config } from './config';
import { heldOut, loadTrainingData, type Score, type TrainingData } from './training-data';

export interface SensitivityJob {
  /** Its data, objective and seed count. */
  readonly config: Config;
  /** By which filters are chosen. */
  readonly score: ChannelScore;
  readonly onEvent?: Listener | undefined;
  readonly signal?: StopSignal | undefined;
}

const TENTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9] as const;

/** Scans every layer that can lose filters; the model stays as it is. Raises Interrupted at a signal. */
export async function sensitivity(model: Model, job: SensitivityJob): Promise<Sensitivity> {
  const { config, score, onEvent, signal } = job;
  const data = await loadTrainingData(config, (set) => fitted(model, set, onEvent));
  expect(data.held.count > 0, 'data.heldOut', 'images to measure on', 0);
  const channels = channelsOf(model.graph);
  const scores = channelScores[score](model, channels);
  const orders = channels.groups
    .map((group) => ({ group, order: removableOf(group, channels, scores) }))
    .filter(({ order }) => order.length > 0);
  const who = model.graph.network.name;
  expect(orders.length > 0, who, 'a layer that can lose filters', 'none');
  const total = orders.length * TENTHS.length;
  onEvent?.({ type: 'phase', phase: 'evaluate', title: 'sensitivity', total, done: 0 });
  const started = performance.now();
  let done = 0;
  const measured = async (removed: readonly number[]): Promise<Measured> => {
    if (signal?.aborted) throw new Interrupted('Nothing was written.');
    const found = await without(model, channels, removed, data, config);
    const rate = (1000 * ++done) / (performance.now() - started);
    onEvent?.({ type: 'progress', done, total, rate, unit: 'networks', metrics: {} });
    return found;
  };
  const { benign, robust } = await without(model, channels, [], data, config);
  const layers: LayerSensitivity[] = [];
  for (const { group, order } of orders) {
    const points: SensitivityPoint[] = [];
    for (const removed of prefixes(group, order)) {
      const share = removed.length / group.channels.length;
      points.push({ ...(await measured(removed)), removed: removed.length, share });
    }
    const names = group.producers.map((at) => model.graph.nodes[at]!.name);
    layers.push({ layers: names, filters: group.channels.length, points });
  }
  const objective = config.objective.name;
  return { objective, score, images: data.held.count, whole: { benign, robust }, layers };
}

/** The channels that go at each tenth, as far as that many can go and it is more than at the one before. */
function prefixes({ channels }: Group, order: readonly number[]): number[][] {
  const counts = TENTHS.map((tenth) => Math.round((tenth / 10) * channels.length));
  const possible = counts.filter((n, i) => n > (counts[i - 1] ?? 0) && n <= order.length);
  return possible.map((n) => order.slice(0, n));
}

type Measured = Score & Pick<SensitivityPoint, 'weights'>;

/** Accuracies without some channels, and the share of the weights that goes with them. */
async function without(
  model: Model,
  channels: Channels,
  removed: readonly number[],
  data: TrainingData,
  { objective, seed }: Config,
): Promise<Measured> {
  const smaller = shrink(model, new Set(removed), channels);
  const weights = 1 - countWeights(smaller) / countWeights(model);
  const training = parameterise(smaller);
  try {
    return { ...(await heldOut(training, data, objective, seed)), weights };
  } finally {
    freeTraining(training);
  }
}

const countWeights = ({ graph, params }: Model): number =>
  prunableNames(graph).reduce((n, name) => n + params.get(name)!.size, 0);
