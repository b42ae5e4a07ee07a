/** The report's sections that need no charts: exhibits, glossary, provenance. */
import { bitmap, difference } from './bitmap';
import { count, duration, escapeHtml, short } from './format';
import type { Exhibit, Summary } from './types';

/** A card an image: clean, attacked, the difference, and what network and verifier say. */
export function exhibitGrid(exhibits: readonly Exhibit[]): string {
  return `<div class="exhibits">${exhibits.map(card).join('\n')}</div>`;
}

function card(exhibit: Exhibit): string {
  const { image, adversarial, shape, label, predicted, predictedAdversarial } = exhibit;
  const change = difference(image, adversarial);
  const held = predictedAdversarial === label;
  const radius =
    exhibit.certifiedRadius > 0
      ? `certified to radius <b>${short(exhibit.certifiedRadius)}</b>`
      : 'not certified at any radius';
  const about = `test image ${exhibit.index}`;
  return `<article class="exhibit">
<h3>${about}: <b>${escapeHtml(label)}</b></h3>
<div class="triple">
${shot(bitmap(image, shape), about, 'clean', answer(predicted, label))}
${shot(bitmap(adversarial, shape), `${about}, attacked`, 'attacked', answer(predictedAdversarial, label))}
${shot(bitmap(change.pixels, shape), `${about}, difference`, 'difference', `<span>at most ${short(change.largest)}</span>`)}
</div>
<p>${held ? 'The attack failed' : predicted === label ? 'The attack succeeded' : 'Wrong without an attack'}; ${radius}.</p>
</article>`;
}

function shot(source: string, alt: string, name: string, below: string): string {
  return `<figure><img src="${source}" alt="${escapeHtml(alt)}"><figcaption>${name}<br>${below}</figcaption></figure>`;
}

/** Answer of the network, marked by sign as well as by colour. */
function answer(predicted: string, label: string): string {
  return predicted === label
    ? `<span>✓ ${escapeHtml(predicted)}</span>`
    : `<span class="wrong">✗ ${escapeHtml(predicted)}</span>`;
}

const terms: readonly (readonly [string, string])[] = [
  ['Benign accuracy', 'The fraction of test images classified correctly as they are.'],
  [
    'Empirical robust accuracy (ERA)',
    'The fraction still classified correctly after the attack has searched the ball around the image. An upper bound: a stronger attack may find more errors.',
  ],
  [
    'Verifiable robust accuracy (VRA)',
    'The fraction for which the verifier proved that every image in the ball gets the right label, rounding in the network’s own arithmetic included if the verifier is sound. A lower bound: a stronger verifier may prove more. On the same images, the truth lies between VRA and ERA.',
  ],
  [
    'eps',
    'The radius of the ball: the most by which any pixel, in [0, 1], may be changed. 8/255 is eight steps of an 8-bit image.',
  ],
  [
    'Retained',
    'The pruned network’s accuracy divided by the dense one’s; above 100 % where pruning helped.',
  ],
  [
    '95 % interval',
    'Clopper-Pearson: accuracies outside of it would give a count this far off less than one time in twenty. It covers the choice of test images only, not that of the training seed.',
  ],
  [
    'Sparsity, density',
    'The fraction of convolution and dense weights that are zero, and that are not. Biases and norms are left alone and not counted.',
  ],
  [
    'Contradiction',
    'An image that is certified and yet successfully attacked. One alone proves a bug in the attack or the verifier.',
  ],
  [
    'Certified radius',
    'The largest eps, found by bisection, at which the verifier still proves the network’s answer on this image.',
  ],
];

export function glossary(): string {
  return `<dl class="glossary">${terms.map(([term, text]) => `<div><dt>${term}</dt><dd>${text}</dd></div>`).join('')}</dl>`;
}

/** Everything needed to run it again. */
export function provenance({ provenance: p }: Summary): string {
  const { data } = p;
  const rows: (readonly [string, string])[] = [
    ['espalier', p.espalier],
    ['Node.js', p.node],
    ['WebAssembly binary', p.binary],
    ['Threads', count(p.threads)],
    ['Seed', String(p.seed)],
    ['Data', data.name],
    ['Source', data.source],
    ['SHA-256', data.sha256],
    [
      'Images',
      `${count(data.train)} training, ${count(data.heldOut)} held out, ${count(data.test)} test`,
    ],
    ['Extra training data', p.extraData ? 'yes' : 'no'],
    ['Started', p.startedAt],
    ['Finished', p.finishedAt],
    ['Computing time', duration(p.seconds)],
  ];
  const config = JSON.stringify(p.config, null, 2) ?? 'none';
  return `<dl class="facts">${rows
    .map(([term, text]) => `<dt>${term}</dt><dd>${escapeHtml(text)}</dd>`)
    .join('')}</dl>
<details><summary>Config</summary><pre>${escapeHtml(config)}</pre></details>`;
}
