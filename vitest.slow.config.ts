/** The slow tests: whole runs, a million sampled points. `npm run test:slow`. */
import { mergeConfig } from 'vitest/config';
import fast from './vitest.config';

const slow = mergeConfig(fast, { test: { testTimeout: 60 * 60_000, fileParallelism: false } });
// Lists are appended when merged; these are replaced.
slow.test.include = ['test/slow/**/*.test.ts'];
slow.test.exclude = ['**/node_modules/**'];

export default slow;
