/** 10 000 networks at random, in every way of executing them, by both binaries, against float64. */
import { expect, it } from 'vitest';
import { load } from '../../src/runtime/engine';
import { binaries } from '../helpers/engine';
import { differences } from '../helpers/executions';
import { randomNetwork } from '../helpers/random-networks';
import { SPARSITIES } from '../helpers/random-runs';

/** How many, and from which seed on. */
const [COUNT, FIRST] = [
  Number(process.env.EXECUTIONS ?? 10_000),
  Number(process.env.EXECUTIONS_FROM ?? 100_000),
];

it(`${COUNT} random networks give what float64 gives`, async () => {
  const engines = await Promise.all(binaries().map((binary) => load({ threads: 1, binary })));
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
    const network = randomNetwork(seed);
    const [batch, sparsity] = [1 + ((7 * seed) % 17), SPARSITIES[seed % 3]!];
    const engine = engines[seed % engines.length]!;
    const found = await differences(engine, { network, batch, sparsity, seed });
    const run = JSON.stringify({ seed, batch, sparsity, binary: engine.binary, network });
    expect(found, run).toEqual([]);
  }
  for (const engine of engines) engine.close();
});
