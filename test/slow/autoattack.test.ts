/**
 * Attacks against the reference AutoAttack (../shared/goldens/autoattack): counts of images broken by each attack
 * alone and by the stages of the standard cascade, and what they cost. One test a case (`-t NAME`); about ten minutes
 * of one core in all.
 */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackJob, runAttack, wrongSamples } from '../../src/attack/attack';
import { attacks } from '../../src/attack/attacks/registry';
import { readModelFile } from '../../src/io/read';
import { lower } from '../../src/nn/lower';
import type { Model } from '../../src/nn/model';
import { parseOptions } from '../../src/options';
import { type Engine, load } from '../../src/runtime/engine';
import { FOLDER, images } from '../goldens/goldens';
import { openModel } from '../goldens/open';

const CASES = [
  'kw_mnist_linf',
  'oval_cifar_base_linf',
  'lirpa_mnist_cnn_small_linf',
  'lirpa_mnist_cnn_small_linf_0_305',
  'relustable_mnist_linf',
] as const;
const PRESENT = existsSync(`${FOLDER}/autoattack`);

interface Cost {
  readonly forwards: number;
  readonly backwards: number;
}

interface CaseFile extends Cost {
  readonly network: string;
  readonly eps: number;
  readonly dataset: 'mnist' | 'cifar';
  readonly first: number;
  readonly count: number;
  readonly label: string;
  readonly clean: string;
  readonly after: Readonly<Record<string, string>>;
  readonly alone: Readonly<Record<string, string>>;
  readonly standard: Readonly<Record<string, Cost>>;
}

const ones = (marks: string): number => marks.replaceAll('0', '').length;
const caseFile = (name: string): CaseFile =>
  JSON.parse(readFileSync(`${FOLDER}/autoattack/${name}.json`, 'utf8')) as CaseFile;

async function modelOf(engine: Engine, network: string): Promise<Model> {
  if (network !== 'relustable_mnist') return lower(await openModel(engine, network, 'safetensors'));
  const { model } = await readModelFile(engine, `${FOLDER}/relu_stable/${network}.onnx`, {});
  return lower(model);
}

/** A counter of passes. */
function counting(): Cost & { readonly onPass: NonNullable<AttackJob['onPass']> } {
  const cost = {
    forwards: 0,
    backwards: 0,
    onPass(pass: Cost) {
      cost.forwards += pass.forwards;
      cost.backwards += pass.backwards;
    },
  };
  return cost;
}

describe.skipIf(!PRESENT)('the reference AutoAttack (skipped without ../shared)', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await load({ threads: 1 });
  });
  afterAll(() => engine.close());

  describe.each(CASES)('%s', (name) => {
    const record = caseFile(name);
    const { eps, count, first } = record;
    let job: AttackJob;
    beforeAll(async () => {
      const model = await modelOf(engine, record.network);
      const index = Int32Array.from({ length: count }, (_, i) => first + i);
      const { pixels, labels } = await images(record.dataset, [...index]);
      job = { model, images: pixels, labels, index, eps, seed: 0 };
    });
    const surviving = (attack: string, options: object, given: Partial<AttackJob> = {}): number => {
      const entry = attacks[attack]!;
      const all = parseOptions(entry.options, options, attack);
      const { broken } = runAttack(entry, all, { ...job, ...given });
      return broken.filter((b) => b === 0).length;
    };

    it('agrees on every clean image', () => {
      const wrong = wrongSamples(job.model, job.images, job.labels);
      expect(Array.from(wrong, (w) => 1 - w).join('')).toBe(record.clean);
    });

    it.each(['apgd-ce', 'apgd-dlr', 'apgd-t', 'fab-t', 'square'])('%s alone', (attack) => {
      const left = surviving(attack, {});
      expect(Math.abs(left - ones(record.alone[attack]!))).toBeLessThanOrEqual(3);
    });

    it('PGD-50', () => {
      // Every point on the way counts, as in the reference's "-any-step".
      const random = record.alone['pgd-50-any-step']!;
      const clean = record.alone['pgd-50-clean-start-any-step']!;
      const both = [...random].map((mark, i) => (mark === '1' ? clean[i]! : '0')).join('');
      const settings = { steps: 50, stepSize: 0.05 };
      const fromClean = surviving('pgd', { ...settings, randomStart: false });
      expect(Math.abs(fromClean - ones(clean)), 'from the clean image').toBeLessThanOrEqual(1);
      const left = surviving('pgd', settings);
      expect(Math.abs(left - ones(both)), 'from both').toBeLessThanOrEqual(1);
    });

    it('AutoAttack, standard: its strength, and its cost', () => {
      const cost = counting();
      const left = surviving('autoattack', {}, { onPass: cost.onPass });
      const last = ones(record.after.square!);
      expect(Math.abs(left - last)).toBeLessThanOrEqual(3);
      expect(left - last).toBeLessThanOrEqual(1);
      const operations = ({ forwards, backwards }: Cost): number => forwards + 2 * backwards;
      expect(operations(cost)).toBeLessThanOrEqual(1.2 * operations(record));
    });
  });
});
