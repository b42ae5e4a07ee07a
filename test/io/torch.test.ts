/**
 * PyTorch files: those PyTorch itself wrote, those of a small writer, and hostile ones.
 */
import fc from 'fast-check';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { EspalierError } from '../../src/errors';
import { readTorch } from '../../src/io/torch/read';
import { fuzz } from '../helpers/mutate';
import {
  call,
  floats,
  global,
  op,
  ordered,
  type Pickled,
  pickle,
  tensor,
  torchLegacy,
  torchZip,
  tuple,
} from '../helpers/pickle';
import { torchFile } from '../helpers/torch-files';
import { torchSeeds } from '../helpers/torch-seeds';

/** The file, all of its values asked for. */
const read = (bytes: Uint8Array) => {
  const file = readTorch(bytes, 'm.pt');
  const values = [...file.tensors].map(([name, t]) => [name, [...t.values]] as const);
  return { ...file, values: Object.fromEntries(values) };
};
const values = (bytes: Uint8Array) => read(bytes).values;
const message = (bytes: Uint8Array): string => {
  try {
    read(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(EspalierError);
    return (error as Error).message;
  }
  throw new Error('accepted');
};
/** A state dict of one tensor `w` over one storage `0`. */
const one = (w: Pickled, bytes = floats(0, 1, 2, 3, 4, 5)): Uint8Array =>
  torchZip(pickle(ordered({ w })), { 0: bytes });

describe('files of PyTorch', () => {
  it.each(['dtypesZip', 'dtypesLegacy'] as const)('%s: dtypes, views, scalars', (name) => {
    const { tensors, notes } = read(torchFile(name));
    expect(notes).toEqual([]);
    const found = [...tensors].map(([key, { dtype, shape }]) => [key, dtype, shape.join()]);
    expect(found.join(' ')).toBe(
      't,F32,4,3 o,F32,2,2 h,F16,4 b,BF16,4 d,F64,4 i,I32,4 l,I64,4 u,U8,4 c,I8,4 s,I16,4 ' +
        'm,BOOL,4 z,F32, e,F32,0,3 x,F32,5',
    );
    const halves = [0, 0.5, 1, 1.5];
    const whole = [0, 0, 1, 1];
    expect(values(torchFile(name))).toEqual({
      t: [0, 2, 4, 0.5, 2.5, 4.5, 1, 3, 5, 1.5, 3.5, 5.5],
      o: [2.5, 3, 4.5, 5],
      ...{ h: halves, b: halves, d: halves, i: whole, l: whole, u: whole, s: whole },
      c: [0, 0, -1, -1],
      m: [0, 0, 0, 1],
      z: [3.5],
      e: [],
      x: [1, 1, 1, 1, 1],
    });
  });

  const ramp = (length: number) => Array.from({ length }, (_, i) => i / 4);
  const network = {
    '0.weight': ramp(8),
    '0.bias': ramp(2),
    '1.weight': ramp(2),
    '1.bias': ramp(2),
    '1.running_mean': ramp(2),
    '1.running_var': ramp(2),
    '1.num_batches_tracked': [0],
    '4.weight': ramp(2),
  };

  it.each(['checkpointZip', 'checkpointLegacy'] as const)('%s: the state dict inside', (name) => {
    const { notes, keys, values: found } = read(torchFile(name));
    expect(notes).toEqual(['Left out, as no tensors: epoch, optimizer, best.']);
    expect(keys).toEqual(['', 'state_dict']);
    const named = Object.entries(network).map(([key, value]) => [
      `state_dict.module.${key}`,
      value,
    ]);
    expect(found).toMatchObject(Object.fromEntries(named));
  });

  it('a network pickled whole: its weights and its layers', () => {
    const file = read(torchFile('moduleZip'));
    const modules = file.modules.get('')!;
    expect(file.values).toEqual(network);
    expect(modules.map(({ name, type }) => `${name}:${type}`)).toEqual([
      ':Sequential',
      '0:Conv2d',
      '1:BatchNorm2d',
      '2:ReLU',
      '3:Flatten',
      '4:Linear',
    ]);
    const conv = modules[1]!.settings;
    expect([conv.get('out_channels'), conv.get('kernel_size'), conv.get('stride')]).toEqual([
      2,
      [2, 2],
      [2, 2],
    ]);
  });

  it('a sparse tensor is refused by name', () => {
    expect(message(torchFile('sparseZip'))).toMatch(
      /^m\.pt: .*got "torch\._utils\._rebuild_sparse_tensor" \(a sparse tensor\)\. Nothing was exec/,
    );
  });
});

describe('tensors', () => {
  it('follow strides, offsets and shared storages', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ size: fc.nat(4), stride: fc.nat(9) }), { maxLength: 4 }),
        fc.nat(5),
        (axes, offset) => {
          const source = Array.from({ length: 200 }, (_, i) => i);
          const shape = axes.map(({ size }) => size);
          const strides = axes.map(({ stride }) => stride);
          const t = tensor('0', 'FloatStorage', shape, { count: 200, strides, offset });
          const expected = shape.reduceRight<(at: number) => number[]>(
            (inner, size, axis) => (at) =>
              Array.from({ length: size }, (_, i) => inner(at + i * strides[axis]!)).flat(),
            (at) => [source[at]!],
          )(offset);
          expect(values(one(t, floats(...source)))).toEqual({ w: expected });
        },
      ),
      { numRuns: 50 },
    );
  });

  it('live in views of legacy storages', () => {
    const w = tensor('a', 'DoubleStorage', [2], { count: 4, view: tuple('v', 1, 2), offset: 1 });
    const bytes = new Uint8Array(Float64Array.of(5, 6, 7, 8).buffer);
    expect(values(torchLegacy(pickle(ordered({ w })), { a: [4, bytes] }))).toEqual({ w: [7, 8] });
  });

  it('may have a dtype of their own over bytes', () => {
    const id: Pickled = tuple('storage', global('torch.storage', 'UntypedStorage'), '0', 'cpu', 4);
    const w = call(global('torch._utils', '_rebuild_tensor_v3'), [
      { kind: 'persistent', id },
      0,
      tuple(2),
      tuple(1),
      false,
      ordered({}),
      global('torch', 'uint16'),
    ]);
    expect(values(one(w, Uint8Array.of(1, 0, 255, 255)))).toEqual({ w: [1, 65535] });
  });

  it('may be parameters, tagged parameters, and in nested lists', () => {
    const w = tensor('0', 'FloatStorage', [2]);
    const none = ordered({});
    const parameter = call(global('torch._utils', '_rebuild_parameter'), [w, true, none]);
    const tagged = call(global('torch._tensor', '_rebuild_from_type_v2'), [
      global('torch._utils', '_rebuild_parameter'),
      global('torch.nn.parameter', 'Parameter'),
      tuple(w, true, none),
      new Map([['tag', 'x']]),
    ]);
    const root = new Map<string, Pickled>([
      ['a', [parameter, new Map([['b', tagged]])]],
      ['none', null],
      ['epoch', 3],
    ]);
    const file = torchZip(pickle(root), { 0: floats(1, 2) });
    expect(values(file)).toEqual({ 'a.0': [1, 2], 'a.1.b': [1, 2] });
    expect(read(file).notes).toEqual(['Left out, as no tensors: epoch.']);
  });

  it.each([
    ['beyond the storage', tensor('0', 'FloatStorage', [7], { count: 6 }), 'a view of the 6 items'],
    [
      'of a negative offset',
      tensor('0', 'FloatStorage', [6], { offset: -1 }),
      'a tensor of storage',
    ],
    [
      'of too few strides',
      tensor('0', 'FloatStorage', [6], { strides: [] }),
      'a tensor of storage',
    ],
    ['over a storage of another size', tensor('0', 'FloatStorage', [2]), '8 bytes, got 24'],
    ['over no storage', tensor('1', 'FloatStorage', [6]), 'an entry "archive/data/1", got none'],
    [
      'expanded beyond all measure',
      tensor('0', 'FloatStorage', [2e9], { count: 6, strides: [0] }),
      'at most 67108864 bytes in all, got 8000000000',
    ],
    [
      'of a huge shape',
      tensor('0', 'FloatStorage', [2e9, 2e9], { count: 6, strides: [0, 0] }),
      'a view of',
    ],
    ['quantised', tensor('0', 'QInt8Storage', [6]), '"torch.QInt8Storage" (a quantised tensor)'],
  ])('are refused: %s', (_, w, text) => {
    expect(message(one(w))).toContain(text);
  });
});

describe('modules', () => {
  const w = tensor('0', 'FloatStorage', [1]);
  const module = (type: string, parts: Record<string, Pickled>): Pickled =>
    call(
      global('torch.nn.modules', type),
      [],
      new Map<string, Pickled>([
        ['training', false],
        ['_parameters', ordered({})],
        ['_buffers', ordered({})],
        ['_modules', ordered({})],
        ...Object.entries(parts),
      ]),
    );

  it('leave out buffers that are not kept, and come through legacy ids', () => {
    const inner = module('linear.Linear', {
      _parameters: ordered({ weight: w, bias: null }),
      _buffers: ordered({ kept: w, passing: w }),
      _non_persistent_buffers_set: call(global('__builtin__', 'set'), [['passing']]),
    });
    const classId: Pickled = {
      kind: 'persistent',
      id: tuple('module', global('torch.nn.modules.container', 'Sequential'), 'file', 'source'),
    };
    const state = new Map<string, Pickled>([
      ['_parameters', ordered({})],
      ['_modules', ordered({ fc: inner })],
    ]);
    const file = torchLegacy(pickle(call(classId, [], state)), { 0: [1, floats(7)] });
    expect(values(file)).toEqual({ 'fc.weight': [7], 'fc.kept': [7] });
  });

  it('of other packages are refused, all at once', () => {
    const evil = call(global('mypackage', 'Net'), [], new Map([['w', w]]));
    const more = call(global('os', 'system'), ['touch was-here']);
    const text = message(torchZip(pickle([evil, more, evil]), {}));
    expect(text).toBe(
      'm.pt: expected only what state dicts are made of, got "mypackage.Net", "os.system". ' +
        'Nothing was executed. Save the weights alone: torch.save(model.state_dict(), path).',
    );
  });
});

describe('values beside the weights', () => {
  const w = tensor('0', 'FloatStorage', [2]);
  const text = (name: string): Pickled => {
    const at = name.lastIndexOf('.');
    return global(name.slice(0, at), name.slice(at + 1));
  };
  const dtype = call(text('numpy.dtype'), ['f8', false, true], tuple(3, '<', null));
  const bytes = call(text('_codecs.encode'), ['abcdefgh', 'latin1']);
  const settings = new Map<string, Pickled>([['lr', 0.1]]);
  const beside: Readonly<Record<string, Pickled>> = {
    scalar: call(text('numpy.core.multiarray.scalar'), [dtype, bytes]),
    'scalar of NumPy 2': call(text('numpy._core.multiarray.scalar'), [dtype, bytes]),
    array: call(
      text('numpy.core.multiarray._reconstruct'),
      [text('numpy.ndarray'), tuple(0), bytes],
      tuple(1, tuple(1), dtype, false, bytes),
    ),
    namespace: call(text('argparse.Namespace'), [], settings),
    'namespace of protocol 1': call(
      text('copy_reg._reconstructor'),
      [text('argparse.Namespace'), text('__builtin__.object'), null],
      settings,
    ),
    path: call(text('pathlib.PosixPath'), ['a', 'b']),
    'default dict': {
      kind: 'call',
      of: text('collections.defaultdict'),
      args: [text('__builtin__.list')],
      items: settings,
    },
    config: { kind: 'call', of: text('yacs.config.CfgNode'), args: [], items: settings },
    'hyper-parameters': {
      kind: 'call',
      of: text('pytorch_lightning.utilities.parsing.AttributeDict'),
      args: [],
      items: settings,
    },
    date: call(text('datetime.datetime'), [bytes]),
    size: call(text('torch.Size'), [tuple(1, 2)]),
    device: call(text('torch.device'), ['cuda', 0]),
    dtype: text('torch.float16'),
    history: Array.from({ length: 300 }, (_, i) => i / 7),
  };

  it.each(Object.keys(beside))('pass unexecuted and unread: %s', (name) => {
    const root = new Map<string, Pickled>([
      ['state_dict', ordered({ w })],
      [name, beside[name]!],
    ]);
    const file = read(torchZip(pickle(root), { 0: floats(1, 2) }));
    expect(file.values).toEqual({ 'state_dict.w': [1, 2] });
    expect(file.notes).toEqual([`Left out, as no tensors: ${name}.`]);
  });

  it.each([
    'os.system',
    'builtins.getattr',
    'numpy.core.multiarray.frombuffer',
    'pathlib.Path.unlink',
    'argparse.FileType',
    'functools.partial',
    'lightning.AttributeDict',
    'numpy.load',
  ])('are refused where they are more than values: %s', (name) => {
    const root = new Map<string, Pickled>([
      ['w', w],
      ['x', call(text(name), [])],
    ]);
    expect(message(torchZip(pickle(root), { 0: floats(1, 2) }))).toContain(`"${name}"`);
    const made = call(text('copyreg._reconstructor'), [text(name), text('builtins.object'), null]);
    expect(message(torchZip(pickle(['x', made, w]), { 0: floats(1, 2) }))).toContain(`"${name}"`);
  });
});

describe('containers', () => {
  const w = tensor('0', 'FloatStorage', [1]);
  const data = pickle(ordered({ w }));
  const storages = { 0: floats(1) };
  const text = (t: string) => new Uint8Array(Buffer.from(t));

  it.each([
    [
      'of nothing',
      new Uint8Array(0),
      'a PyTorch file: a zip archive or a pickle, got an empty file',
    ],
    ['of another kind', text('GIF89a..'), 'got one that starts 47 49 46 38 39 61 2e 2e'],
    [
      'cut short',
      torchZip(data, storages).subarray(0, 100),
      'a zip directory at the end, got none',
    ],
    ['without a pickle', zipSync({ 'a/b': text('x') }), 'one data.pkl in the archive, got 0'],
    ['with two', torchZip(data, storages, { 'b/data.pkl': data }), 'got 2'],
    [
      'of TorchScript',
      torchZip(data, storages, { 'archive/constants.pkl': data }),
      'a state dict, got a TorchScript archive',
    ],
    [
      'big-endian',
      torchZip(data, storages, { 'archive/byteorder': text('big') }),
      'little-endian storages, got byte order "big"',
    ],
    [
      'legacy, big-endian',
      torchLegacy(data, { 0: [1, floats(1)] }, { little: false }),
      'big-endian',
    ],
    ['a pickle of something else', pickle(['x']), 'a PyTorch file, got a pickle of something else'],
    ['of another version', torchLegacy(data, {}, { version: 1002 }), '1001'],
    ['legacy without storages', torchLegacy(data, {}), 'its bytes, got none'],
    ['legacy, cut', torchLegacy(data, { 0: [1, floats(1)] }).slice(0, -1), '4 bytes, got 3'],
    ['legacy of other counts', torchLegacy(data, { 0: [2, floats(1)] }), '1 items, got 2'],
    ['of no tensors', torchZip(pickle(new Map([['a', 1]])), {}), 'tensors by name'],
    [
      'of one name twice',
      torchZip(
        pickle(
          new Map<string, Pickled>([
            ['a.b', w],
            ['a', new Map([['b', w]])],
          ]),
        ),
        storages,
      ),
      'every name once, got "a.b" twice',
    ],
  ])('are refused: %s', (_, bytes, expected) => {
    const found = message(bytes);
    expect(found.startsWith('m.pt')).toBe(true);
    expect(found).toContain(expected);
  });
});

describe('pickles', () => {
  const zip = (...code: number[][]) => torchZip(Uint8Array.from([0x80, 2, ...code.flat()]), {});
  const letters = (text: string) => [...Buffer.from(text)];

  it('of protocols 0 and 1 are read', () => {
    const code = letters(
      "(dp0\nS'a\\'\\x62'\np1\n(lp2\nI1\naL-2L\naF1.5\naI01\nasV\\u00fc\nU\x01zs.",
    );
    expect(message(torchZip(Uint8Array.from(code), {}))).toContain('got a dict without any');
    const w = letters("(dS'w'\n").concat(
      [...pickle(tensor('0', 'FloatStorage', [1]))].slice(2, -1),
    );
    const file = torchZip(Uint8Array.from([...w, ...letters('s.')]), { 0: floats(4) });
    expect(values(file)).toEqual({ w: [4] });
  });

  it.each([
    ['an unknown opcode', zip(op('%')), 'an opcode at byte 2, got 0x25'],
    ['an extension', zip([0x82, 1]), 'an opcode at byte 2, got 0x82'],
    ['an empty stack', zip(op('R')), '2 values on the stack, got 0'],
    ['no mark', zip(op('t')), 'a mark on the stack'],
    ['a value below the mark', zip(op('N'), op('('), op('0'), op('0'), op('0')), 'on the stack'],
    ['an unset memo', zip(op('h', 5)), 'memo 5 to be set, got unset'],
    ['a huge integer', zip([0x8b, 255, 255, 255, 127]), 'integers of at most 1024 bytes'],
    ['a huge string', zip(op('X', 255, 255, 255, 255)), '4294967295 more bytes of pickle, got 0'],
    ['a huge frame of text', zip([0x8d, ...Array<number>(8).fill(255)]), 'more bytes of pickle'],
    ['protocol 6', zip([0x80, 6]), 'a pickle protocol up to 5'],
    ['text that never ends', zip(op('c', ...letters('os'))), 'a line of pickle'],
    ['builtins.eval', zip(op('c', ...letters('builtins\neval\n')), op('.')), '"builtins.eval"'],
    [
      'a call of a name from the stack',
      torchZip(
        Uint8Array.from([
          ...[0x80, 4, 0x8c, 2],
          ...letters('os'),
          0x8c,
          6,
          ...letters('system'),
          0x93,
          0x2e,
        ]),
        {},
      ),
      '"os.system"',
    ],
    [
      'an object of a class',
      zip(op('('), op('i', ...letters('os\nsystem\n')), op('.')),
      '"os.system"',
    ],
    ['a call of a number', zip(op('K', 1), op(')'), op('R')), 'a class or function to call'],
    ['a million marks', zip(Array<number>(999_000).fill(0x28), op('.')), 'values on the stack'],
    [
      'a million nested tuples',
      zip(op(')'), Array<number>(999_000).fill(0x85), op('.')),
      'at most 100 levels of nesting',
    ],
    ['too many operations', zip(Array<number>(1_100_000).fill(0x5d)), 'at most 1000000 operations'],
  ])('are refused: %s', (_, bytes, expected) => {
    expect(message(bytes)).toContain(expected);
  });

  it('that double by memo references cost no more than they are long', () => {
    // Each dict holds the one before it twice: 2^60 paths.
    const bomb = [...op('}'), ...op('q', 0)];
    for (let level = 1; level <= 60; level++) bomb.push(...op('}'), ...op('q', level), ...op('('));
    const pairs = Array.from({ length: 60 }, (_, i) => [
      ...op('K', 1),
      ...op('h', i),
      ...op('K', 2),
      ...op('h', i),
      ...op('u'),
      ...op('0'),
    ]);
    const nested = [...op('}'), ...op('q', 0), ...op('0')];
    for (let level = 1; level <= 60; level++)
      nested.push(...op('}'), ...op('q', level), ...op('('), ...pairs[level - 1]!);
    expect(message(zip(nested, op('h', 60), op('.')))).toContain('at most 200000 values');
    expect(message(zip(bomb))).toMatch(/^m\.pt/);
  });

  it('that copy a list many times run out of purse', () => {
    const pair = [...op('K', 1), ...op('K', 2), 0x86];
    const big = [
      ...op(']'),
      ...op('q', 0),
      ...op('('),
      ...Array.from({ length: 50_000 }, () => pair).flat(),
      ...op('e'),
    ];
    const copy = [
      ...op('c', ...letters('collections\nOrderedDict\n')),
      ...op('h', 0),
      0x85,
      ...op('R'),
    ];
    const bytes = zip(big, Array.from({ length: 1000 }, () => copy).flat(), op('.'));
    expect(message(bytes)).toContain('at most 1000000 operations');
  });
});

describe('damaged files', () => {
  it('are refused or read, quickly', () => {
    const { accepted, refused } = fuzz(2000, torchSeeds(), read);
    expect(accepted + refused).toBe(2000);
  });
});
