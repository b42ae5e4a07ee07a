/** What the goldens record, computed by the engine: each function is one kind of number. */

import { hiddenBounds, type LinearOptions, lowerBounds } from '../../src/bounds/linear';
import { linearMargins, marginRows } from '../../src/bounds/margins';
import { inputSet } from '../../src/domain/balls';
import { logits } from '../../src/domain/classifier';
import { propagate } from '../../src/domain/domain';
import { type Box, ball, interval } from '../../src/domain/interval';
import { intervalMargins } from '../../src/domain/rows';
import { type Model, trainableNames } from '../../src/nn/model';
import { add, affine, maximum, mean, minimum, sum } from '../../src/tensor/ops/core';
import { clamp, sign } from '../../src/tensor/ops/elementwise';
import { crossEntropy } from '../../src/tensor/ops/loss';
import { gradients } from '../../src/tensor/tape';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import type { NormBall } from './goldens';

/** Images in [0, 1] with the classes that margins and losses are of. */
export interface Batch {
  readonly pixels: Float32Array;
  readonly labels: Int32Array;
}

/** A ball in pixel units. */
export interface Radius {
  readonly eps: number;
  readonly clip: boolean;
}

const tensorOf = ({ engine, graph }: Model, { pixels, labels }: Batch): Tensor =>
  input(engine, pixels, [labels.length, ...graph.network.input]);

const boxOf = (x: Tensor, { eps, clip }: Radius, sound: boolean): Box =>
  ball(x, eps, { sound, range: clip ? [0, 1] : null });

export interface Values {
  readonly logits: Float32Array;
  readonly losses: Float32Array;
  /** Of each input's own loss, with respect to pixels in [0, 1]. */
  readonly inputGradients: Float32Array;
  readonly loss: number;
  /** Of the mean loss, by parameter. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

export function values(model: Model, batch: Batch): Values {
  const { engine } = model;
  const ofInput = step(engine, () => {
    const x = tensorOf(model, batch);
    const { result, gradients: found } = gradients(engine, [x], () => {
      const z = logits(model, x);
      const each = crossEntropy(z, batch.labels);
      return { loss: sum(each), z, each };
    });
    return {
      logits: result.z.read(),
      losses: result.each.read(),
      inputGradients: found[0]!.read(),
    };
  });
  const ofParams = lossGradients(model, () =>
    mean(crossEntropy(logits(model, tensorOf(model, batch)), batch.labels)),
  );
  return { ...ofInput, ...ofParams };
}

interface LossGradients {
  readonly loss: number;
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

function lossGradients(model: Model, loss: () => Tensor): LossGradients {
  const names = trainableNames(model.graph);
  return step(model.engine, () => {
    const wanted = names.map((name) => model.params.get(name)!);
    const { result, gradients: found } = gradients(model.engine, wanted, () => ({ loss: loss() }));
    return {
      loss: result.loss.read()[0]!,
      gradients: new Map(names.map((name, i) => [name, found[i]!.read()])),
    };
  });
}

/** Mean cross entropy of the worst logits that bounds allow: -[0, lower margins]. */
export function robustLoss(
  model: Model,
  batch: Batch,
  radius: Radius,
  by: 'interval' | 'linear' = 'interval',
): LossGradients {
  const { graph, params } = model;
  return lossGradients(model, () => {
    const box = boxOf(tensorOf(model, batch), radius, false);
    const lower =
      by === 'interval'
        ? intervalMargins(graph, params, box, batch.labels, { sound: false })
        : linearMargins(
            hiddenBounds(model, { box }, { sound: false, hidden: 'interval', chunk: null }),
            batch.labels,
          );
    return mean(crossEntropy(affine(lower, -1, 0), batch.labels));
  });
}

/**
 * Logits after `steps` steps of `share` times the box's half width along the sign of the gradient,
 * from the clean input, projected on the box. Two half widths and one step are FGSM.
 */
export function attacked(
  model: Model,
  batch: Batch,
  radius: Radius,
  { steps, share }: { readonly steps: number; readonly share: number },
): Float32Array {
  const { engine } = model;
  return step(engine, () => {
    const x = tensorOf(model, batch);
    const [lo, hi] = [affine(x, 1, -radius.eps), affine(x, 1, radius.eps)];
    const range = (t: Tensor): Tensor => (radius.clip ? clamp(t, 0, 1) : t);
    let at = x;
    for (let i = 0; i < steps; i++) {
      const here = at;
      const found = gradients(engine, [here], () => ({
        loss: sum(crossEntropy(logits(model, here), batch.labels)),
      }));
      const moved = add(here, affine(sign(found.gradients[0]!), share * radius.eps, 0));
      at = range(minimum(maximum(moved, lo), hi));
    }
    return logits(model, at).read();
  });
}

export interface Bounds {
  readonly lo: Float32Array;
  readonly hi: Float32Array;
}

export interface IntervalBounds {
  /** [n, classes]. */
  readonly logits: Bounds;
  /** Of z_y - z_j, [n, classes - 1] in order of j, j = y left out. */
  readonly margins: Bounds;
  /** In front of the pointwise nodes, in order: [n, ...shape]. */
  readonly before: readonly Bounds[];
}

export function intervalBounds(
  model: Model,
  batch: Batch,
  radius: Radius,
  sound: boolean,
): IntervalBounds {
  const { engine, graph, params } = model;
  const [n, k] = [batch.labels.length, graph.output[0]!];
  return step(engine, () => {
    const before: Bounds[] = [];
    const box = boxOf(tensorOf(model, batch), radius, sound);
    const read = ({ lo, hi }: Box): Bounds => ({ lo: lo.read(), hi: hi.read() });
    const out = propagate(graph, params, interval({ sound }), box, {
      observe: (node, b) => {
        if (node.layer.role === 'pointwise') before.push(read(b));
      },
    });
    const lower = (labels: Int32Array): Float32Array =>
      intervalMargins(graph, params, box, labels, { sound }).read();
    const own = lower(batch.labels);
    // z_y - z_j <= -(lower bound of z_j - z_y), one pass for each j.
    const others = Array.from({ length: k }, (_, j) => lower(new Int32Array(n).fill(j)));
    const rows = [...batch.labels].flatMap((y, i) =>
      Array.from({ length: k }, (_, j) => ({ i, y, j })).filter(({ j }) => j !== y),
    );
    const margins = {
      lo: Float32Array.from(rows, ({ i, j }) => own[i * k + j]!),
      hi: Float32Array.from(rows, ({ i, y, j }) => -others[j]![i * k + y]!),
    };
    return { logits: read(out), margins, before };
  });
}

/** The least lower bound of z_y - z_j over j != y, by image. */
export function lowerMargins(model: Model, batch: Batch, radius: Radius, sound: boolean): number[] {
  const { engine, graph, params } = model;
  const lower = step(engine, () => {
    const box = boxOf(tensorOf(model, batch), radius, sound);
    return intervalMargins(graph, params, box, batch.labels, { sound }).read();
  });
  const k = graph.output[0]!;
  return Array.from(batch.labels, (label, i) =>
    Math.min(...[...lower.subarray(i * k, (i + 1) * k)].filter((_, j) => j !== label)),
  );
}

export interface LinearBounds {
  /** As in `IntervalBounds`. */
  readonly margins: Bounds;
  readonly before: readonly Bounds[];
}

/** Linear bounds of the margins of the first `count` images, as in `intervalBounds`. */
export function linearBounds(
  model: Model,
  { pixels, labels }: Batch,
  count: number,
  { eps, norm, clip }: NormBall,
  options: LinearOptions,
): LinearBounds {
  const { engine, graph } = model;
  const size = pixels.length / labels.length;
  return step(engine, () => {
    const x = input(engine, pixels.subarray(0, count * size), [count, ...graph.network.input]);
    const range = clip ? ([0, 1] as const) : null;
    const set = inputSet(x, eps, { norm, range, sound: options.sound });
    const scene = hiddenBounds(model, set, options);
    const rows = marginRows(scene, labels.subarray(0, count));
    const values = rows.values as Tensor;
    const lo = lowerBounds(scene, rows).read();
    const hi = lowerBounds(scene, { ...rows, values: affine(values, -1, 0) }).read();
    const before = graph.nodes.flatMap(({ layer, inputs }) => {
      if (layer.role !== 'pointwise') return [];
      const box = scene.boxes[inputs[0]!]!;
      return [{ lo: box.lo.read(), hi: box.hi.read() }];
    });
    return { margins: { lo, hi: hi.map((v) => -v) }, before };
  });
}
