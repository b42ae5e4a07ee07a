import { expect, it } from 'vitest';
import { load } from '../src/runtime/engine';
import { differences } from './helpers/executions';
import { randomNetwork } from './helpers/random-networks';

const engine = await load({ threads: 1, binary: 'simd' });
it('fuzz', async () => {
  let bad = 0;
  const kinds: Record<string, number> = {};
  for (let seed = Number(process.env.FROM ?? 0); seed < Number(process.env.TO ?? 60); seed++) {
    const batch = [1, 7, 8, 16, 17, 3][seed % 6]!;
    const sparsity = [0, 0.9, 0.99][Math.floor(seed / 6) % 3]!;
    const network = randomNetwork(seed);
    for (const n of network.nodes) kinds[n.layer] = (kinds[n.layer] ?? 0) + 1;
    try {
      const found = await differences(engine, { network, batch, sparsity, seed });
      if (found.length) {
        bad++;
        console.log(seed, batch, sparsity, JSON.stringify(network), found);
      }
    } catch (e) {
      bad++;
      console.log(
        'THROW',
        seed,
        batch,
        sparsity,
        JSON.stringify(network),
        String((e as Error).stack).slice(0, 600),
      );
    }
  }
  console.log(JSON.stringify(kinds));
  expect(bad).toBe(0);
}, 600000);
