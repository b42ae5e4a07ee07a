/**
 * Signs that a result under attack says less than it seems: the flags of AutoAttack (Croce and Hein 2020), and checks of
 * Carlini et al. 2019 ("On evaluating adversarial robustness") and Athalye et al. 2018.
 */
import type { Norm } from '../domain/balls';
import { lookup } from '../errors';
import { type AttackJob, runAttack } from './attack';
import { attacks } from './attacks/registry';
import { crossEntropy } from './loss';
import { oracleOf } from './search';

/** What each sign says. */
export const SUSPICIONS = {
  probabilities:
    'outputs are probabilities, not logits: gradients vanish where the network is sure',
  'zero-gradient': 'gradients at clean images are zero: attacks that follow them go nowhere',
  randomised: 'two passes of one image differ: average over draws (eot)',
  'black-box': 'a black box broke what gradients did not: gradients may be masked',
  'more-steps': 'more steps broke fewer images: gradients may be masked',
  'large-radius':
    'the whole range of inputs left images unbroken: the attack fails, not the images',
} as const;
export type SuspicionKind = keyof typeof SUSPICIONS;

/** A sign, and the number of images that show it. */
export interface Suspicion {
  readonly kind: SuspicionKind;
  readonly images: number;
}

/** Suspicions in words, as `black-box (3 images): ...`. */
export const suspicionText = ({ kind, images }: Suspicion): string =>
  `${kind} (${images} image${images === 1 ? '' : 's'}): ${SUSPICIONS[kind]}`;

type Images = Pick<AttackJob, 'model' | 'images' | 'labels' | 'index' | 'oracle'>;

/** Signs of each image that one pass forwards and backwards shows: `probabilities` and `zero-gradient`. */
export function signsOf(job: Images): SuspicionKind[][] {
  const { model, images, labels, index, oracle = oracleOf(model) } = job;
  if (labels.length === 0) return [];
  const row = (all: Float32Array, i: number): Float32Array => {
    const width = all.length / labels.length;
    return all.subarray(i * width, (i + 1) * width);
  };
  const { z, gradient } = oracle.gradient(images, index, (all) => {
    const weights = new Float32Array(all.length);
    for (const [i, label] of labels.entries())
      weights.set(crossEntropy(label)(row(all, i)).slope, (i * all.length) / labels.length);
    return weights;
  });
  return Array.from(labels, (_, i) => [
    ...(areProbabilities(row(z, i)) ? (['probabilities'] as const) : []),
    ...(row(gradient, i).every((g) => g === 0) ? (['zero-gradient'] as const) : []),
  ]);
}

const areProbabilities = (z: Float32Array): boolean =>
  z.every((v) => v >= 0 && v <= 1) && Math.abs(z.reduce((a, b) => a + b, 0) - 1) < 1e-5;

/** Signs counted over images; probabilities only where all images show them, as logits may look so once. */
export function countSigns(signs: readonly (readonly SuspicionKind[])[]): Suspicion[] {
  return (Object.keys(SUSPICIONS) as SuspicionKind[]).flatMap((kind) => {
    const images = signs.filter((of) => of.includes(kind)).length;
    const counts = kind === 'probabilities' ? images === signs.length && images > 0 : images > 0;
    return counts ? [{ kind, images }] : [];
  });
}

/** A radius that holds the whole range of inputs, by norm and number of pixels. */
const EVERYWHERE: Readonly<Record<Norm, (pixels: number) => number>> = {
  linf: () => 1,
  l2: Math.sqrt,
  l1: (pixels) => pixels,
};

/**
 * Every sign, by attacks of its own on the images given: gradient signs of 10 and 100 steps, and over the whole range of
 * inputs, Square of 1000 queries beside APGD. Cost: about 1300 forward and 330 backward passes an image.
 */
export function probe(job: AttackJob, norm: 'linf' | 'l2' = 'linf'): Suspicion[] {
  const { model, images, labels, index, oracle = oracleOf(model) } = job;
  const broken = (name: string, options: object, eps = job.eps): Uint8Array =>
    runAttack(lookup(attacks, name, 'probe'), { ...options, norm }, { ...job, eps }).broken;
  const counted = (kind: SuspicionKind, marks: ArrayLike<boolean>): Suspicion[] => {
    const found = Array.from(marks).filter(Boolean).length;
    return found > 0 ? [{ kind, images: found }] : [];
  };
  const [first, second] = [oracle.logits(images, index), oracle.logits(images, index)];
  const classes = first!.length / labels.length;
  const differs = Array.from(labels, (_, i) =>
    first!.subarray(i * classes, (i + 1) * classes).some((v, j) => v !== second![i * classes + j]),
  );
  const few = broken('bim', { steps: 10, stepSize: 0.25 });
  const many = broken('bim', { steps: 100, stepSize: 0.025 });
  const white = broken('apgd-ce', {});
  const dlr = broken('apgd-dlr', {});
  const black = broken('square', { queries: 1000 });
  const pixels = images.length / labels.length;
  const everywhere = broken('bim', { steps: 50, stepSize: 0.1 }, EVERYWHERE[norm](pixels));
  const total = (marks: Uint8Array): number => marks.reduce((a, b) => a + b, 0);
  const fewer = Math.max(0, total(few) - total(many));
  return [
    ...countSigns(signsOf(job)),
    ...counted('randomised', differs),
    ...counted(
      'black-box',
      Array.from(black, (b, i) => b === 1 && white[i] === 0 && dlr[i] === 0),
    ),
    ...(fewer > 0 ? [{ kind: 'more-steps', images: fewer } as const] : []),
    ...counted(
      'large-radius',
      Array.from(everywhere, (b) => b === 0),
    ),
  ];
}
