/** How large the published runtime is, and what must not be in it. */
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { bundled } from './bundle';

/** As tsup.config.ts bundles it. */
const text = await bundled('src/edge/index.ts', {
  format: 'esm',
  platform: 'neutral',
  mainFields: ['module', 'main'],
  target: 'node20',
  alias: { fflate: 'fflate/browser' },
});

it('is at most 40 000 bytes gzipped, with some room', () => {
  expect(gzipSync(text, { level: 9 }).length).toBeLessThan(39_500);
});

it('keeps every name that files and users see', () => {
  const named = [
    ...['predict', 'predictBatch', 'certify', 'radius', 'info', 'close', 'label', 'logits'],
    ...['certified', 'margin', 'maxMemory', 'maxBytes', 'nonzero', 'decoded', 'linear'],
    ...['nodes', 'inputs', 'layer', 'options', 'shape', 'data_offsets', 'centroids', 'groups'],
    ...['sparse_bounds', 'compact_places', 'dense', 'batch-norm', 'EspalierError'],
  ];
  const missing = named.filter((name) => !new RegExp(`(?<![\\w$])${name}(?![\\w$])`).test(text));
  expect(missing).toEqual([]);
});

it('has nothing of training, linear bounds and dense convolutions', () => {
  for (const name of ['conv2d_direct', 'winograd', 'cross_entropy', 'relu_grad', 'philox', 'relax'])
    expect(text).not.toContain(name);
});
