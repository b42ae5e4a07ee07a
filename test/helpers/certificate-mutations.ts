/**
 * Mutations of true certificates that must all be rejected. Each is wrong by construction: its form is
 * none of a certificate's, its digest is not its own, or its claim is false at a point that the float64
 * reference has found. A mutation that may leave a claim true, another radius that holds say, is not here.
 */
import { type Claim, encode, seal } from '../../src/check/certificate';
import { fingerprint } from '../../src/check/check';
import type { Model } from '../../src/nn/model';
import { CLEAR, METHODS, type Subject } from './certificate-subjects';
import { type Sampler, sampler } from './random';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Path = readonly (string | number)[];

export interface Mutant {
  readonly kind: string;
  readonly text: string;
  /** The model it is held against. */
  readonly model: Model;
}

/** Every place of a value but itself; of long lists a few. */
function placesOf(value: Json, random: Sampler, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [];
  const all = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  const keys = all.length > 12 ? [0, 1, 2].map(() => all[random.whole(all.length)]!) : all;
  return keys.flatMap((key) => {
    const inner = (value as Record<string | number, Json>)[key]!;
    return [[...path, key], ...placesOf(inner, random, [...path, key])];
  });
}

const at = (value: Json, path: Path): Json =>
  path.reduce((v, key) => (v as Record<string | number, Json>)[key]!, value);

/** The value with what `change` makes of the part at `path`; undefined leaves it out. */
function put(value: Json, path: Path, change: (part: Json) => Json | undefined): Json {
  const [key, ...rest] = path;
  if (key === undefined) return change(value) as Json;
  const inner = put((value as Record<string | number, Json>)[key]!, rest, change);
  if (Array.isArray(value)) {
    const list = value.map((old, i) => (i === key ? inner : old));
    return list.filter((v) => v !== undefined);
  }
  const entries = Object.entries(value as Record<string, Json>).map(
    ([name, old]) => [name, name === key ? inner : old] as const,
  );
  return Object.fromEntries(entries.filter(([, v]) => v !== undefined));
}

const pick = <T>(random: Sampler, list: readonly T[]): T => list[random.whole(list.length)]!;

type Make = (subject: Subject, random: Sampler) => Promise<Pick<Mutant, 'text'> & Partial<Mutant>>;

/** The claim with a change, of any margin above 0, under a digest of its own. */
const claiming = async (
  { certificate }: Subject,
  change: object,
  on?: Model,
): Promise<Pick<Mutant, 'text'> & Partial<Mutant>> => {
  const { format, digest, ...claim } = certificate;
  const text = encode(await seal({ ...claim, margin: 0, ...change } as Claim));
  return on ? { text, model: on } : { text };
};

/** The document with a change of its claim anywhere, its digest recomputed in most cases. */
async function altered(
  { certificate }: Subject,
  random: Sampler,
  accepts: (part: Json) => boolean,
  change: (part: Json) => Json | undefined,
): Promise<string> {
  const { format, digest, ...claim } = certificate;
  const body = claim as unknown as Json;
  const path = pick(
    random,
    placesOf(body, random).filter((p) => accepts(at(body, p))),
  );
  const changed = put(body, path, change);
  const again = await seal(changed as unknown as Claim);
  return JSON.stringify(random.whole(4) ? again : { ...again, digest });
}

const TOKENS = [
  'NaN',
  'Infinity',
  '-Infinity',
  '1e400',
  '-1e999',
  '-0',
  '01',
  '+1',
  '.5',
  '1.',
  '0x1',
];
const OTHERS: readonly Json[] = [null, true, false, 'x', {}, { a: 1 }];

/** A key of an object twice, first or last, as it is written or escaped, with its value or another. */
const twice: Make = async ({ certificate }, random) => {
  const body = certificate as unknown as Json;
  const objects = [[], ...placesOf(body, random)].filter((path) => {
    const part = at(body, path);
    return typeof part === 'object' && part !== null && !Array.isArray(part);
  });
  const path = pick(random, objects);
  const part = at(body, path) as Record<string, Json>;
  const key = pick(random, Object.keys(part));
  const other = random.whole(2) ? part[key]! : pick(random, [...OTHERS, 0.3, [0.5]]);
  const mark = '@@';
  const doubled = put(body, path, () =>
    random.whole(2) ? { [mark]: other, ...part } : { ...part, [mark]: other },
  );
  const code = key.charCodeAt(0).toString(16).padStart(4, '0');
  const spelt = random.whole(3) ? key : `\\u${code}${key.slice(1)}`;
  return { text: JSON.stringify(doubled).replace(`"${mark}":`, () => `"${spelt}":`) };
};

const isNumber = (part: Json): boolean => typeof part === 'number';
const isObject = (part: Json): boolean =>
  typeof part === 'object' && part !== null && !Array.isArray(part);

/** What breaks the form. */
const FORMS: Readonly<Record<string, Make>> = {
  'a key twice': twice,
  'a number as a string': async (s, random) => ({
    text: await altered(s, random, isNumber, (x) => String(x)),
  }),
  'a number that is none': async (s, random) => {
    const text = await altered(s, random, isNumber, () => '@@');
    return { text: text.replace('"@@"', () => pick(random, TOKENS)) };
  },
  'a value of another type': async (s, random) => ({
    text: await altered(
      s,
      random,
      (x) => !isObject(x),
      // A range of null is another claim, and may be true.
      (x) => pick(random, Array.isArray(x) && x.length === 2 ? OTHERS.slice(1) : OTHERS),
    ),
  }),
  'a field too many': async (s, random) => ({
    text: await altered(s, random, isObject, (x) => ({
      ...(x as object),
      [pick(random, ['extra', 'Eps', 'label ', '__proto__', 'constructor'])]: 1,
    })),
  }),
  'a field too few': async ({ certificate }, random) => {
    const body = certificate as unknown as Json;
    const fields = placesOf(body, random).filter((p) => typeof p.at(-1) === 'string');
    return { text: JSON.stringify(put(body, pick(random, fields), () => undefined)) };
  },
  'a name in another case': async ({ certificate }, random) => {
    const text = encode(certificate);
    const names = [...text.matchAll(/"(\w+)":/g)];
    const { index, 1: name } = pick(random, names);
    const upper = name!.toUpperCase();
    return { text: `${text.slice(0, index)}"${upper}"${text.slice(index + name!.length + 2)}` };
  },
  truncated: async ({ certificate }, random) => {
    const text = encode(certificate).trim();
    return { text: text.slice(0, random.whole(text.length)) };
  },
  'with something behind it': async ({ certificate }, random) => ({
    text: `${encode(certificate)}${pick(random, ['{}', 'x', ',', '\0', '// ok', encode(certificate)])}`,
  }),
  'a character changed': async ({ certificate }, random) => {
    const text = encode(certificate).trim();
    const i = random.whole(text.length);
    const code = text.charCodeAt(i) ^ (1 << random.whole(7));
    return { text: text.slice(0, i) + String.fromCharCode(code) + text.slice(i + 1) };
  },
  'a part left out or repeated': async ({ certificate }, random) => {
    const text = encode(certificate).trim();
    const from = random.whole(text.length);
    const to = Math.min(text.length, from + 1 + random.whole(30));
    const end = random.whole(2) ? to : from;
    const middle = end === to ? '' : text.slice(from, to);
    return { text: text.slice(0, from) + middle + text.slice(end) };
  },
  'another digest': async ({ certificate }, random) => {
    const digit = random.whole(64);
    const { digest } = certificate;
    const other = ((Number.parseInt(digest[digit]!, 16) + 1 + random.whole(15)) % 16).toString(16);
    const changed = digest.slice(0, digit) + other + digest.slice(digit + 1);
    return { text: JSON.stringify({ ...certificate, digest: changed }) };
  },
  'another format': async ({ certificate }, random) => ({
    text: JSON.stringify({
      ...certificate,
      format: pick(random, ['espalier-certificate/2', 'espalier-certificate/', 'x', '']),
    }),
  }),
  'nested deeply': async ({ certificate }, random) => {
    const depth = 20 + random.whole(30_000);
    const deep = '['.repeat(depth) + ']'.repeat(depth);
    const text = encode(certificate);
    return { text: random.whole(2) ? deep : text.replace('"region":', `"region":${deep},"x":`) };
  },
};

/** Any method, with any slopes: none makes a false claim true. */
function anyMethod({ slopes, certificate }: Subject, random: Sampler): Claim['method'] {
  const method = pick(random, [certificate.method, ...METHODS]);
  if (method.name === 'interval' || random.whole(2)) return method;
  return { ...method, slopes: slopes as Record<string, number[]> };
}

const ball = (
  { certificate, centre }: Subject,
  change: Partial<Extract<Claim['region'], { kind: 'ball' }>>,
): { region: Claim['region'] } => ({
  region: {
    ...certificate.region,
    kind: 'ball',
    centre: [...centre],
    ...change,
  } as Claim['region'],
});

/** What makes the claim false, or one of nothing, under a digest of its own. */
const CLAIMS: Readonly<Record<string, Make>> = {
  'another label': async (s, random) => {
    const label = (s.label + 1 + random.whole(s.classes - 1)) % s.classes;
    const eps = pick(random, [0, 0.01, 0.5]);
    const property = { kind: 'label', label };
    return claiming(s, { ...ball(s, { eps }), property, method: anyMethod(s, random) });
  },
  'a label that is no class': async (s, random) =>
    claiming(s, { property: { kind: 'label', label: pick(random, [-1, s.classes, 2 ** 40]) } }),
  'a radius that holds a point of another label': async (s, random) => {
    const eps = s.wrong.distance * (1 + 2 ** -20 + random.real());
    const margin = pick(random, [0, 1e-300, s.certificate.margin, -1]);
    return claiming(s, { ...ball(s, { eps }), margin, method: anyMethod(s, random) });
  },
  'a radius below 0': async (s, random) =>
    claiming(s, ball(s, { eps: -pick(random, [5e-324, 1e-9, 0.1, 1e300]) })),
  'a radius without end': async (s, random) =>
    claiming(s, ball(s, { eps: pick(random, [1e39, 1e300]), range: null })),
  'a point of another label as centre': async (s, random) =>
    claiming(s, {
      ...ball(s, { centre: [...s.wrong.point], eps: pick(random, [0, 0.01]) }),
      method: anyMethod(s, random),
    }),
  'a pixel outside of [0, 1]': async (s, random) => {
    const i = random.whole(s.centre.length);
    const x = pick(random, [1 + 2 ** -23, -1e-9, 1.01, 7, -3e38, 1e300]);
    return claiming(s, ball(s, { centre: s.centre.map((v, j) => (i === j ? x : v)) }));
  },
  'a pixel too many or too few': async (s, random) => {
    const centre = random.whole(2) ? [...s.centre, 0.5] : s.centre.slice(1);
    return claiming(s, ball(s, { centre }));
  },
  'a range without the centre': async (s, random) => {
    const range = pick(random, [
      [1, 0],
      [0.999_999, 1],
      [-2, -1],
      [1, 1],
    ]);
    return claiming(s, ball(s, { range: range as [number, number] }));
  },
  'a box that holds a point of another label': async (s, random) => {
    const { point } = s.wrong;
    const lo = s.centre.map((x, i) => Math.min(x, point[i]!) - 0.1 * random.whole(2));
    const hi = s.centre.map((x, i) => Math.max(x, point[i]!));
    return claiming(s, { region: { kind: 'box', lo, hi }, method: anyMethod(s, random) });
  },
  'a box of nothing': async (s, random) => {
    const i = random.whole(s.centre.length);
    const hi = s.centre.map((x, j) => (i === j ? x - 1e-6 : x));
    return claiming(s, { region: { kind: 'box', lo: [...s.centre], hi } });
  },
  'a margin above the true one': async (s, random) =>
    claiming(s, {
      margin: s.margin + pick(random, [CLEAR, 1, 1e300]),
      method: anyMethod(s, random),
    }),
  'linear constraints that fail': async (s, random) => {
    const rows = Array.from({ length: 1 + random.whole(3) }, () =>
      s.outputs.map(() => random.real(-2, 2)),
    );
    const bad = random.whole(rows.length);
    const offsets = rows.map((row, r) => {
      const value = row.reduce((sum, a, j) => sum + a * s.outputs[j]!, 0);
      return r === bad ? -value - CLEAR : -value + 10;
    });
    return claiming(s, {
      property: { kind: 'linear', rows, offsets },
      method: anyMethod(s, random),
    });
  },
  'linear constraints that vanish in f64': async (s) => {
    // 0 > 0 in exact arithmetic, whatever the products of denormal numbers round to.
    const least = Number.MIN_VALUE;
    const rows = [[least, ...s.outputs.slice(1).map(() => 0)], s.outputs.map(() => 0)];
    return claiming(s, { property: { kind: 'linear', rows, offsets: [0, 0] } });
  },
  'rows that do not fit': async (s, random) => {
    const row = s.outputs.map(() => 0);
    const property = pick(random, [
      { rows: [], offsets: [] },
      { rows: [row], offsets: [] },
      { rows: [row.slice(1)], offsets: [1] },
      { rows: [[...row, 0]], offsets: [1] },
    ]);
    return claiming(s, { property: { kind: 'linear', ...property } });
  },
  'the hash of another network': async (s) =>
    claiming(s, { model: { sha256: await fingerprint(s.other) } }),
  'another network': async (s) => ({ text: encode(s.certificate), model: s.other }),
  'another network and its hash': async (s, random) =>
    claiming(
      s,
      { model: { sha256: await fingerprint(s.other) }, method: anyMethod(s, random) },
      s.other,
    ),
  'a network that is no numbers and its hash': async (s, random) =>
    claiming(
      s,
      { model: { sha256: await fingerprint(s.broken) }, method: anyMethod(s, random) },
      s.broken,
    ),
  'slopes that do not fit': async (s, random) => {
    const [name, values] = Object.entries(s.slopes)[0] ?? ['none', []];
    const slopes = pick<Record<string, readonly number[]>>(random, [
      { [name]: [...values, 0] },
      { [`${name}x`]: values },
      { [s.model.graph.nodes.at(-1)!.name]: [0] },
    ]);
    return claiming(s, { method: { name: 'linear', intermediate: 'interval', slopes } });
  },
  'a method that is none': async (s, random) =>
    claiming(s, {
      method: pick<object>(random, [
        { name: 'trust' },
        { name: 'linear' },
        { name: 'linear', intermediate: 'none' },
        { name: 'interval', intermediate: 'linear' },
      ]),
    }),
};

export const KINDS: Readonly<Record<string, Make>> = { ...FORMS, ...CLAIMS };

/** Mutation number `seed` of the subjects: kinds by turns, the rest drawn from the seed. */
export async function mutant(all: readonly Subject[], seed: number): Promise<Mutant> {
  const random = sampler(seed);
  const kinds = Object.keys(KINDS);
  const kind = kinds[seed % kinds.length]!;
  const subject = pick(random, all);
  const text = encode(subject.certificate);
  for (;;) {
    const made = await KINDS[kind]!(subject, random);
    // A part repeated or a character changed can give the same text again.
    if (made.text.trim() !== text.trim() || made.model)
      return { kind, model: subject.model, ...made };
  }
}
