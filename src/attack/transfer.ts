/**
 * Attacks carried over: images crafted on one network, tried on others (Zhao et al. 2018, "To compress or not to
 * compress"): dense, pruned and compact forms of a network, or different ones.
 */
import { lookup } from '../errors';
import type { AnyModel } from '../nn/model';
import type { PlugIn } from '../options';
import { type AttackJob, runAttack, wrongSamples } from './attack';
import { attacks } from './attacks/registry';

/** A network with its name in the table; networks may be of different engines. */
export interface NamedNetwork {
  readonly name: string;
  readonly model: AnyModel;
}

export interface Transfer {
  readonly names: readonly string[];
  /** Images that each network has right, of all. */
  readonly clean: readonly number[];
  /** `robust[i][j]`: images crafted on network i that network j has right, of all. */
  readonly robust: readonly (readonly number[])[];
  readonly images: number;
}

/**
 * The matrix of a list of networks: every image is attacked on each, and what comes back is tried on all. An image that
 * its own network has wrong stays as it is.
 */
export function transfer(
  networks: readonly NamedNetwork[],
  { name, ...options }: PlugIn,
  job: Omit<AttackJob, 'model' | 'oracle'>,
): Transfer {
  const entry = lookup(attacks, name, 'transfer');
  const right = (model: AnyModel, images: Float32Array): number =>
    wrongSamples(model, images, job.labels).filter((wrong) => wrong === 0).length;
  const robust = networks.map(({ model }) => {
    const { images } = runAttack(entry, options, { ...job, model });
    return networks.map((other) => right(other.model, images));
  });
  return {
    names: networks.map((network) => network.name),
    clean: networks.map(({ model }) => right(model, job.images)),
    robust,
    images: job.labels.length,
  };
}
