/** Data sets, properties, certificates, configs, and what runs leave behind. */

import { deflateSync, gzipSync } from 'node:zlib';
import { createTar } from 'nanotar';
import { crc32 } from '../../../src/io/crc32';
import { writeNpz } from '../../../src/io/npz';
import { encode } from '../../../src/io/safetensors';
import { vnnlibSeeds } from '../format-seeds';
import { mutate, mutateText } from '../mutate';
import type { Sampler } from '../random';
import {
  denseModel,
  ESCAPES,
  f32,
  type Hostile,
  type Kind,
  LONG,
  list,
  NAMES,
  NESTED,
  NESTED_OBJECT,
  pick,
} from './file';

const text = (value: unknown): string => JSON.stringify(value);

/** An IDX file: magic number, sizes, elements. */
function idx(magic: number, dims: readonly number[], data: Uint8Array): Uint8Array {
  const out = Buffer.alloc(4 + 4 * dims.length + data.length);
  out.writeUInt32BE(magic >>> 0);
  dims.forEach((size, i) => {
    out.writeUInt32BE(size >>> 0, 4 + 4 * i);
  });
  out.set(data, 4 + 4 * dims.length);
  return new Uint8Array(out);
}

const MNIST = denseModel([1, 28, 28], 10);
const images = idx(0x803, [2, 28, 28], new Uint8Array(2 * 784));
const labels = idx(0x801, [2], Uint8Array.of(1, 2));
const IDX = {
  'd/train-images-idx3-ubyte': images,
  'd/train-labels-idx1-ubyte': labels,
  'd/t10k-images-idx3-ubyte': images,
  'd/t10k-labels-idx1-ubyte': labels,
};

const mnist = (name: string, files: Hostile['files']): Hostile => ({
  name,
  files: { 'm.safetensors': MNIST, ...IDX, ...files },
  argv: [
    'evaluate',
    'm.safetensors',
    '--data',
    'mnist',
    '--path',
    'd',
    '--limit',
    '1',
    '--eps',
    '0.01',
  ],
});
const zeros = new Uint8Array(90e6);

export const idxFiles: Kind = {
  traps: () => {
    const plain = (name: string, bytes: Uint8Array): Hostile =>
      mnist(name, { 'd/train-images-idx3-ubyte': bytes });
    const { 'd/train-images-idx3-ubyte': _, ...rest } = IDX;
    const packed = (name: string, bytes: Uint8Array): Hostile => ({
      ...mnist(name, {}),
      files: { 'm.safetensors': MNIST, ...rest, 'd/train-images-idx3-ubyte.gz': bytes },
    });
    return [
      plain('all sizes 2^32 - 1', idx(0x803, [-1, -1, -1], new Uint8Array(8))),
      plain('no images', idx(0x803, [0, 28, 28], new Uint8Array(0))),
      plain('images of no size', idx(0x803, [2 ** 31, 0, 28], new Uint8Array(0))),
      plain('another magic number', idx(0x80d, [2, 28, 28], new Uint8Array(1568))),
      plain('cut short', images.slice(0, 9)),
      plain('nothing', new Uint8Array(0)),
      packed('gzip of zeros', gzipSync(zeros)),
      packed(
        'gzip of zeros behind a right header',
        gzipSync(Buffer.concat([idx(0x803, [2, 28, 28], new Uint8Array(0)), zeros])),
      ),
      packed('gzip of many members', Buffer.concat(list(4000, () => gzipSync(Uint8Array.of(0))))),
      packed('gzip cut short', gzipSync(images).subarray(0, 60)),
      packed('zlib', deflateSync(images)),
      mnist('labels out of range', {
        'd/t10k-labels-idx1-ubyte': idx(0x801, [2], Uint8Array.of(1, 200)),
      }),
      mnist('labels that are too many', {
        'd/t10k-labels-idx1-ubyte': idx(0x801, [90_000], new Uint8Array(90_000)),
      }),
    ];
  },
  damaged: (s) => mnist('damaged', { 'd/t10k-images-idx3-ubyte': mutate(images, s) }),
};

const CIFAR = denseModel([3, 32, 32], 10, 4);
const cifar = (name: string, files: Hostile['files'], path = 'd'): Hostile => ({
  name,
  files: { 'm.safetensors': CIFAR, ...files },
  argv: [
    'evaluate',
    'm.safetensors',
    '--data',
    'cifar10',
    '--path',
    path,
    '--limit',
    '1',
    '--eps',
    '0.01',
  ],
});
const tar = (entries: readonly { name: string; data: string }[]): Uint8Array =>
  new Uint8Array(createTar([...entries]));

export const cifarFiles: Kind = {
  traps: () => [
    cifar('a short batch', { 'd/data_batch_1.bin': new Uint8Array(3073) }),
    cifar('an archive of zeros', { 'c.tar.gz': gzipSync(zeros) }, 'c.tar.gz'),
    cifar('an archive of noise', { 'c.tar.gz': gzipSync(Buffer.alloc(90_000, 0x37)) }, 'c.tar.gz'),
    cifar(
      'an archive of 30 000 files',
      {
        'c.tar.gz': gzipSync(
          Buffer.concat(list(30_000, () => tar([{ name: 'a', data: '' }]).subarray(0, 512))),
        ),
      },
      'c.tar.gz',
    ),
    cifar(
      'a size of escapes',
      {
        'c.tar.gz': gzipSync(
          Buffer.from(tar([{ name: 'data_batch_1.bin', data: 'x' }])).fill(
            '\x1b[31m777777',
            124,
            136,
          ),
        ),
      },
      'c.tar.gz',
    ),
    cifar(
      'a size below zero',
      {
        'c.tar.gz': gzipSync(
          Buffer.from(tar([{ name: 'data_batch_1.bin', data: 'x' }])).fill(
            '-1          ',
            124,
            136,
          ),
        ),
      },
      'c.tar.gz',
    ),
    ...NAMES.filter((name) => name.length < 90 && !/\p{Surrogate}/u.test(name)).map((name) =>
      cifar(
        `a file ${name.slice(0, 12)}`,
        { 'c.tar.gz': gzipSync(tar([{ name, data: 'x' }])) },
        'c.tar.gz',
      ),
    ),
  ],
  damaged: (s) =>
    cifar(
      'damaged',
      {
        'c.tar.gz': gzipSync(mutate(tar([{ name: 'data_batch_1.bin', data: 'x'.repeat(600) }]), s)),
      },
      'c.tar.gz',
    ),
};

const TWO = denseModel([2], 2);
const property = (name: string, spec: Uint8Array | string, file = 'p.vnnlib'): Hostile => ({
  name,
  files: { 'm.safetensors': TWO, [file]: spec },
  argv: ['verify', 'm.safetensors', file, '--timeout', '2'],
});
const DECLARED =
  '(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)';
const BOX = `${DECLARED}(assert (>= X_0 0))(assert (<= X_0 1))(assert (>= X_1 0))(assert (<= X_1 1))`;
const digits = '7'.repeat(90_000);

export const vnnlibFiles: Kind = {
  traps: () => [
    property('open brackets', '('.repeat(90_000)),
    property('nested brackets', `${'('.repeat(45_000)}${')'.repeat(45_000)}`),
    property(
      'nested ands',
      `${BOX}(assert ${'(and '.repeat(15_000)}(<= Y_0 1)${')'.repeat(15_000)})`,
    ),
    property(
      'nested sums',
      `${BOX}(assert (<= ${'(+ 1 '.repeat(12_000)}Y_0${')'.repeat(12_000)} 1))`,
    ),
    property(
      'nested minus',
      `${BOX}(assert (<= ${'(- '.repeat(20_000)}Y_0${')'.repeat(20_000)} 1))`,
    ),
    property(
      'nested products',
      `${BOX}(assert (<= ${'(* 2 '.repeat(12_000)}Y_0${')'.repeat(12_000)} 1))`,
    ),
    ...[
      digits,
      `${digits}x`,
      `1.${digits}x`,
      `1e${digits}`,
      `-1e-${digits}`,
      `${'1'.repeat(300)}e${digits.slice(0, 400)}`,
      '1e400',
      '1e-400',
      `0.${'0'.repeat(80_000)}1`,
    ].map((number, i) => property(`a long number ${i}`, `${BOX}(assert (<= Y_0 ${number}))`)),
    property(
      '200 long numbers',
      `${BOX}${list(200, (i) => `(assert (<= Y_0 ${'3'.repeat(300)}${i}e-300))`).join('')}`,
    ),
    property(
      'cases by product',
      `${BOX}${list(30, () => '(assert (or (<= Y_0 1) (<= Y_1 1)))').join('')}`,
    ),
    property(
      'cases by product of boxes',
      `${DECLARED}(assert (>= X_0 0))(assert (<= X_0 1))${list(25, () => '(assert (or (and (<= X_1 1) (>= X_1 0)) (and (<= X_1 3) (>= X_1 2))))').join('')}(assert (<= Y_0 0))`,
    ),
    property(
      '2500 cases',
      `${BOX}(assert (or ${list(2500, (i) => `(and (<= Y_0 ${-100 - i}) (>= Y_1 3))`).join('')}))`,
    ),
    property(
      '2000 boxes',
      `${DECLARED}(assert (or ${list(900, (i) => `(and (>= X_0 ${i}) (<= X_0 ${i + 1}) (>= X_1 0) (<= X_1 1) (<= Y_0 -9999))`).join('')}))`,
    ),
    property(
      '4000 terms',
      `${BOX}(assert (<= (+ ${list(8000, () => '(* 0.5 Y_0)').join(' ')}) 1))`,
    ),
    property('3000 variables', list(3000, (i) => `(declare-const X_${i} Real)`).join('')),
    property('a variable 3000 times', list(3000, () => '(declare-const X_0 Real)').join('')),
    property('5000 errors', '(assert (<= Z 1))'.repeat(5000)),
    property('a long comment', `;${'x'.repeat(90_000)}\n${BOX}(assert (<= Y_0 -99))`),
    property('lines', '\n'.repeat(90_000)),
    property('signs', '+-'.repeat(40_000)),
    property('nothing', ''),
    property('zeros', '\0'.repeat(90_000)),
    property('gzip of zeros', gzipSync(zeros), 'p.vnnlib.gz'),
    property('gzip of blanks', gzipSync(Buffer.alloc(60e6, 32)), 'p.vnnlib.gz'),
    property('gzip of brackets', gzipSync(Buffer.alloc(60e6, '(')), 'p.vnnlib.gz'),
    ...NAMES.map((name) =>
      property(`a variable ${name.slice(0, 12)}`, `(declare-const ${name} Real)`),
    ),
    ...NAMES.map((name) =>
      property(`an operator ${name.slice(0, 12)}`, `${BOX}(assert (${name} Y_0 1))`),
    ),
  ],
  damaged: (s) => property('damaged', vnnlibSeeds()(s)),
};

const HASH = 'a'.repeat(64);
const CLAIM = {
  format: 'espalier-certificate/1',
  model: { sha256: HASH },
  region: { kind: 'ball', centre: [0.5, 0.5], eps: 0.1, range: [0, 1] },
  property: { kind: 'label', label: 0 },
  method: { name: 'interval' },
  margin: 0.1,
  digest: HASH,
};
const certificate = (name: string, content: string): Hostile => ({
  name,
  files: { 'm.safetensors': TWO, 'c.json': content },
  argv: ['check', 'c.json', 'm.safetensors'],
});

export const certificateFiles: Kind = {
  traps: () => [
    ...[NESTED, NESTED_OBJECT, '', 'null', '[]', '1', '{', ESCAPES, `"${LONG}"`].map((content, i) =>
      certificate(`JSON ${i}`, content),
    ),
    ...Object.keys(CLAIM).flatMap((key) =>
      [
        null,
        1e308,
        -1,
        LONG,
        ESCAPES,
        list(9000, () => 1),
        list(9000, () => 'x'),
        { [ESCAPES]: 1 },
        {},
      ].map((value, i) => certificate(`${key} ${i}`, text({ ...CLAIM, [key]: value }))),
    ),
    ...Object.keys(CLAIM).flatMap((key) => [
      certificate(`${key} nested`, text({ ...CLAIM, [key]: '?' }).replace('"?"', NESTED)),
      certificate(
        `${key} nested objects`,
        text({ ...CLAIM, [key]: '?' }).replace('"?"', NESTED_OBJECT),
      ),
    ]),
    certificate(
      'many rows',
      text({
        ...CLAIM,
        property: { kind: 'linear', rows: list(9000, () => [0, 1]), offsets: list(9000, () => 0) },
      }),
    ),
    certificate(
      'many unknown keys',
      text({ ...CLAIM, ...Object.fromEntries(list(5000, (i) => [`k${i}`, i])) }),
    ),
    certificate(
      'slopes of strangers',
      text({
        ...CLAIM,
        method: {
          name: 'linear',
          intermediate: 'linear',
          slopes: Object.fromEntries([...NAMES.slice(0, 8), ESCAPES].map((n) => [n, [1]])),
        },
      }),
    ),
    {
      name: 'a folder of 40',
      files: {
        'm.safetensors': TWO,
        ...Object.fromEntries(list(40, (i) => [`c/${i}.json`, '{'])),
      },
      argv: ['check', 'c', 'm.safetensors'],
    },
  ],
  damaged: (s) =>
    certificate(
      'damaged',
      mutateText(text(CLAIM), ['{', '}', '[', '1e999', '"', 'null', '-1', ',', ':'], s),
    ),
};

const config = (name: string, content: string): Hostile => ({
  name,
  files: { 'c.json': content },
  argv: ['compress', 'c.json', '--out', 'run'],
});
const SOUND = {
  name: 'c',
  data: 'digits',
  network: { name: 'mlp', hidden: [4] },
  objective: { name: 'ibp', eps: 0.01 },
  pretrain: { epochs: 0 },
  finetune: { epochs: 0 },
  prune: { strategy: 'magnitude', sparsity: 0.5 },
  evaluate: { attack: { name: 'pgd', steps: 1 }, attackLimit: 2, verifyLimit: 2 },
};
const VALUES: readonly unknown[] = [
  null,
  -1,
  1e308,
  '',
  LONG,
  ESCAPES,
  [],
  list(9000, () => 1),
  { [ESCAPES]: ESCAPES },
  { name: LONG },
  { name: ESCAPES },
  { name: '__proto__' },
  'constructor',
  { name: 'mlp', hidden: list(15_000, () => 1) },
  { name: 'mlp', hidden: [1e9] },
  { name: 'wrn', depth: 1e6 + 4, width: 1e6 },
  'wrn-1000000-1000000',
  `wrn-${'9'.repeat(400)}-1`,
];

export const configFiles: Kind = {
  traps: () => [
    ...[
      NESTED,
      NESTED_OBJECT,
      '',
      'null',
      '[]',
      '1',
      '{',
      ESCAPES,
      `"${LONG}"`,
      '{"__proto__":{"seed":2}}',
      '{"constructor":1}',
    ].map((content, i) => config(`JSON ${i}`, content)),
    ...Object.keys(SOUND).flatMap((key) =>
      VALUES.map((value, i) => config(`${key} ${i}`, text({ ...SOUND, [key]: value }))),
    ),
    ...Object.keys(SOUND).map((key) =>
      config(`${key} nested`, text({ ...SOUND, [key]: '?' }).replace('"?"', NESTED_OBJECT)),
    ),
    config(
      'many unknown keys',
      text({ ...SOUND, ...Object.fromEntries(list(5000, (i) => [`k${i}`, i])) }),
    ),
    config(
      'many unknown options',
      text({
        ...SOUND,
        objective: { name: 'ibp', ...Object.fromEntries(list(5000, (i) => [`k${i}`, i])) },
      }),
    ),
    config(
      'milestones',
      text({ ...SOUND, pretrain: { schedule: { milestones: list(9000, () => 2) } } }),
    ),
    config('a long path', text({ ...SOUND, data: { name: 'mnist', path: LONG } })),
    config('a path of escapes', text({ ...SOUND, data: { name: 'mnist', path: ESCAPES } })),
    ...[NESTED, '{"schema":1}', text({ schema: 'espalier-costs/1', costs: { [ESCAPES]: 1 } })].map(
      (costs, i) => ({
        name: `costs ${i}`,
        files: { 'm.safetensors': TWO, 'c.json': costs },
        argv: ['inspect', 'm.safetensors', '--plan', '--costs', 'c.json', '--seconds', '0'],
      }),
    ),
  ],
  damaged: (s) =>
    config(
      'damaged',
      mutateText(
        text({ ...SOUND, pretrain: { epochs: -1 } }),
        ['{', '}', '[', '1e999', '"', 'null', '-1', ',', ':'],
        s,
      ),
    ),
};

/** A run of `SOUND` as far as its folder tells, with one of its files replaced. */
const run = (name: string, files: Hostile['files']): Hostile => ({
  name,
  files: { 'c.json': text(SOUND), ...files },
  argv: ['compress', 'c.json', '--out', 'run'],
});
const BARE: readonly string[] = [
  '{}',
  'null',
  '{"event":1}',
  '{"event":"epoch"}',
  NESTED,
  `{"event":${NESTED}}`,
  `{"event":"epoch","phase":${NESTED_OBJECT}}`,
  text({ event: LONG }),
  text({ event: ESCAPES }),
  text({ event: 'epoch', overall: 1e308, metrics: { [ESCAPES]: 1 } }),
  '\0'.repeat(90_000),
  '{"event":"epoch","overall":',
  '{"__proto__":1,"event":"x"}',
  list(3000, () => '{"event":"epoch"}').join('\n'),
];

/** A line with the checksum that journals ask for, so that what is in it is looked at. */
function sealed(line: string): string {
  const start = line.slice(0, -1);
  const sum = crc32(new TextEncoder().encode(start)).toString(16).padStart(8, '0');
  return `${start},"crc32":"${sum}"}`;
}
const LINES: readonly string[] = [
  ...BARE,
  ...BARE.filter((line) => /^\{".*\}$/.test(line)).map(sealed),
];

export const runFiles: Kind = {
  traps: () => [
    ...LINES.flatMap((line, i): Hostile[] => [
      run(`journal ${i}`, { 'run/config.json': CONFIG, 'run/journal.jsonl': `${line}\n` }),
      {
        name: `smoothing ${i}`,
        files: { 'm.safetensors': denseModel([1, 8, 8], 10), 'j.jsonl': `${line}\n` },
        argv: [
          'smooth',
          'm.safetensors',
          '--data',
          'digits',
          '--limit',
          '1',
          '--n',
          '50',
          '--n0',
          '10',
          '--out',
          'j.jsonl',
        ],
      },
      {
        name: `evaluation ${i}`,
        files: {
          'm.safetensors': denseModel([1, 8, 8], 10),
          'e/0-of-1.jsonl': `${line}\n`,
          'e/journal.jsonl': `${line}\n`,
          'e/identity.json': line,
          'e/evaluation.json': line,
        },
        argv: [
          'evaluate',
          'm.safetensors',
          '--data',
          'digits',
          '--eps',
          '0.01',
          '--verify',
          'interval',
          '--limit',
          '1',
          '--jobs',
          '1',
          '--out',
          'e',
        ],
      },
    ]),
    ...[
      '{}',
      NESTED,
      '{"schema":"espalier-summary/1"}',
      '{"schema":"espalier-summary/1","dense":{},"layers":null}',
      'null',
    ].flatMap((summary, i) => [
      run(`summary ${i}`, {
        'run/config.json': CONFIG,
        'run/journal.jsonl': '',
        'run/summary.json': summary,
      }),
      run(`config ${i}`, { 'run/config.json': summary }),
      run(`lock ${i}`, { 'run/config.json': CONFIG, 'run/lock': summary }),
    ]),
    ...['{', NESTED_OBJECT, '{"a":1}'].map((phase, i) =>
      run(`checkpoint ${i}`, {
        'run/config.json': CONFIG,
        'run/journal.jsonl': '',
        'run/checkpoint.safetensors': encode(
          { 'model.a.weight': f32([2]) },
          { format: 'espalier/1', network: '{}', run: phase, phase, hash: text(HASH) },
        ),
      }),
    ),
    ...NAMES.slice(0, 6).map((name) =>
      run(`a tensor ${name.slice(0, 12)} of a checkpoint`, {
        'run/config.json': CONFIG,
        'run/journal.jsonl': '',
        'run/checkpoint.safetensors': encode(new Map([[name, f32([2])]]), {
          format: 'espalier/1',
          network: '{}',
        }),
      }),
    ),
    ...list(2, (i) => run(`a folder of strangers ${i}`, { [`run/${i ? '\x1b[31m' : 'x'}`]: '1' })),
  ],
  damaged: (s: Sampler) =>
    run('damaged journal', {
      'run/config.json': CONFIG,
      'run/journal.jsonl': `${mutateText(pick(LINES.slice(0, 4), s), ['{', '"', '\n', '\0', 'event'], s)}\n`,
    }),
};

/** The config of a run is compared when parsed, so the short form says the same. */
const CONFIG = text(SOUND);

const NPZ = denseModel([1, 2, 2], 2);
const arrays = (name: string, bytes: Uint8Array): Hostile => ({
  name,
  files: { 'm.safetensors': NPZ, 'd.npz': bytes },
  argv: [
    'evaluate',
    'm.safetensors',
    '--data',
    'npz',
    '--path',
    'd.npz',
    '--limit',
    '1',
    '--eps',
    '0.01',
  ],
});
const u8 = (...shape: number[]) => ({
  values: new Uint8Array(shape.reduce((a, b) => a * b, 1)),
  shape,
});

export const arrayFiles: Kind = {
  traps: () =>
    [
      { x_train: u8(4, 1, 2, 2), y_train: u8(4), x_test: u8(4, 1, 2, 2), y_test: u8(4) },
      { x_train: u8(0, 1, 2, 2), y_train: u8(0), x_test: u8(0, 1, 2, 2), y_test: u8(0) },
      { x_train: u8(3), y_train: u8(3, 1, 1, 1), x_test: u8(), y_test: u8(2) },
      { x_train: u8(4, 3000, 3000), y_train: u8(4), x_test: u8(4, 3000, 3000), y_test: u8(4) },
      Object.fromEntries(
        NAMES.filter((n) => n.length < 100 && !/\p{Surrogate}/u.test(n)).map((n) => [n, u8(1)]),
      ),
      Object.fromEntries(list(500, (i) => [`x${i}`, u8(1)])),
    ].map((entries, i) => arrays(`arrays ${i}`, writeNpz(new Map(Object.entries(entries))))),
  damaged: (s) =>
    arrays(
      'damaged',
      mutate(
        writeNpz(
          new Map(
            Object.entries({
              x_train: u8(4, 1, 2, 2),
              y_train: u8(4),
              x_test: u8(4, 1, 2, 2),
              y_test: u8(4),
            }),
          ),
        ),
        s,
      ),
    ),
};
