/** All runners by name. A new one is one file and one line. */
import type { Runner } from '../runner';
import { local } from './local';
import { processes } from './processes';
import { shard } from './shard';

export const runners: Readonly<Record<string, Runner>> = { local, shard, processes };
