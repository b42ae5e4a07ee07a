/** True certificates of small networks, with what is needed to say false things of them. */
import { type Certificate, type Claim, seal } from '../../src/check/certificate';
import { fingerprint, provenMargin } from '../../src/check/check';
import { compile, type Network, sequential } from '../../src/nn/graph';
import { lower } from '../../src/nn/lower';
import { freeModel, type Model } from '../../src/nn/model';
import type { Engine } from '../../src/runtime/engine';
import { type Nd, nd } from './nd';
import { modelOf, networkFrom, randomWeights } from './networks';
import { type Sampler, sampler } from './random';
import { evaluate } from './reference-network';

/** A true certificate, and what is needed to say false things of its network. */
export interface Subject {
  readonly model: Model;
  readonly certificate: Certificate;
  readonly centre: readonly number[];
  readonly label: number;
  readonly classes: number;
  /** z_label - max of the others at the centre, in f64. */
  readonly margin: number;
  readonly outputs: readonly number[];
  /** A point of [0, 1]^d with another label, by a clear margin, and how far it is. */
  readonly wrong: { readonly point: readonly number[]; readonly distance: number };
  /** Another network of the same shape; at the centre it gives another label by a clear margin. */
  readonly other: Model;
  /** The same network with a weight that is no number. */
  readonly broken: Model;
  readonly slopes: Readonly<Record<string, readonly number[]>>;
}

/** By how much outputs differ where the reference decides. */
export const CLEAR = 1e-4;

const NETWORKS: readonly Network[] = [
  sequential(
    'conv',
    [1, 5, 5],
    [
      ['conv2d', { channels: 3, kernel: 3, stride: 2, padding: 1 }],
      ['relu'],
      ['flatten'],
      ['dense', { units: 4 }],
    ],
  ),
  sequential('smooth', [6], [['dense', { units: 5 }], ['sigmoid'], ['dense', { units: 3 }]]),
  networkFrom([12, 3, 9], [1, 5, 3], 4),
  networkFrom([13, 1, 11], [6], 8),
];

export const METHODS: readonly Claim['method'][] = [
  { name: 'interval' },
  { name: 'linear', intermediate: 'interval' },
  { name: 'linear', intermediate: 'linear' },
];

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** One subject a network and method. */
export async function subjects(engine: Engine): Promise<Subject[]> {
  const found: Subject[] = [];
  for (const [n, network] of NETWORKS.entries())
    for (const [m, method] of METHODS.entries())
      found.push(await subjectOf(engine, network, method, 100 * n + m));
  return found;
}

const canonical = (engine: Engine, network: Network, random: Sampler): Model => {
  const given = modelOf(engine, network, randomWeights(compile(network), random));
  const model = lower(given);
  freeModel(given);
  return model;
};

function outputsOf({ graph, params }: Model, points: readonly (readonly number[])[]): number[][] {
  const own = new Map([...params].map(([name, t]) => [name, nd(t.shape, t.read())]));
  const flat = Float32Array.from(points.flat());
  const { data } = evaluate(graph, own, nd([points.length, ...graph.network.input], flat));
  const k = data.length / points.length;
  return points.map((_, i) => Array.from(data.subarray(i * k, (i + 1) * k)));
}

const gap = (outputs: readonly number[], label: number): number =>
  outputs[label]! - Math.max(...outputs.filter((_, j) => j !== label));

async function subjectOf(
  engine: Engine,
  network: Network,
  method: Claim['method'],
  seed: number,
): Promise<Subject> {
  const random = sampler(seed);
  const size = product(network.input);
  const draw = (): number[] => Array.from({ length: size }, () => Math.fround(random.real()));
  // Networks are drawn until points of two labels are found.
  for (;;) {
    const model = canonical(engine, network, random);
    const centre = draw();
    const [outputs] = outputsOf(model, [centre]) as [number[]];
    const label = outputs.indexOf(Math.max(...outputs));
    const points = Array.from({ length: 400 }, draw);
    const at = outputsOf(model, points).findIndex((z) => gap(z, label) < -CLEAR);
    const other = canonical(engine, network, random);
    const [elsewhere] = outputsOf(other, [centre]) as [number[]];
    const margin = gap(outputs, label);
    if (at < 0 || margin < 10 * CLEAR || gap(elsewhere, label) > -CLEAR) {
      freeModel(model);
      freeModel(other);
      continue;
    }
    const point = points[at]!;
    const distance = Math.max(...point.map((x, i) => Math.abs(x - centre[i]!)));
    const claim = await claimOf(model, centre, label, method);
    const certificate = await seal(claim);
    const broken = brokenFrom(engine, model, random);
    const slopes = Object.fromEntries(
      model.graph.nodes
        .filter(({ layer }) => layer.role === 'pointwise')
        .map(({ name, shape }) => [name, Array.from(random.array(shape, -1, 2).data)]),
    );
    return {
      ...{ model, certificate, centre, label, classes: outputs.length, margin, outputs },
      ...{ wrong: { point, distance }, other, broken, slopes },
    };
  }
}

/** The claim with the largest radius of 2^-k that is proven. */
async function claimOf(
  model: Model,
  centre: number[],
  label: number,
  method: Claim['method'],
): Promise<Claim> {
  const sha256 = await fingerprint(model);
  for (let eps = 2 ** -3; ; eps /= 2) {
    const claim: Omit<Claim, 'margin'> = {
      model: { sha256 },
      region: { kind: 'ball', centre, eps, range: [0, 1] },
      property: { kind: 'label', label },
      method,
    };
    const proven = provenMargin(claim, model);
    if (proven > 0) return { ...claim, margin: proven / 2 };
  }
}

function brokenFrom(engine: Engine, model: Model, random: Sampler): Model {
  const weights = new Map<string, Nd>(
    [...model.params].map(([name, t]) => [name, nd(t.shape, t.read().slice())]),
  );
  const { data } = [...weights.values()][random.whole(weights.size)]!;
  const values = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const place = random.whole(data.length);
  data[place] = values[random.whole(3)]!;
  return modelOf(engine, model.graph.network, weights);
}
