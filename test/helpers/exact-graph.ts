/**
 * Interval bounds of whole networks in exact rational arithmetic, by the checker's description of their
 * layers (test/check/ holds it against references): every operation but sigmoid and tanh.
 */
import { readProgram, type Step } from '../../src/check/program';
import type { Model } from '../../src/nn/model';
import { double, type Exact, type ExactInterval, least, most, plus, times, ZERO } from './exact';

export type ExactBox = readonly ExactInterval[];

const sum = (parts: readonly ExactInterval[]): ExactInterval =>
  parts.reduce((a, b) => ({ lo: plus(a.lo, b.lo), hi: plus(a.hi, b.hi) }), { lo: ZERO, hi: ZERO });

/** w x for an interval x. */
function scaled(w: Exact, { lo, hi }: ExactInterval): ExactInterval {
  const [p, q] = [times(w, lo), times(w, hi)];
  return { lo: least(p, q), hi: most(p, q) };
}

const point = (x: number): ExactInterval => ({ lo: double(x), hi: double(x) });

/** A non-decreasing f. */
function pointwise(kind: string, options: Readonly<Record<string, unknown>>): (x: Exact) => Exact {
  if (kind === 'relu') return (x) => most(x, ZERO);
  if (kind === 'leaky-relu') {
    const slope = double(Math.fround(options.slope as number));
    return (x) => (x.value > 0n ? x : times(slope, x));
  }
  if (kind === 'clip') {
    const [a, b] = [options.lo, options.hi].map((v) =>
      v === null ? v : double(Math.fround(v as number)),
    );
    return (x) => {
      const above = a ? most(x, a as Exact) : x;
      return b ? least(above, b as Exact) : above;
    };
  }
  throw new Error(`no exact ${kind}`);
}

/** Exact interval bounds of every node, the input's being given. */
export function exactBounds(model: Model, input: ExactBox): ExactBox[] {
  const { graph, params } = model;
  const program = readProgram(graph, (name) => params.get(name)?.read());
  const bounds: ExactBox[] = [];
  for (const [k, step] of program.steps.entries()) {
    const { kind, options } = graph.nodes[k]!;
    const inputs = step.inputs.map((i) => (i < 0 ? input : bounds[i]!));
    bounds.push(
      Array.from({ length: step.size }, (_, i) => boundsOf(step, i, inputs, kind, options)),
    );
  }
  return bounds;
}

function boundsOf(
  step: Step,
  i: number,
  inputs: readonly ExactBox[],
  kind: string,
  options: Readonly<Record<string, unknown>>,
): ExactInterval {
  const [x] = inputs as [ExactBox];
  switch (step.kind) {
    case 'affine': {
      const terms = [point(step.operator.bias(i))];
      step.operator.row(i, (j, w) => terms.push(scaled(double(w), x[j]!)));
      return sum(terms);
    }
    case 'pointwise': {
      const f = pointwise(kind, options);
      return { lo: f(x[i]!.lo), hi: f(x[i]!.hi) };
    }
    case 'add':
      return sum(inputs.map((box) => box[i]!));
    case 'max':
      return step
        .windows(i)
        .map((j) => x[j]!)
        .reduce((a, b) => ({ lo: most(a.lo, b.lo), hi: most(a.hi, b.hi) }));
    case 'concat': {
      const [k, j] = step.source(i);
      return inputs[k]![j]!;
    }
  }
}
