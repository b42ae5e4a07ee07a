/**
 * Pools of every option: the table of them, what the ONNX standard says of each in f64, and what
 * onnxruntime and this library make of them.
 */
import type { Engine } from '../../src/runtime/engine';
import { sizeOf } from './nd';
import { difference, FAULTS, ours } from './onnx-compare';
import { type FileCase, type NodeCase, onnxFile } from './onnx-files';
import { installed, runOrtAll } from './onnxruntime';
import { sampler } from './random';

export interface PoolCase {
  readonly op: 'MaxPool' | 'AveragePool';
  readonly opset: number;
  /** [1, channels, ...sizes]. */
  readonly input: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** In front of all axes, then behind; or by which rule. */
  readonly pads: readonly number[] | 'VALID' | 'SAME_UPPER' | 'SAME_LOWER';
  readonly up: boolean;
  readonly counted: boolean;
}

const OPSETS = [7, 10, 11, 19, 22];
const INPUTS = [
  [1, 2, 5, 7],
  [1, 1, 6, 5],
  [1, 2, 9],
];
/** In front and behind of the axes, at most: smaller where the kernel is, as runtimes ask for. */
const PADS = [
  [0, 0, 0, 0],
  [1, 1, 1, 1],
  [0, 1, 2, 0],
  [2, 0, 1, 1],
  'VALID',
  'SAME_UPPER',
  'SAME_LOWER',
] as const;

const upTo = (n: number, rank: number): number[][] =>
  Array.from({ length: n ** rank }, (_, i) =>
    Array.from({ length: rank }, (_axis, axis) => 1 + (Math.floor(i / n ** axis) % n)),
  );

/** Pads for the axes there are, below the kernel. */
const padsOf = (most: readonly number[], kernel: readonly number[]): number[] =>
  [most.slice(0, kernel.length), most.slice(2, 2 + kernel.length)].flatMap((side) =>
    side.map((n, axis) => Math.min(n, kernel[axis]! - 1)),
  );

function* options(op: PoolCase['op'], opset: number, input: readonly number[]) {
  const rank = input.length - 2;
  const dilates = op === 'MaxPool' ? opset >= 10 : opset >= 19;
  const spread = dilates ? [1, 2].map((n) => new Array<number>(rank).fill(1).with(-1, n)) : [];
  for (const kernel of upTo(3, rank))
    for (const strides of upTo(3, rank))
      for (const dilations of dilates ? spread : [kernel.map(() => 1)])
        for (const most of PADS)
          for (const up of opset >= 10 ? [false, true] : [false])
            for (const counted of op === 'AveragePool' ? [false, true] : [false]) {
              const pads = typeof most === 'string' ? most : padsOf(most, kernel);
              yield { ...{ op, opset, input, kernel, strides, dilations, pads, up, counted } };
            }
}

const fits = ({ input, kernel, dilations, pads }: PoolCase): boolean => {
  const same = typeof pads === 'string' && pads.startsWith('SAME');
  if (same && dilations.some((d) => d > 1)) return false;
  return kernel.every((k, i) => (k - 1) * dilations[i]! < input[i + 2]!);
};

/** Every pool of the table, once. Those of SAME padding and dilation are refused, and not among them. */
export function poolTable(): readonly PoolCase[] {
  const all = (['MaxPool', 'AveragePool'] as const).flatMap((op) =>
    OPSETS.flatMap((opset) => INPUTS.flatMap((input) => [...options(op, opset, input)])),
  );
  return [...new Map(all.filter(fits).map((c) => [JSON.stringify(c), c])).values()];
}

interface Axis {
  readonly taps: readonly (readonly number[])[];
  /** Whether a tap is in the input, and whether it is in its padding as well. */
  inside(at: number): boolean;
  counts(at: number): boolean;
}

/** The windows along an axis, by the formulas of the standard's page of AveragePool. */
function axisOf({ input, kernel, strides, dilations, pads, up }: PoolCase, axis: number): Axis {
  const [size, stride, dilation] = [input[axis + 2]!, strides[axis]!, dilations[axis]!];
  const reach = (kernel[axis]! - 1) * dilation + 1;
  let [before, after, count] = [0, 0, 0];
  if (pads === 'SAME_UPPER' || pads === 'SAME_LOWER') {
    count = Math.ceil(size / stride);
    const total = Math.max(0, (count - 1) * stride + reach - size);
    before = pads === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
    after = total - before;
  } else {
    if (pads !== 'VALID') [before, after] = [pads[axis]!, pads[axis + kernel.length]!];
    // Of VALID the page rounds down; its shape inference, and runtimes, round as ceil_mode says.
    const steps = (size + before + after - reach) / stride;
    count = (up ? Math.ceil(steps) : Math.floor(steps)) + 1;
    if (up && (count - 1) * stride >= size + before) count--;
  }
  const taps = Array.from({ length: count }, (_, i) =>
    Array.from({ length: kernel[axis]! }, (_tap, k) => i * stride - before + k * dilation),
  );
  return {
    taps,
    inside: (at) => at >= 0 && at < size,
    counts: (at) => at >= -before && at < size + after,
  };
}

/** What the standard says, in f64: [channels, ...] flat. */
export function standard(c: PoolCase, x: ArrayLike<number>): number[] {
  const axes = c.kernel.map((_, axis) => axisOf(c, axis));
  // A line is a plane of height 1.
  const line: Axis = { taps: [[0]], inside: () => true, counts: () => true };
  const [rows, columns] = [line, ...axes].slice(-2) as [Axis, Axis];
  const [height, width] = [1, ...c.input.slice(2)].slice(-2) as [number, number];
  const out: number[] = [];
  for (let channel = 0; channel < c.input[1]!; channel++)
    for (const down of rows.taps)
      for (const across of columns.taps) {
        const taps = down.flatMap((i) => across.map((j) => [i, j] as const));
        const inside = taps.filter(([i, j]) => rows.inside(i) && columns.inside(j));
        const values = inside.map(([i, j]) => x[(channel * height + i) * width + j]!);
        const all = taps.filter(([i, j]) => rows.counts(i) && columns.counts(j)).length;
        const sum = values.reduce((a, b) => a + b, 0);
        const mean = sum / (c.counted ? all : values.length);
        out.push(c.op === 'MaxPool' ? Math.max(...values) : mean);
      }
  return out;
}

const nodeOf = (c: PoolCase, out: string): NodeCase => ({
  ...{ op: c.op, in: ['x'], out: [out] },
  attributes: {
    kernel_shape: c.kernel,
    strides: c.strides,
    ...(c.dilations.some((n) => n > 1) ? { dilations: c.dilations } : {}),
    ...(typeof c.pads === 'string' ? { auto_pad: c.pads } : { pads: c.pads }),
    ...(c.up ? { ceil_mode: 1 } : {}),
    ...(c.counted ? { count_include_pad: 1 } : {}),
  },
});

const imageOf = (input: readonly number[]): Float32Array =>
  Float32Array.from(sampler(sizeOf(input)).away([...input], 0.1, 1).data);

/** Several pools over one input, as a file of as many outputs. */
function fileOf(cases: readonly PoolCase[]): FileCase {
  const names = cases.map((_, i) => `y${i}`);
  const { input, opset } = cases[0]!;
  return {
    ...{ input, opset, output: names[0]!, outputs: names.slice(1) },
    nodes: cases.map((c, i) => nodeOf(c, names[i]!)),
  };
}

/** What onnxruntime makes of each, or why it does not run it: a file at fault is halved. */
async function theirs(
  cases: readonly PoolCase[],
  web: boolean,
): Promise<(Float32Array | string)[]> {
  const { input } = cases[0]!;
  try {
    const found = await runOrtAll(onnxFile(fileOf(cases)), imageOf(input), input, { web });
    return [...found.values()].map(({ data }) => data);
  } catch (error) {
    if (cases.length === 1) return [(error as Error).message];
    const half = cases.length >> 1;
    return [
      ...(await theirs(cases.slice(0, half), web)),
      ...(await theirs(cases.slice(half), web)),
    ];
  }
}

export interface PoolReport {
  /** Where this library is not what the standard says. */
  readonly wrong: string[];
  /** Where onnxruntime is neither, nor listed among its faults; or has one that the newer one lacks. */
  readonly unlisted: string[];
  /** How often each of its faults was met. */
  readonly faults: Map<string, number>;
}

const TILE = 200;

/** All cases through this library, the standard's arithmetic, and onnxruntime where it is installed. */
export async function comparePools(
  engine: Engine,
  cases: readonly PoolCase[],
): Promise<PoolReport> {
  const report: PoolReport = { wrong: [], unlisted: [], faults: new Map() };
  for (const c of cases) {
    const x = imageOf(c.input);
    const file = { ...fileOf([c]), output: 'y0' };
    const why = difference(ours(engine, onnxFile(file), x, 1), standard(c, x));
    if (why) report.wrong.push(`${JSON.stringify(c)}: ${why}`);
  }
  if (!installed) return report;
  for (const opset of OPSETS)
    for (const input of INPUTS) {
      const group = cases.filter((c) => c.opset === opset && c.input === input);
      for (let i = 0; i < group.length; i += TILE) await judge(group.slice(i, i + TILE), report);
    }
  return report;
}

async function judge(cases: readonly PoolCase[], report: PoolReport): Promise<void> {
  const odd = (found: Float32Array | string, c: PoolCase): string | undefined =>
    typeof found === 'string' ? found : difference(found, standard(c, imageOf(c.input)));
  const native = await theirs(cases, false);
  const differing = cases.flatMap((c, i) => {
    const why = odd(native[i]!, c);
    return why ? [{ c, why }] : [];
  });
  if (differing.length === 0) return;
  const newer = await theirs(
    differing.map(({ c }) => c),
    true,
  );
  differing.forEach(({ c, why }, i) => {
    const met = FAULTS.filter(({ applies }) => applies(nodeOf(c, ''), c.opset));
    const fault = met.find(({ mended }) => !mended) ?? met[0];
    const again = fault?.mended ? odd(newer[i]!, c) : undefined;
    if (!fault || again) report.unlisted.push(`${JSON.stringify(c)}: ${again ?? why}`);
    else report.faults.set(fault.what, 1 + (report.faults.get(fault.what) ?? 0));
  });
}
