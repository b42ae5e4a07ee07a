/** Makes a finished run's network a file for the edge, and reads it back. Run quickstart.ts first. */
// #region program
import { compact, load, readModelFile } from '../src/index';

const engine = await load({ threads: 1 });
const [model, out] = ['runs/quickstart/pruned.safetensors', 'quickstart.compact'];
const made = await compact(engine, { model, out, bits: { dense: 5 } });
const { model: network } = await readModelFile(engine, out);
const shared = new Set(network.params.get('dense1.weight')!.read()).size - 1;
console.log(`${made.raw} -> ${made.compact} bytes, ${shared} different weights`);
engine.close();
// #endregion
