/** Certificate files: written where the checker proves them, kept on a second run, judged one by one. */
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Claim, encode, seal } from '../../src/check/certificate';
import { main } from '../../src/cli/main';
import type { DataSet } from '../../src/data/types';
import { type Certified, certify, checkFiles } from '../../src/evaluate/certificates';
import { Interrupted } from '../../src/events';
import { saveModel } from '../../src/io/model';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model } from '../../src/nn/model';
import { type Engine, load } from '../../src/runtime/engine';
import { objectives } from '../../src/train/objectives/registry';
import { interval } from '../../src/verify/verifiers/interval';
import { inTemporaryFolder } from '../recipe/temporary';
import { batchFrom, range, toySet, trainedToy } from '../train/toy';

let engine: Engine;
let set: DataSet;
let model: Model;
beforeAll(async () => {
  engine = await load({ threads: 1 });
  set = await toySet();
  model = trainedToy(engine, set, { objective: objectives.ibp!, options: { eps: 0.2 } }, 60);
});
afterAll(() => engine.close());

const indices = range(0, 30);
const run = (folder: string, methods: readonly ('interval' | 'crown')[], eps = 0.27) =>
  certify(model, set, { indices, eps, methods, folder });
const written = (found: readonly Certified[]): Certified[] => found.filter((c) => c.file !== null);

/** The certificate in a text with another claim, under a digest of its own. */
async function sealed(text: string, change: Partial<Claim>): Promise<string> {
  const { format, digest, ...claim } = JSON.parse(text);
  return encode(await seal({ ...claim, ...change }));
}

describe('certify', () => {
  it('writes what the interval verifier certifies, and the checker accepts it all', async () => {
    await inTemporaryFolder(async (file) => {
      const found = await run(file('certs'), ['interval']);
      const canonical = lower(model);
      const job = { model: canonical, ...batchFrom(set, set.test, indices), eps: 0.27 };
      const verdicts = interval.verify(job, { sound: true } as never);
      freeModel(canonical);
      verdicts.forEach(({ verdict, margin }, i) => {
        const { file: at, margin: own } = found[i]!;
        if (verdict !== 'certified') return;
        expect(at, `image ${i}`).not.toBeNull();
        expect(own).toBeGreaterThanOrEqual(margin);
      });
      const count = written(found).length;
      expect(count).toBeGreaterThan(5);
      expect(count).toBeLessThan(30);
      expect(await readdir(file('certs'))).toHaveLength(count);
      const checked = await checkFiles(model, { path: file('certs') });
      expect(checked.filter(({ accepted }) => accepted)).toHaveLength(count);
    });
  });

  it('judges the files of a folder beside one that cannot be read', async () => {
    await inTemporaryFolder(async (file) => {
      const count = written(await run(file('certs'), ['interval'])).length;
      await mkdir(file('certs/1000.json'));
      const checked = await checkFiles(model, { path: file('certs') });
      expect(checked.filter(({ accepted }) => accepted)).toHaveLength(count);
      expect(checked.at(-1)).toMatchObject({ accepted: false, margin: null });
      expect(checked.at(-1)!.text).toContain('expected a regular file, got a folder');
      const alone = checkFiles(model, { path: file('certs/none.json') });
      await expect(alone).rejects.toThrow('expected a readable file');
    });
  });

  it('proves more by linear bounds, and keeps what is there', async () => {
    const plain = trainedToy(engine, set, { objective: objectives.benign!, options: {} }, 60);
    await inTemporaryFolder(async (file) => {
      const run = (folder: string, methods: readonly ('interval' | 'crown')[], eps = 0.045) =>
        certify(plain, set, { indices, eps, methods, folder });
      const before = written(await run(file('certs'), ['interval']));
      const [first, kept] = [before.length, before[0]!.file!];
      const one = await readFile(kept, 'utf8');
      const both = written(await run(file('certs'), ['interval', 'crown']));
      expect(both.length).toBeGreaterThan(first);
      expect(both.filter(({ method }) => method === 'interval')).toHaveLength(first);
      expect(await readFile(kept, 'utf8')).toBe(one);
      const checked = await checkFiles(plain, { path: file('certs') });
      expect(checked.every(({ accepted }) => accepted)).toBe(true);
    });
    freeModel(plain);
  });

  it('replaces nothing that is something else, unless forced', async () => {
    await inTemporaryFolder(async (file, write) => {
      const folder = file('certs');
      const attempt = (force = false, eps = 0.2) =>
        certify(model, set, { indices: range(0, 4), eps, methods: ['interval'], folder, force });
      const [first] = written(await attempt());
      const at = first!.file!;
      const good = await readFile(at, 'utf8');
      const forged = await sealed(good, { margin: 1e6 });
      for (const [text, what] of [
        [
          'mine',
          /no such file, or a certificate of this claim .* got something else\. It was left/,
        ],
        [good.slice(1), /got something else/],
        [
          await sealed(good, { property: { kind: 'label', label: 3 - first!.label } }),
          /another prop/,
        ],
        [good.replace('"eps":0.2', '"eps":0.2,"eps":0.2'), /got something else/],
        [forged, /that it rejects .*expected a margin of 1000000/],
      ] as const) {
        await writeFile(at, text);
        await expect(attempt()).rejects.toThrow(what);
        expect(await readFile(at, 'utf8')).toBe(text);
        await attempt(true);
        expect(await readFile(at, 'utf8')).toBe(good);
      }
      await expect(attempt(false, 0.1)).rejects.toThrow(/one of another radius \(0\.2\)/);
      expect(await readFile(at, 'utf8')).toBe(good);
      await attempt(true, 0.1);
      expect(await readFile(at, 'utf8')).toMatch(/"eps":0\.1,/);
      // A foreign file is told before anything is written.
      const names = [...(await readdir(folder))];
      for (const name of names) await rm(file(`certs/${name}`));
      await write('certs/3.json', 'mine');
      await expect(attempt()).rejects.toThrow(/3\.json: expected no such file/);
      expect(await readdir(folder)).toEqual(['3.json']);
      await rm(file('certs/3.json'));
      await symlink(file('nowhere'), file(`certs/${first!.index}.json`));
      await expect(attempt()).rejects.toThrow(/something that is no file/);
    });
  });

  it('proves what stands there again: a margin is what the checker finds', async () => {
    await inTemporaryFolder(async (file) => {
      const [first] = written(await run(file('certs'), ['interval']));
      const at = first!.file!;
      await writeFile(at, await sealed(await readFile(at, 'utf8'), { margin: 1e-9 }));
      const again = written(await run(file('certs'), ['interval']));
      expect(again[0]!.margin).toBe(first!.margin);
    });
  });

  it('of two at once keeps the first, and both know', async () => {
    await inTemporaryFolder(async (file) => {
      const [a, b] = await Promise.all([1, 2].map(() => run(file('certs'), ['interval'])));
      expect(written(a!).map(({ margin }) => margin)).toEqual(
        written(b!).map(({ margin }) => margin),
      );
      const names = await readdir(file('certs'));
      expect(names).toHaveLength(written(a!).length);
      const other = run(file('certs'), ['interval'], 0.2);
      await expect(other).rejects.toThrow(/another radius/);
    });
  });

  it('refuses pixels outside of [0, 1] and radii that are none', async () => {
    const bright = { ...set, unit: 100 };
    const options = { indices, methods: ['interval'], folder: 'nowhere' } as const;
    await inTemporaryFolder(async (file) => {
      const at = { ...options, folder: file('c') };
      await expect(certify(model, bright, { ...at, eps: 0.1 })).rejects.toThrow(
        /image 0: expected pixels in \[0, 1\], got 1\.9/,
      );
      expect(await readdir(file('c'))).toEqual([]);
    });
    for (const eps of [Number.NaN, -0.1, Number.POSITIVE_INFINITY])
      await expect(certify(model, set, { ...options, eps })).rejects.toThrow(/certify: eps/);
  });

  it('stops between images and keeps the files', async () => {
    await inTemporaryFolder(async (file) => {
      const signal = { aborted: false };
      const options = { indices, eps: 0.1, methods: ['interval'], folder: file('c') } as const;
      const onEvent = () => {
        signal.aborted = true;
      };
      await expect(certify(model, set, { ...options, onEvent, signal })).rejects.toThrow(
        Interrupted,
      );
    });
  });

  it('refuses a folder that is a file', async () => {
    await inTemporaryFolder(async (file, write) => {
      await write('c', 'mine');
      const run = certify(model, set, {
        indices,
        eps: 0.1,
        methods: ['interval'],
        folder: file('c'),
      });
      await expect(run).rejects.toThrow(/c: expected to create this folder, got EEXIST/);
    });
  });

  it('refuses images that are not there', async () => {
    const options = { eps: 0.1, methods: ['interval'], folder: 'nowhere' } as const;
    await expect(certify(model, set, { ...options, indices: [1e6] })).rejects.toThrow(/--index/);
  });
});

describe('espalier check', () => {
  it('exits with 0 for accepted, 1 for rejected, 2 for wrong use', async () => {
    await inTemporaryFolder(async (file, write) => {
      const [cert] = written(await run(file('certs'), ['interval']));
      await saveModel(file('m.safetensors'), model);
      const { backend } = await import('../../src/cli/wiring');
      const out = { text: '' };
      const cli = (...argv: string[]): Promise<number> => {
        out.text = '';
        const stream = { write: (text: string) => (out.text += text) };
        return main(argv, {
          stdout: stream,
          stderr: { write: () => true },
          env: {},
          asked: () => 0,
          backend,
        });
      };
      expect(await cli('check', cert!.file!, file('m.safetensors'))).toBe(0);
      expect(out.text).toMatch(
        /^accepted .*\.json: output \d is the largest within 0\.27 .*by interval bounds; margin >= /,
      );
      expect(await cli('check', file('certs'), file('m.safetensors'), '--json')).toBe(0);
      expect(JSON.parse(out.text)).toMatchObject({ rejected: 0 });
      await write(
        'bad.json',
        (await readFile(cert!.file!, 'utf8')).replace('"eps":0.27', '"eps":0.28'),
      );
      expect(await cli('check', file('bad.json'), file('m.safetensors'))).toBe(1);
      expect(out.text).toMatch(/^REJECTED {2}.*bad\.json: digest: expected .*changed or damaged/);
      expect(await cli('check', cert!.file!, file('m.safetensors'), '--work', '10')).toBe(1);
      expect(await cli('check', file('none.json'), file('m.safetensors'))).toBe(2);
      expect(await cli('check', cert!.file!)).toBe(2);
      await write('torn.json', '{"format":');
      expect(await cli('check', file('torn.json'), file('m.safetensors'))).toBe(1);
    });
  });
});
