/** The keys of the registries, for the help of the commands that take them. */
import { registrySection, type Section } from './command';

export async function objectiveSection(): Promise<Section> {
  const { objectives } = await import('../train/objectives/registry');
  return registrySection('OBJECTIVES (objective)', objectives);
}

export async function strategySection(): Promise<Section> {
  const { strategies } = await import('../prune/strategies/registry');
  return registrySection('PRUNING STRATEGIES (prune.strategy)', strategies);
}

export async function attackSection(): Promise<Section> {
  const { attacks } = await import('../attack/attacks/registry');
  return registrySection('ATTACKS (evaluate.attack)', attacks);
}

export async function verifierSection(): Promise<Section> {
  const { verifiers } = await import('../verify/verifiers/registry');
  return registrySection('VERIFIERS (evaluate.verifier)', verifiers);
}

export async function networkSection(): Promise<Section> {
  const { zoo } = await import('../nn/zoo');
  return registrySection('NETWORKS (network)', zoo);
}

export async function dataSection(): Promise<Section> {
  const { datasets } = await import('../data/registry');
  return registrySection('DATA SETS (data)', datasets);
}

/** Everything a config can name. */
export function recipeSections(): Promise<Section[]> {
  return Promise.all([
    dataSection(),
    networkSection(),
    objectiveSection(),
    strategySection(),
    attackSection(),
    verifierSection(),
  ]);
}
