/** The slow tests: whole runs, a million sampled points. `npm run test:slow`. */
import { mergeConfig } from 'vitest/config';
import fast from './vitest.config';

const hour = 60 * 60_000;
const slow = mergeConfig(fast, {
  test: { testTimeout: hour, hookTimeout: hour, fileParallelism: false },
});
// Lists are appended when merged; these are replaced.
slow.test.include = ['test/slow/**/*.test.ts'];
slow.test.exclude = ['**/node_modules/**'];

export default slow;
