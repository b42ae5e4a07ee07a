/**
 * Measures the errors of runtimes' sigmoid and tanh (bench/peers/pointwise.ts), for docs/numerics.md.
 *
 * usage: node scripts/pointwise.mjs
 */
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './bench.mjs';

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));
const script = await bundle('bench/peers/pointwise.ts', 'pointwise');
process.exitCode = spawnSync(process.execPath, [script], { stdio: 'inherit' }).status ?? 1;
