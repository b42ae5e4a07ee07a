/** The README's program: a certified network for the embedded digits, pruned ten times. */
// #region program
import { compress, load, openRun, parseConfig, summaryText } from '../src/index';

const config = parseConfig(
  {
    name: 'quickstart',
    data: 'digits',
    network: { name: 'mlp', hidden: [64] },
    objective: { name: 'ibp', eps: 0.05 },
    pretrain: { epochs: 30, batch: 32, learningRate: 0.005 },
    prune: { strategy: 'magnitude', sparsity: 0.9 },
    finetune: { epochs: 10, batch: 32, learningRate: 0.002 },
  },
  'quickstart',
);
const engine = await load();
const dir = await openRun('runs/quickstart', config);
const summary = await compress(config, { dir, engine });
console.log(summaryText(summary));
await dir.release();
engine.close();
// #endregion
