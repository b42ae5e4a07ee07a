/** The fast tests: everything but test/slow, in under five minutes on two cores. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/slow/**', '**/node_modules/**'],
    globalSetup: 'test/global-setup.ts',
    // For what hangs: no test asserts a time, and a busy machine takes many times what an idle one does.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Two files side by side: vitest's own choice on two cores is one. No test asserts a time.
    maxWorkers: 2,
    coverage: {
      // In CI every run reports it; by hand `npm run coverage` does.
      enabled: process.env.CI === 'true',
      provider: 'v8',
      include: ['src/**/*.ts'],
      exclude: ['src/**/*.gen.ts', 'src/cli/bin.ts'],
      reporter: ['text-summary', 'html', 'json-summary'],
    },
  },
});
