/** Cases of rows of coefficients against tables of lines, and of rows of a convolution's matrix. */

import { type ConvOptions, convShape, convSize } from '../../src/tensor/convolution';
import { addWindows, takeWindows } from '../../src/tensor/ops/patches';
import { convolutionRows } from '../../src/tensor/ops/product';
import * as rows from '../../src/tensor/ops/rows';
import { nd, tabulate } from '../helpers/nd';
import { sampler } from '../helpers/random';

import type { OpCase } from './case';

const random = sampler(14);
const SIZES = [
  [1, 1],
  [3, 17],
  [5, 4],
  [0, 3],
] as const;
const at = (count: number, lines: number): number[] =>
  Array.from({ length: count }, () => random.whole(lines));

const RELAX = SIZES.map(([count, cols]): OpCase => {
  const [lowAt, upAt] = [at(count, 2), at(count, 3)];
  return {
    op: 'relaxRows',
    about: `[${count}, ${cols}]`,
    inputs: [random.away([count, cols]), random.array([2, cols]), random.array([3, cols])],
    run: ([x, low, up]) => rows.relaxRows(x!, { low: low!, lowAt, up: up!, upAt }),
    reference: ([x, low, up]) =>
      tabulate([count, cols], ([r, j]) => {
        const v = x!.data[r! * cols + j!]!;
        return v * (v > 0 ? low!.data[lowAt[r!]! * cols + j!]! : up!.data[upAt[r!]! * cols + j!]!);
      }),
  };
});

const DOT = SIZES.flatMap(([count, cols]) =>
  [false, true].map((started): OpCase => {
    const lines = at(count, 2);
    const inputs = [random.away([count, cols]), random.array([2, cols]), random.array([2, cols])];
    return {
      op: 'lowerDot',
      about: `[${count}, ${cols}] started=${started}`,
      inputs: started ? [...inputs, random.array([count])] : inputs,
      run: ([x, low, up, d]) => rows.lowerDot(x!, low!, up!, lines, d),
      reference: ([x, low, up, d]) =>
        tabulate([count], ([r]) => {
          let total = d ? d.data[r!]! : 0;
          for (let j = 0; j < cols; j++) {
            const v = x!.data[r! * cols + j]!;
            total += v * (v > 0 ? low! : up!).data[lines[r!]! * cols + j]!;
          }
          return total;
        }),
    };
  }),
);

const COLUMNS = SIZES.flatMap(([count, columns]): OpCase[] => {
  const width = 6;
  const [lines, index] = [at(count, 2), at(2 * columns, width)];
  const places = { index, columns, at: lines, width };
  const place = (r: number, j: number): number => index[lines[r]! * columns + j]!;
  return [
    {
      op: 'addColumns',
      about: `[${count}, ${columns}]`,
      inputs: [random.array([count, columns])],
      run: ([x]) => rows.addColumns(x!, places),
      reference: ([x]) => {
        const y = new Float64Array(count * width);
        x!.data.forEach((v, i) => {
          const r = Math.floor(i / columns);
          y[r * width + place(r, i % columns)]! += v;
        });
        return nd([count, width], y);
      },
    },
    {
      op: 'takeColumns',
      about: `[${count}, ${columns}]`,
      inputs: [random.array([count, width])],
      run: ([x]) => rows.takeColumns(x!, places),
      reference: ([x]) =>
        tabulate([count, columns], ([r, j]) => x!.data[r! * width + place(r!, j!)]!),
    },
  ];
});

const LARGEST: OpCase = {
  op: 'largest',
  about: '[3, 2, 4]',
  inputs: [random.distinct([3, 2, 4])],
  run: ([x]) => rows.largest(x!),
  reference: ([x]) =>
    tabulate([3], ([r]) => Math.max(...[...x!.data.subarray(8 * r!, 8 * r! + 8)].map(Math.abs))),
};

/** Rows of the matrix against the transposes of unit vectors, one group after the other. */
const CONV_ROWS = [
  { w: [3, 2, 3, 2], x: [2, 5, 4], stride: [2, 1], pad: [1, 0, 1, 2], dilation: [1, 2], groups: 1 },
  { w: [4, 1, 2, 2], x: [2, 3, 3], stride: [1, 1], pad: [1, 1, 1, 1], dilation: [1, 1], groups: 2 },
].map(({ w, x, groups, ...o }): OpCase => {
  const options = { ...o, groups } as unknown as ConvOptions;
  const [oc, depth, kh, kw] = w as [number, number, number, number];
  const [c, h, width] = x as [number, number, number];
  const [oh, ow] = convSize([h, width], [kh, kw], options);
  const size = oc * oh! * ow!;
  const index = Int32Array.from({ length: 7 }, () => random.whole(size));
  const factor = Float32Array.from(index, () => random.real(-2, 2));
  return {
    op: 'convolutionRows',
    about: `${w} on ${x}`,
    inputs: [random.array(w)],
    differentiable: false,
    run: ([weight]) => convolutionRows({ index, factor }, weight!, convShape(x, w, options)),
    reference: ([weight]) =>
      tabulate([7, c, h, width], ([r, ic, iy, ix]) => {
        const [to, spot] = [Math.floor(index[r!]! / (oh! * ow!)), index[r!]! % (oh! * ow!)];
        const first = Math.floor(to / (oc / groups)) * depth;
        const dy = iy! - (Math.floor(spot / ow!) * options.stride[0] - options.pad[0]);
        const dx = ix! - ((spot % ow!) * options.stride[1] - options.pad[1]);
        const [ky, kx] = [dy / options.dilation[0], dx / options.dilation[1]];
        const inside = Number.isInteger(ky) && ky >= 0 && ky < kh;
        const hit = inside && Number.isInteger(kx) && kx >= 0 && kx < kw;
        if (!hit || ic! < first || ic! >= first + depth) return 0;
        return factor[r!]! * weight!.data[((to * depth + ic! - first) * kh + ky) * kw + kx]!;
      }),
  };
});

/** Windows inside of the planes, over their edges and corners, all outside; larger than a plane; none. */
const WINDOWS = [
  { image: [1, 0, 1], top: [0, 2, 1], left: [1, 0, 2], size: [2, 3] },
  { image: [0, 1, 1, 0, 0], top: [-1, 3, -2, 9, 0], left: [4, -2, -1, 0, -7], size: [3, 2] },
  { image: [1], top: [-1], left: [-2], size: [6, 8] },
  { image: [], top: [], left: [], size: [2, 2] },
].flatMap(({ size, ...corners }): OpCase[] => {
  const [planes, [height, width]] = [[2, 3, 4, 5], size as [number, number]];
  const windows = [corners.image.length, 3, height, width];
  const place = (i: number, y: number, x: number): readonly [number, number] => [
    y + corners.top[i]!,
    x + corners.left[i]!,
  ];
  return [
    {
      op: 'takeWindows',
      about: `${size} at ${corners.top}`,
      inputs: [random.array(planes)],
      run: ([x]) => takeWindows(x!, corners, [height, width]),
      reference: ([x]) =>
        tabulate(windows, ([i, c, y, z]) => {
          const [py, px] = place(i!, y!, z!);
          const isInside = py >= 0 && py < 4 && px >= 0 && px < 5;
          return isInside ? x!.data[((corners.image[i!]! * 3 + c!) * 4 + py) * 5 + px]! : 0;
        }),
    },
    {
      op: 'addWindows',
      about: `${size} at ${corners.top}`,
      inputs: [random.array(windows)],
      run: ([x]) => addWindows(x!, corners, planes),
      reference: ([x]) =>
        tabulate(planes, ([image, c, y, z]) => {
          let total = 0;
          tabulate(windows, ([i, channel, v, w]) => {
            const [py, px] = place(i!, v!, w!);
            const isHere = corners.image[i!] === image && channel === c && py === y && px === z;
            if (isHere) total += x!.data[((i! * 3 + c!) * height + v!) * width + w!]!;
            return 0;
          });
          return total;
        }),
    },
  ];
});

export const ROWS: readonly OpCase[] = [
  ...RELAX,
  ...DOT,
  ...COLUMNS,
  LARGEST,
  ...CONV_ROWS,
  ...WINDOWS,
];
