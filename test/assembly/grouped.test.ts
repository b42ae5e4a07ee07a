/**
 * What convolutions with groups owe beyond being close: the bits of dense ones group by group, and not-a-number
 * exactly where a product reaches.
 */
import { describe, expect, it } from 'vitest';
import { BINARIES, type Machine, Random } from './harness';

interface Spec {
  readonly n: number;
  /** Channels of a group: into it, out of it. */
  readonly depth: number;
  readonly outputs: number;
  readonly groups: number;
  readonly h: number;
  readonly w: number;
  readonly stride: number;
}

const SPECS: readonly Spec[] = [
  { n: 2, depth: 1, outputs: 1, groups: 3, h: 7, w: 18, stride: 1 },
  { n: 1, depth: 1, outputs: 2, groups: 2, h: 9, w: 13, stride: 2 },
  { n: 2, depth: 3, outputs: 2, groups: 2, h: 6, w: 7, stride: 1 },
  { n: 2, depth: 5, outputs: 6, groups: 2, h: 8, w: 9, stride: 1 },
  { n: 1, depth: 4, outputs: 4, groups: 3, h: 8, w: 9, stride: 2 },
];

/** Arguments of a convolution 3x3 with padding 1, and its sizes. */
function geometryOf({ n, depth, outputs, groups, h, w, stride }: Spec) {
  const [oh, ow] = [Math.ceil(h / stride), Math.ceil(w / stride)];
  const rest = [3, 3, stride, stride, 1, 1, 1, 1, oh, ow];
  return {
    oh,
    ow,
    args: [n, depth * groups, h, w, outputs * groups, ...rest, groups],
    one: [1, depth, h, w, outputs, ...rest],
    x: n * groups * depth * h * w,
    weights: groups * outputs * depth * 9,
    y: n * groups * outputs * oh * ow,
  };
}

const bitsOf = (m: Machine, at: number, count: number) =>
  Array.from(m.i32.subarray(at >> 2, (at >> 2) + count));

/** Visits every product of the convolution by the flat indices of its factors and of its sum. */
function eachProduct(spec: Spec, visit: (x: number, w: number, y: number) => void): void {
  const { n, depth, outputs, groups, h, w, stride } = spec;
  const { oh, ow } = geometryOf(spec);
  for (let y = 0; y < n * groups * outputs * oh * ow; y++) {
    const [ox, oy, plane] = [y % ow, Math.floor(y / ow) % oh, Math.floor(y / ow / oh)];
    const row = Math.floor(plane / outputs);
    for (let tap = 0; tap < depth * 9; tap++) {
      const [i, iy, ix] = [
        Math.floor(tap / 9),
        oy * stride - 1 + (Math.floor(tap / 3) % 3),
        ox * stride - 1 + (tap % 3),
      ];
      if (iy < 0 || ix < 0 || iy >= h || ix >= w) continue;
      const o = (row % groups) * outputs + (plane % outputs);
      visit(((row * depth + i) * h + iy) * w + ix, o * depth * 9 + tap, y);
    }
  }
}

for (const { title, available, create } of BINARIES) {
  describe.skipIf(!available)(`convolutions with groups, ${title}`, () => {
    it.each(SPECS)('has the bits of conv2d_direct on every group: %o', (spec) => {
      const [m, rng] = [create(), new Random(7)];
      const { args, one, x, weights, y, oh, ow } = geometryOf(spec);
      const { n, depth, outputs, groups, h, w } = spec;
      const from = m.floats(rng.floats(x));
      const wt = m.floats(rng.floats(weights));
      const bias = m.floats(rng.floats(groups * outputs));
      const [to, each] = [m.room(y), m.room(y)];
      m.run('conv2d_grouped', [...args, from, wt, bias, to, 0]);
      for (let r = 0; r < n * groups; r++) {
        const o = (r % groups) * outputs;
        const pointers = [from + 4 * r * depth * h * w, wt + 36 * o * depth, bias + 4 * o];
        m.run('conv2d_direct', [...one, ...pointers, each + 4 * r * outputs * oh * ow, 0]);
      }
      expect(bitsOf(m, to, y)).toEqual(bitsOf(m, each, y));
    });

    it.each(SPECS)(
      'carries what is infinite to the sums it is part of, and no other: %o',
      (spec) => {
        const rng = new Random(11);
        const { args, x, weights, y } = geometryOf(spec);
        for (let trial = 0; trial < 12; trial++) {
          const m = create();
          const [vx, vw, vy] = [rng.floats(x), rng.floats(weights), rng.floats(y)];
          // The last of a line and the first of a next among them: behind them vectors read on.
          const bad = trial < 2 ? spec.w - 1 + trial : rng.int(x);
          vx[bad] = Infinity;
          const forward = new Set<number>();
          const gradient = new Set<number>();
          eachProduct(spec, (i, k, o) => {
            if (i !== bad) return;
            forward.add(o);
            gradient.add(k);
          });
          const [from, wt, dy] = [m.floats(vx), m.floats(vw), m.floats(vy)];
          const [to, dwt] = [m.room(y), m.room(weights)];
          m.run('conv2d_grouped', [...args, from, wt, 0, to, 0]);
          m.run('conv2d_grouped_weight_grad', [...args, from, dy, dwt]);
          const infinite = (at: number, count: number) =>
            Array.from(m.f32.subarray(at >> 2, (at >> 2) + count)).flatMap((v, i) =>
              Number.isFinite(v) ? [] : [i],
            );
          expect(infinite(to, y)).toEqual([...forward].sort((a, b) => a - b));
          expect(infinite(dwt, weights)).toEqual([...gradient].sort((a, b) => a - b));
        }
      },
    );
  });
}
