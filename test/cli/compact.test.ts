/** `espalier compact`: what it asks for and prints, and the file through every command after it. */
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/cli/backend';
import { backend } from '../../src/cli/wiring';
import { saveModel } from '../../src/io/model';
import { costsText } from '../../src/measure/costs';
import { createModel } from '../../src/nn/model';
import { buildNetwork } from '../../src/nn/zoo';
import type { CompactJob } from '../../src/recipe/compact';
import { SHIPPED } from '../../src/runtime/costs';
import { load } from '../../src/runtime/engine';
import { inTemporaryFolder } from '../recipe/temporary';
import { compacted, run } from './fake';

describe('compact', () => {
  it('passes on bits, epochs and how to measure, and prints bytes a layer and in all', () =>
    inTemporaryFolder(async (file) => {
      const jobs: CompactJob[] = [];
      const compact: Backend['compact'] = async (_, job) => {
        jobs.push(job);
        return compacted;
      };
      const line = ['compact', file('m.safetensors'), '--bits', 'conv=6', '--epochs', '2'];
      const out = await run([...line, '--eps', '0.25', '--limit', '9'], { compact });
      expect(out).toMatchObject({ code: 0, stderr: '' });
      expect(jobs[0]).toMatchObject({
        model: file('m.safetensors'),
        out: file('m.compact'),
        bits: { conv2d: 6 },
        epochs: 2,
        config: { evaluate: { eps: 0.25, attackLimit: 9, verifyLimit: 9 } },
      });
      const tuned = [...line.slice(0, 2), '--finetune', '--force'];
      await run([...tuned, '--set', 'finetune.epochs=5'], { compact });
      expect(jobs[1]).toMatchObject({ epochs: 5, config: { finetune: { epochs: 5 } } });
      for (const [more, error] of [
        ['--epochs=2', '--finetune: expected no --epochs with it, got both'],
        ['--unmeasured', '--finetune: expected a data set to train shared values on, got none'],
      ] as const)
        expect(await run([...tuned, more], { compact })).toMatchObject({
          code: 2,
          stderr: expect.stringContaining(error),
        });
      expect(jobs).toHaveLength(2);
      expect(out.stdout).toMatch(/m\.compact: toy, 52 B \(gzipped 50 B\)/);
      expect(out.stdout).toMatch(/fc\.weight +│ 2x5 +│ +4 │ +3 │ +40 │ +30 │ +20 │ +2\.0x/);
      expect(out.stdout).toMatch(/all, with the header .*2,600 │ +1,300 │ +52 │ +50\.0x/);
      expect(out.stdout).toMatch(/Channels removed: 3 of fc\./);
      expect(out.stdout).toMatch(/benign .*ERA .*VRA/);
    }));

  it('measures nothing without data or when told so, and wants sound bits', () =>
    inTemporaryFolder(async (file) => {
      const seen: CompactJob['config'][] = [];
      const { evaluation: _, ...unmeasured } = compacted;
      const compact: Backend['compact'] = async (_engine, job) => {
        seen.push(job.config);
        return unmeasured;
      };
      const recordedConfig = async () => undefined;
      const bare = await run(['compact', file('a.onnx')], { compact, recordedConfig });
      expect(bare.stdout).toContain('Accuracies not measured: name a data set by --data.');
      await run(['compact', file('a.onnx'), '--unmeasured'], { compact });
      expect(seen).toEqual([undefined, undefined]);
      const wrong = await run(['compact', file('a.onnx'), '--bits', 'conv=12']);
      expect(wrong).toMatchObject({ code: 2 });
      expect(wrong.stderr).toMatch(/--bits: expected conv=1\.\.8 or 32/);
    }));

  it('writes a file that inspect, evaluate and convert take, and refuses a damaged one', () =>
    inTemporaryFolder(async (file) => {
      const engine = await load({ threads: 1 });
      const network = buildNetwork('mlp', { hidden: [20] }, [1, 8, 8], 10);
      const config = { data: 'digits', objective: { name: 'ibp', eps: 0.05 } };
      await saveModel(file('m.safetensors'), createModel(engine, network, { seed: 5 }), { config });
      engine.close();
      const real = (...line: string[]) => run([...line, '--threads', '1', '--json'], backend);
      const made = await real('compact', file('m.safetensors'), '--limit', '10');
      expect(made).toMatchObject({ code: 0 });
      const { benign, era, vra } = JSON.parse(made.stdout).evaluation.accuracies;
      const judged = await real('evaluate', file('m.compact'), '--limit', '10');
      expect(JSON.parse(judged.stdout)).toMatchObject({ benign, era, vra });
      const looked = await real('inspect', file('m.compact'));
      expect(JSON.parse(looked.stdout)).toMatchObject({ format: 'compact', network: 'mlp' });
      const planned = await real('inspect', file('m.compact'), '--plan', '--seconds', '0');
      expect(JSON.parse(planned.stdout).plan).toMatchObject({ batch: 16, threads: 1 });
      await writeFile(file('c.json'), costsText({ ...SHIPPED, gemm: { product: 1e-9 } }));
      const costs = ['--costs', file('c.json')];
      const again = await real('inspect', file('m.compact'), '--plan', '--seconds', '0', ...costs);
      expect(JSON.parse(again.stdout).plan).toMatchObject({
        chosen: 'dense',
        layers: [{ form: 'gemm' }, { form: 'gemm' }],
      });
      const back = await real('convert', file('m.compact'), file('b.onnx'));
      expect(JSON.parse(back.stdout)).toMatchObject({ from: 'compact', to: 'onnx' });
      const bytes = await readFile(file('m.compact'));
      bytes[bytes.length - 9]! ^= 4;
      await writeFile(file('bad.compact'), bytes);
      const bad = await real('inspect', file('bad.compact'));
      expect(bad.code).toBe(2);
      expect(JSON.parse(bad.stdout).error).toMatch(/bad\.compact: expected the checksum/);
    }));
});
